"""Receives kie.ai's callbacks on the API server. Whoever calls is nobody known, so nothing is believed.

A callback never carries a result here: it means "look now, at this ID", to the one submission that its
address belongs to.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_runway.api.callbacks import LARGEST_BODY, read_callback
from airflow_provider_runway.exceptions import (
    RunwayCallbackError,
    RunwayConnectionNotFoundError,
    RunwayError,
    RunwayServerError,
)
from airflow_provider_runway.hooks.connection import RunwaySettings, load_settings
from airflow_provider_runway.plugins import waking
from airflow_provider_runway.submissions import tokens

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)

#: Seconds in which a body has to be there.
BODY_SECONDS = 5.0
#: How many callbacks are with the database at once; further ones wait for their turn.
AT_ONCE = 4
#: How many may wait for that; kie.ai sends again what was turned away.
_MOST_WAITING = 500
#: Seconds after which a connection is read again, there or not: who asks is not to learn which are there.
_READ_AGAIN = 10.0
#: Seconds for which one is good that cannot be read again: Airflow says, too, that there is none while its
#: database is away.
_GOOD_FOR = 600.0
#: How many connections are remembered, those that are not there among them.
_MOST_CONNECTIONS = 64
#: Characters of a connection's ID, and digits of a length.
_LONGEST_ID, _LENGTH = 250, re.compile(r"[0-9]{1,9}")

_LENGTH = re.compile(r"[0-9]{1,9}")
_OK = b'{"code":200,"msg":"success"}'
_WORDS = {
    400: "This is no callback.",
    401: "This is not signed.",
    404: "There is nothing here.",
    405: "POST only.",
    408: "The body did not come.",
    413: "The body is too large.",
    503: "Not now.",
}


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class _Known:
    settings: RunwaySettings | None
    read_at: float
    tried_at: float


@dataclass
class Receiver:
    """The app that Airflow mounts, without a login: each address is a secret of its own."""

    _connections: dict[str, _Known] = field(default_factory=dict)
    _loading: dict[str, asyncio.Task[RunwaySettings | None]] = field(default_factory=dict)
    _turns: asyncio.Semaphore | None = None
    _waiting: int = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        status = 200
        try:
            await self._take(scope, receive)
        except _RefusedError as refused:
            status = refused.status
        except Exception:
            log.exception("A callback could not be taken")
            status = 503
        body = _OK if status == 200 else f'{{"code":{status},"msg":"{_WORDS[status]}"}}'.encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status in (408, 413):
            # What is left of the body is nobody's business.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _take(self, scope: Message, receive: Receive) -> None:
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        # A connection's ID may have slashes in it.
        conn_id, _, token = path.removeprefix("/").rpartition("/")
        if not tokens.has_form(token) or len(conn_id) > _LONGEST_ID or not conn_id.isprintable():
            raise _RefusedError(404)
        if scope["method"] != "POST":
            raise _RefusedError(405)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        length = headers.get("content-length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > LARGEST_BODY:
            raise _RefusedError(413)
        settings = await self._settings(conn_id)
        if settings is None:
            raise _RefusedError(404)
        recipient = tokens.recipient_of(token, settings.conn_id, settings.api_key)
        if recipient is None:
            raise _RefusedError(404)
        body = await _body(receive)
        try:
            callback = read_callback(body, headers=headers, webhook_hmac_key=settings.webhook_hmac_key)
        except RunwayCallbackError as error:
            log.info("A callback at a genuine address was refused: %s", error)
            raise _RefusedError(401 if "X-Webhook" in error.message else 400) from error
        await self._hand_on(recipient, callback.runway_task_id, settings)

    async def _hand_on(
        self, recipient: tokens.Recipient, runway_task_id: str, settings: RunwaySettings
    ) -> None:
        if self._turns is None:
            self._turns = asyncio.Semaphore(AT_ONCE)
        if self._waiting >= _MOST_WAITING:
            raise _RefusedError(503)
        self._waiting += 1
        try:
            async with self._turns:
                # 200 only once it is stored: kie.ai sends again what was answered otherwise.
                board = settings.conn_id if settings.callback_wake == "trigger" else None
                await asyncio.to_thread(waking.take, recipient, runway_task_id, board=board)
        finally:
            self._waiting -= 1

    async def _settings(self, conn_id: str) -> RunwaySettings | None:
        """Return a connection, read off the event loop and remembered for a while."""
        known = self._connections.get(conn_id)
        if known is not None and time.monotonic() < known.tried_at + _READ_AGAIN:
            return known.settings
        loading = self._loading.get(conn_id)
        if loading is None:
            is_good = known is not None and known.settings is not None
            if len(self._loading) >= AT_ONCE and not is_good:
                # Names that somebody makes up do not keep the real ones waiting, nor the database busy.
                raise _RefusedError(404)
            loading = asyncio.create_task(self._load(conn_id, known if is_good else None))
            self._loading[conn_id] = loading
        return await asyncio.shield(loading)

    async def _load(self, conn_id: str, good: _Known | None) -> RunwaySettings | None:
        settings, read_at = None, time.monotonic()
        try:
            settings = await asyncio.to_thread(load_settings, conn_id)
        except RunwayServerError as error:
            if good is not None and read_at < good.read_at + _GOOD_FOR:
                settings, read_at = good.settings, good.read_at
            elif not isinstance(error, RunwayConnectionNotFoundError):
                raise _RefusedError(503) from error
        except RunwayError as error:
            log.debug("Connection %r: %s", conn_id, error)
        finally:
            del self._loading[conn_id]
        self._connections.pop(conn_id, None)
        while len(self._connections) >= _MOST_CONNECTIONS:
            # One that is not there goes first.
            unknown = (name for name, known in self._connections.items() if known.settings is None)
            del self._connections[next(unknown, next(iter(self._connections)))]
        self._connections[conn_id] = _Known(settings, read_at, time.monotonic())
        return settings


async def _body(receive: Receive) -> bytes:
    """Return the body, which has a size and a time in which it has to be there."""
    try:
        return await asyncio.wait_for(_read(receive), BODY_SECONDS)
    except asyncio.TimeoutError as error:
        raise _RefusedError(408) from error


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _RefusedError(400)
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise _RefusedError(413)
        more = message.get("more_body", False)
    return body

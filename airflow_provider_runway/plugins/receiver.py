"""Receives kie.ai's callbacks on the API server. Whoever calls is nobody known, so nothing is believed.

A callback never carries a result here: it means "poll this ID now", to the one submission that its
address belongs to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_runway.api.callbacks import LARGEST_BODY, check_signature, read_callback
from airflow_provider_runway.exceptions import (
    RunwayCallbackError,
    RunwayConnectionNotFoundError,
    RunwayError,
    RunwayServerError,
)
from airflow_provider_runway.hooks.connection import DEFAULT_CONN_ID, RunwaySettings, read_settings
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
#: How many names a second are looked up that may be made up, as anybody can, once as many have been as are
#: remembered.
_UNKNOWN_A_SECOND = 1.0
#: Characters of a connection's ID.
_LONGEST_ID = 250

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


class _Allowance:
    """How many look-ups of names are left that may be made up; it grows again by and by."""

    def __init__(self) -> None:
        self._left = float(_MOST_CONNECTIONS)
        self._counted_at = time.monotonic()

    def __bool__(self) -> bool:
        now = time.monotonic()
        grown = self._left + (now - self._counted_at) * _UNKNOWN_A_SECOND
        self._left, self._counted_at = min(float(_MOST_CONNECTIONS), grown), now
        return self._left >= 1

    def use(self) -> None:
        self._left -= 1


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
    _allowance: _Allowance = field(default_factory=_Allowance)
    #: Names that nobody has made up: the default, and those that were good once.
    _real: set[str] = field(default_factory=lambda: {DEFAULT_CONN_ID})
    _listed: frozenset[str] = frozenset()
    _list_again_at: float = 0.0
    _listing: asyncio.Lock | None = None
    #: Connections of which it was said that they cannot be used.
    _unusable: set[str] = field(default_factory=set)
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
        recipient = tokens.recipient_of(token, settings.conn_id, settings.api_key) if settings else None
        if settings is None or recipient is None:
            # While names are not looked up, no answer tells those that are known from others.
            raise _RefusedError(503 if self._is_busy else 404)
        body = await _body(receive)
        runway_task_id = _named_in(body, headers, settings.webhook_hmac_key)
        await self._hand_on(recipient, runway_task_id, settings)

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
            if conn_id not in self._real:
                # Names that somebody makes up do not keep the real ones waiting, nor the database busy.
                if not self._is_busy:
                    self._allowance.use()
                elif not await self._is_listed(conn_id):
                    raise _RefusedError(503)
            loading = self._loading.get(conn_id)
        if loading is None:
            loading = asyncio.create_task(self._load(conn_id, known if is_good else None))
            self._loading[conn_id] = loading
        return await asyncio.shield(loading)

    async def _is_listed(self, conn_id: str) -> bool:
        """Return whether Airflow itself has a connection of this name; one query tells for all names."""
        if f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ:
            return True
        if self._listing is None:
            self._listing = asyncio.Lock()
        async with self._listing:
            if time.monotonic() >= self._list_again_at:
                self._list_again_at = time.monotonic() + _READ_AGAIN
                try:
                    self._listed = await asyncio.to_thread(waking.connections)
                except Exception:
                    log.warning("Airflow's connections cannot be listed now", exc_info=True)
        return conn_id in self._listed

    @property
    def _is_busy(self) -> bool:
        """Whether no name is looked up now that may be made up."""
        return len(self._loading) >= AT_ONCE or not self._allowance

    async def _load(self, conn_id: str, good: _Known | None) -> RunwaySettings | None:
        settings, read_at = None, time.monotonic()
        try:
            settings = await asyncio.to_thread(read_settings, conn_id)
            self._real.add(conn_id)
            self._unusable.discard(conn_id)
        except RunwayServerError as error:
            if good is not None and read_at < good.read_at + _GOOD_FOR:
                settings, read_at = good.settings, good.read_at
            elif not isinstance(error, RunwayConnectionNotFoundError):
                raise _RefusedError(503) from error
        except RunwayError as error:
            if conn_id not in self._unusable:
                self._unusable.add(conn_id)
                log.warning("Callbacks of connection %r are refused: %s", conn_id, error)
        finally:
            del self._loading[conn_id]
        self._connections.pop(conn_id, None)
        while len(self._connections) >= _MOST_CONNECTIONS:
            # One that was never there goes first.
            del self._connections[min(self._connections, key=self._real.__contains__)]
        self._connections[conn_id] = _Known(settings, read_at, time.monotonic())
        return settings


def _named_in(body: bytes, headers: dict[str, str], webhook_hmac_key: str | None) -> str:
    """Return the Runway task ID that a callback names, once its signature is verified."""
    status = 400
    try:
        runway_task_id = read_callback(body).runway_task_id
        if webhook_hmac_key:
            status = 401
            check_signature(runway_task_id, headers, webhook_hmac_key)
    except RunwayCallbackError as error:
        log.info("A callback at a genuine address was refused: %s", error)
        raise _RefusedError(status) from error
    return runway_task_id


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

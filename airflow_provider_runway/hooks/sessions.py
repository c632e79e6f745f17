"""One aiohttp session an event loop and connection, shared by all triggers and closed by the last one."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

import aiohttp
from asgiref.sync import sync_to_async

from airflow_provider_runway.api import answers
from airflow_provider_runway.api.tasks import RunwayTask
from airflow_provider_runway.exceptions import RunwayError, RunwayServerError, RunwayUnreadableAnswerError
from airflow_provider_runway.hooks import bodies
from airflow_provider_runway.hooks.connection import READ_AGAIN_AFTER, USER_AGENT, RunwaySettings
from airflow_provider_runway.hooks.pacing import Pacer
from airflow_provider_runway.hooks.transport import hint, without_passwords

log = logging.getLogger(__name__)

#: Open connections to the API from one event loop.
MAX_CONNECTIONS = 50


@dataclass
class LastAnswer:
    """
    What was answered last, and by which generation of the API. While a video is being made, the answer is the
    same each time: it need not be read.
    """

    body: bytes = b""
    task: RunwayTask | None = None
    found_in: str | None = None


@dataclass
class Readings:
    """
    What all who share a session know of its connection.

    :param next_at: From when on it may be read again because polls fail, by the monotonic clock.
    :param is_mended: Whether it was found to have changed.
    """

    next_at: float = 0.0
    is_mended: bool = False


@dataclass(frozen=True)
class RunwaySession:
    """
    A session that is ready to ask.

    :param settings: What the connection says.
    :param client: The aiohttp session.
    :param headers: The headers of a request to the API; the client itself carries no key.
    :param proxy: The proxy to the API, if there is one, without user and password.
    :param pacer: Spaces the requests of all who share the session.
    :param readings: When the connection was read again while polls failed.
    :param proxy_headers: The headers that only the proxy gets: its user and password, if it has them.
    """

    settings: RunwaySettings
    client: aiohttp.ClientSession
    headers: dict[str, str] = field(repr=False)
    proxy: str | None
    pacer: Pacer
    readings: Readings = field(default_factory=Readings)
    proxy_headers: dict[str, str] = field(default_factory=dict, repr=False)

    async def look_up(
        self,
        runway_task_id: str,
        model: str,
        *,
        patience: float | None = None,
        last: LastAnswer | None = None,
    ) -> RunwayTask:
        """
        Look a task up once, when it is this request's turn.

        :param runway_task_id: The Runway task ID.
        :param model: ``runway`` or ``aleph``.
        :param patience: Seconds that the turn may take to come, and then the answer; ``None`` means as long
            as the pace and the connection's time-outs allow.
        :param last: The previous answer about this task; is brought up to date.
        :raises RunwayError: the status request failed; the class says why.
        """
        last = last or LastAnswer()
        search = answers.Search(self.settings.api, last.found_in)
        for api in search:
            try:
                task = await self._look_up_in(answers.DIALECTS[api], runway_task_id, model, patience, last)
            except RunwayError as error:
                search.failed(error)
            else:
                last.found_in = api
                return task
        last.found_in = None
        raise answers.explain_lookup(search.result(), runway_task_id)

    async def _look_up_in(
        self,
        dialect: answers.Dialect,
        runway_task_id: str,
        model: str,
        patience: float | None,
        last: LastAnswer,
    ) -> RunwayTask:
        try:
            await self.pacer.take_turn(patience)
        except asyncio.TimeoutError:
            raise RunwayServerError("no turn in time: the rate of polls is limited") from None
        try:
            status, body, retry_after = await self._get(
                dialect.lookup(model), {"taskId": runway_task_id}, patience
            )
            if last.task is None or (status, body) != (200, last.body):
                task = answers.read_task(
                    dialect, status, body, retry_after, runway_task_id=runway_task_id, model=model
                )
                if status == 200:
                    last.body, last.task = body, task
            else:
                task = last.task
        except RunwayError as error:
            self.pacer.told(error)
            raise
        finally:
            self.pacer.end_turn()
        self.pacer.told(None)
        return task

    async def _get(
        self, path: str, params: dict[str, str], patience: float | None
    ) -> tuple[int, bytes, str | None]:
        timeout = self.client.timeout
        if patience is not None and timeout.total is not None and patience < timeout.total:
            timeout = aiohttp.ClientTimeout(total=patience)
        try:
            # A redirect is no answer of kie.ai, and following one could carry the key elsewhere.
            async with self.client.get(
                f"{self.settings.base_url}{path}",
                params=params,
                headers=self.headers,
                proxy=self.proxy,
                proxy_headers=self.proxy_headers or None,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = self.settings.redact(await _bounded_body(response))
                return response.status, body, response.headers.get("Retry-After")
        # Before Python 3.11, asyncio's TimeoutError is one of its own. A ValueError is what becomes of a name
        # that cannot be encoded.
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            # The whole text of a refusal names the URL that was asked, which may be the proxy's.
            why = str(error)
            if isinstance(error, aiohttp.ClientResponseError):
                why = f"{error.status} {error.message}"
            said = f"{type(error).__name__} {without_passwords(why)}".strip() + hint(error)
            raise RunwayUnreadableAnswerError(f"no answer from {self.settings.base_url}: {said}") from error


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    if 300 <= response.status < 400:
        # As in a worker, where nothing is left of it: a redirect is no answer of kie.ai.
        return b""
    body = await response.content.read(bodies.LONGEST + 1)
    while not response.content.at_eof() and len(body) <= bodies.LONGEST:
        body += await response.content.read(bodies.LONGEST + 1 - len(body))
    if len(body) > bodies.LONGEST:
        # What is left of it is not to be read when the connection is given back.
        response.close()
        raise bodies.too_long()
    return bodies.unpacked(body, response.headers.get("Content-Encoding"))


class _Shared:
    def __init__(self, opening: asyncio.Task[RunwaySession]) -> None:
        self.opening = opening
        self.users = 0


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_session(conn_id: str, load: Callable[[str], RunwaySettings]) -> AsyncIterator[RunwaySession]:
    """
    Give the session of this event loop for a connection, opening it for its first user and closing it after
    its last.

    :param conn_id: The connection's ID.
    :param load: Reads the connection; may block, and is called in a thread.
    :raises RunwayError: the connection cannot be used.
    """
    loop = asyncio.get_running_loop()
    sessions = _shared.setdefault(loop, {})
    entry = sessions.get(conn_id)
    if entry is None:
        entry = sessions[conn_id] = _Shared(loop.create_task(_open(conn_id, load)))
    entry.users += 1
    try:
        # The task is shared: one user who is cancelled must not take it from the others.
        yield await asyncio.shield(entry.opening)
    finally:
        entry.users -= 1
        failed = entry.opening.done() and (entry.opening.cancelled() or entry.opening.exception() is not None)
        if (failed or not entry.users) and sessions.get(conn_id) is entry:
            del sessions[conn_id]
        if not entry.users:
            await _close(entry.opening)


async def is_outdated(
    session: RunwaySession, load: Callable[[str], RunwaySettings], *, failing: bool = False
) -> bool:
    """
    Return whether the connection has changed, such as its key; if so, the next user opens a new session.

    :param session: The session that was refused, or whose polls fail.
    :param load: Reads the connection; may block, and is called in a thread.
    :param failing: Polls fail, but the key is not rejected: then a new key alone is no change, and the
        connection is read at most once a minute for all who share the session.
    """
    conn_id, readings = session.settings.conn_id, session.readings
    if failing:
        if readings.is_mended or time.monotonic() < readings.next_at:
            return readings.is_mended
        readings.next_at = time.monotonic() + READ_AGAIN_AFTER
    try:
        found = await sync_to_async(load, thread_sensitive=False)(conn_id)
    except Exception as error:
        log.debug("Connection %r cannot be read anew: %s", conn_id, error)
        return False
    readings.is_mended = session.settings.is_mended(found)
    if found == session.settings or (failing and not readings.is_mended):
        return False
    sessions = _shared.setdefault(asyncio.get_running_loop(), {})
    entry = sessions.get(conn_id)
    if entry is not None and entry.opening.done() and entry.opening.result() is session:
        # Those who still use it close it.
        del sessions[conn_id]
    return True


async def _open(conn_id: str, load: Callable[[str], RunwaySettings]) -> RunwaySession:
    # Reading a connection and the certificates blocks; in the triggerer, Airflow wants it in a thread.
    settings = await sync_to_async(load, thread_sensitive=False)(conn_id)
    context = await sync_to_async(settings.ssl_context, thread_sensitive=False)()
    connect, read = settings.timeout
    proxy, proxy_headers = _without_user(settings.proxy_for(settings.base_url))
    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        # A timer for each piece of an answer would cost more than it finds out sooner.
        timeout=aiohttp.ClientTimeout(total=connect + read, sock_connect=connect),
    )
    return RunwaySession(
        settings=settings,
        client=client,
        headers={
            "Authorization": f"Bearer {settings.api_key}",
            "User-Agent": USER_AGENT,
            "Accept-Encoding": bodies.ACCEPTED,
            # Without TLS there is no tunnel: the proxy gets the request itself.
            **(proxy_headers if settings.base_url.startswith("http://") else {}),
        },
        proxy=proxy,
        proxy_headers=proxy_headers,
        pacer=Pacer(per_second=settings.max_lookups_per_second, at_once=MAX_CONNECTIONS),
    )


def _without_user(proxy: str | None) -> tuple[str | None, dict[str, str]]:
    """Return the URL of a proxy, and a header with its user and password: errors repeat the URL."""
    parts = urlsplit(proxy or "")
    if "@" not in parts.netloc:
        return proxy, {}
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    # The encoding is that of `requests` in a worker.
    encoded = base64.b64encode(user.encode("latin-1", "replace")).decode()
    return url, {"Proxy-Authorization": f"Basic {encoded}"}


async def _close(opening: asyncio.Task[RunwaySession]) -> None:
    if not opening.done():
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        await opening.result().client.close()

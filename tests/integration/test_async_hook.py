"""The hook of the triggerer: one session for all, nothing that blocks the loop, nothing but look-ups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayRateLimitError,
    RunwayServerError,
    RunwayTaskNotFoundError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks import sessions
from airflow_provider_runway.hooks.runway import RunwayAsyncHook, RunwayHook
from airflow_provider_runway.simulator import Simulator
from tests.integration.recorder import Answer, Recorder, always, envelope

REQUEST = GenerateVideo("A paper boat")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_runway.hooks.repeating.backoff", lambda *_, **__: 0.001)
    monkeypatch.setattr("airflow_provider_runway.hooks.pacing.backoff", lambda *_, **__: 0.001)
    monkeypatch.setattr("airflow_provider_runway.hooks.pacing.random", SimpleNamespace(uniform=min))


@pytest.fixture
def task_id(runway_simulator: Simulator) -> str:
    """A task that was submitted a while ago."""
    task_id = RunwayHook().submit(REQUEST)
    runway_simulator.advance(600)
    return task_id


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_it_reads_what_the_workers_hook_reads(
    runway_simulator: Simulator, connect: Callable[..., str], api: str
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    task_id = RunwayHook().submit(REQUEST)
    runway_simulator.advance(600)
    task = asyncio.run(RunwayAsyncHook().get_task(task_id))
    assert task == RunwayHook().get_task(task_id)
    assert task.video_url


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 429},
        {"kind": "body_code", "code": 500},
        {"kind": "http_error", "status": 503},
        {"kind": "html", "status": 502},
        {"kind": "garbage"},
        {"kind": "drop_before"},
        {"kind": "drop_after"},
    ],
    ids=str,
)
def test_a_look_up_is_repeated(runway_simulator: Simulator, task_id: str, fault: dict[str, Any]) -> None:
    runway_simulator.add_fault(count=3, **fault)
    assert asyncio.run(RunwayAsyncHook().get_task(task_id)).video_url


def test_patience_ends(runway_simulator: Simulator, task_id: str) -> None:
    runway_simulator.add_fault("http_error", status=503, count=None)
    with pytest.raises(RunwayServerError, match="503"):
        asyncio.run(RunwayAsyncHook(patience=0).get_task(task_id))


def test_an_answer_that_does_not_come_is_a_server_error(
    runway_simulator: Simulator, connect: Callable[..., str], task_id: str
) -> None:
    connect(host=runway_simulator.url, extra={"timeout": 0.2})
    runway_simulator.add_fault("slow", seconds=30)
    with pytest.raises(RunwayServerError, match="no answer"):
        asyncio.run(RunwayAsyncHook(patience=0).get_task(task_id))


def test_nobody_at_the_host_is_a_server_error(connect: Callable[..., str]) -> None:
    connect(host="http://127.0.0.1:9")
    with pytest.raises(RunwayServerError, match=r"http://127\.0\.0\.1:9"):
        asyncio.run(RunwayAsyncHook(patience=0).get_task("task-1"))


def test_a_host_that_a_library_cannot_make_a_name_of_is_a_server_error(
    connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gets past the check of the connection must not end a wait."""
    import aiohttp

    def refuse(*_: Any, **__: Any) -> Any:
        raise UnicodeError("label empty or too long")

    connect()
    monkeypatch.setattr(aiohttp.ClientSession, "get", refuse)
    with pytest.raises(RunwayServerError, match="label empty or too long"):
        asyncio.run(RunwayAsyncHook(patience=0).get_task("task-1"))


def test_errors_keep_their_kinds(recorder: Recorder, connect: Callable[..., str]) -> None:
    connect(host=recorder.url)
    for code, kind in ((401, RunwayAuthenticationError), (404, RunwayTaskNotFoundError)):
        recorder.answer = always(envelope(None, code, "no"))
        with pytest.raises(kind, match="task-1"):
            asyncio.run(RunwayAsyncHook().get_task("task-1"))
    recorder.answer = lambda request: envelope(None, 429)._replace(status=429, headers={"Retry-After": "3"})
    with pytest.raises(RunwayRateLimitError) as caught:
        asyncio.run(RunwayAsyncHook(patience=0).get_task("task-1"))
    assert caught.value.retry_after == 3


@pytest.mark.parametrize("runway_task_id", ["", "two words", None])
def test_what_cannot_be_a_task_id_is_refused_before_any_request(
    recorder: Recorder, connect: Callable[..., str], runway_task_id: Any
) -> None:
    connect(host=recorder.url)
    for model in ("runway", "gen4"):
        with pytest.raises(RunwayValidationError):
            asyncio.run(RunwayAsyncHook().get_task(runway_task_id, model=model))
    assert recorder.requests == []


def _open_sessions() -> int:
    return sum(len(of_loop) for of_loop in sessions._shared.values())


def test_look_ups_at_once_share_one_session_and_the_last_closes_it(
    runway_simulator: Simulator, task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aiohttp

    clients: list[aiohttp.ClientSession] = []
    original = aiohttp.ClientSession.__init__

    def note(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        clients.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", note)

    async def look(times: int) -> None:
        await asyncio.gather(*(RunwayAsyncHook().get_task(task_id) for _ in range(times)))

    asyncio.run(look(100))
    assert len(clients) == 1
    assert clients[0].closed
    assert _open_sessions() == 0
    # Another loop, another session: a session belongs to the loop that it was opened in.
    asyncio.run(look(2))
    assert len(clients) == 2
    assert clients[1].closed


def test_a_user_who_is_cancelled_does_not_take_the_session_from_the_others(
    runway_simulator: Simulator, task_id: str
) -> None:
    async def look() -> None:
        hook = RunwayAsyncHook()
        first = asyncio.create_task(hook.get_task(task_id))
        second = asyncio.create_task(hook.get_task(task_id))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).video_url
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(look())
    assert _open_sessions() == 0


def test_all_users_cancelled_leave_nothing_open(runway_simulator: Simulator, task_id: str) -> None:
    async def look() -> None:
        users = [asyncio.create_task(RunwayAsyncHook().get_task(task_id)) for _ in range(5)]
        await asyncio.sleep(0)
        for user in users:
            user.cancel()
        assert all(
            isinstance(result, asyncio.CancelledError)
            for result in await asyncio.gather(*users, return_exceptions=True)
        )

    asyncio.run(look())
    assert _open_sessions() == 0


def test_a_session_that_cannot_be_opened_is_tried_again_by_the_next_user(
    runway_simulator: Simulator, connect: Callable[..., str], task_id: str
) -> None:
    async def look() -> None:
        connect(host=runway_simulator.url, password="")
        with pytest.raises(RunwayAuthenticationError):
            await RunwayAsyncHook().get_task(task_id)
        connect(host=runway_simulator.url)
        assert (await RunwayAsyncHook().get_task(task_id)).video_url

    asyncio.run(look())


def test_nothing_blocks_the_loop(
    runway_simulator: Simulator, task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are read from a database or a vault: that, names and certificates belong in threads."""
    import socket
    import ssl
    import threading

    from airflow_provider_runway.compat import BaseHook

    loop_thread = threading.get_ident()
    blocked: list[str] = []

    def forbid(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def checked(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == loop_thread:
                blocked.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, checked)

    forbid(time, "sleep")
    forbid(socket, "getaddrinfo")
    forbid(socket, "create_connection")
    forbid(ssl, "create_default_context")
    forbid(BaseHook, "get_connection")
    asyncio.run(RunwayAsyncHook().get_task(task_id))
    assert blocked == []


def test_any_bytes_are_a_task_or_an_error_of_ours(recorder: Recorder, connect: Callable[..., str]) -> None:
    connect(host=recorder.url)
    bodies = [
        b"",
        b"\xff\xfe",
        b"[]",
        b'"x"',
        b"null",
        b'{"code": 200}',
        b'{"code":200,"data":[1]}',
        b"<html>",
    ]
    for body in bodies:
        for status in (200, 204, 301, 404, 418, 500):
            recorder.answer = always(Answer(b"" if status == 204 else body, status))
            with pytest.raises(RunwayError):
                asyncio.run(RunwayAsyncHook(patience=0).get_task("task-1"))

"""All triggers of an event loop and connection share one session, and none of them blocks the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from airflow_provider_runway.hooks import sessions
from airflow_provider_runway.hooks.runway import RunwayAsyncHook
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from tests.integration.recorder import Answer, Recorder, Request, envelope
from tests.integration.test_pacing import until

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Every HTTP session that was opened."""
    made: list[aiohttp.ClientSession] = []
    original = aiohttp.ClientSession.__init__

    def noted(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        made.append(session)
        original(session, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", noted)
    return made


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every look-up of a connection: its ID, and the thread that made it."""
    from airflow_provider_runway.compat import BaseHook

    made: list[tuple[str, str]] = []
    original = BaseHook.get_connection

    def noted(conn_id: str) -> Any:
        made.append((conn_id, threading.current_thread().name))
        return original(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", noted)
    return made


def going_on(looks: int) -> Callable[[Request], Answer]:
    """Return a script for tasks that fail at a certain look."""
    seen: dict[str, int] = {}

    def script(request: Request) -> Answer:
        seen[request.path] = seen.get(request.path, 0) + 1
        return envelope({"taskId": "1", "state": "fail" if seen[request.path] >= looks else "generating"})

    return script


async def wait_for(*runway_task_ids: str, conn_id: str = "runway_default") -> None:
    """Wait for tasks together."""
    await asyncio.gather(*(RunwayTaskTrigger(task_id, conn_id).wait() for task_id in runway_task_ids))


def test_many_looks_of_many_triggers_read_the_connection_and_open_a_session_once(
    recorder: Recorder,
    connect: Callable[..., str],
    opened: list[aiohttp.ClientSession],
    looked_up: list[tuple[str, str]],
) -> None:
    connect(host=recorder.url)
    recorder.answer = going_on(5)
    asyncio.run(wait_for(*(f"task-{number}" for number in range(20))))
    assert len(recorder.requests) == 100
    assert len(opened) == 1
    assert [conn_id for conn_id, _ in looked_up] == ["runway_default"]
    assert looked_up[0][1] != threading.main_thread().name


def test_the_session_stays_open_for_the_last_one_and_is_closed_by_it(
    recorder: Recorder, connect: Callable[..., str], opened: list[aiohttp.ClientSession]
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope(
        {"taskId": "1", "state": "fail" if "short" in request.path else "generating"}
    )

    async def run() -> None:
        long = asyncio.create_task(wait_for("long"))
        await until(lambda: bool(recorder.requests))
        await wait_for("short")
        assert not opened[0].closed
        before = len(recorder.requests)
        await until(lambda: len(recorder.requests) > before)
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        assert opened[0].closed

    asyncio.run(run())
    assert len(opened) == 1


def test_who_comes_after_the_last_one_reads_the_connection_anew(
    recorder: Recorder, connect: Callable[..., str], looked_up: list[tuple[str, str]]
) -> None:
    connect(host="http://127.0.0.1:9")
    recorder.answer = going_on(1)

    async def run() -> None:
        async with RunwayAsyncHook().shared_session() as session:
            assert session.settings.base_url == "http://127.0.0.1:9"
        connect(host=recorder.url)
        await wait_for("task")

    asyncio.run(run())
    assert len(looked_up) == 2
    assert len(recorder.requests) == 1


def test_waits_whose_polls_fail_read_the_connection_again_once_a_minute_at_most_for_all_of_them(
    recorder: Recorder, connect: Callable[..., str], looked_up: list[tuple[str, str]]
) -> None:
    connect(host=recorder.url)
    answer = going_on(10)

    def failing(request: Request) -> Answer:
        found = answer(request)
        return found if b"fail" in found.body else Answer(b"<html>", 502)

    recorder.answer = failing
    asyncio.run(wait_for(*(f"task-{number}" for number in range(20))))
    assert len(recorder.requests) == 200
    # To open the session, and then once for all of them.
    assert len(looked_up) == 2
    assert threading.main_thread().name not in {thread for _, thread in looked_up}


def test_all_waits_and_those_that_come_later_go_on_with_one_new_session_where_the_connection_is_mended(
    recorder: Recorder,
    connect: Callable[..., str],
    opened: list[aiohttp.ClientSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "READ_AGAIN_AFTER", 0.05)
    recorder.answer = going_on(5)
    with Recorder() as wrong:
        wrong.answer = lambda request: Answer(b"<html>This is another service</html>")

        async def run() -> None:
            connect(host=wrong.url)
            waits = [asyncio.create_task(wait_for(f"task-{number}")) for number in range(20)]
            await until(lambda: len({request.path for request in wrong.requests}) >= 20)
            connect(host=recorder.url)
            await until(lambda: bool(recorder.requests))
            before = len(wrong.requests)
            await wait_for("later")
            assert not any("later" in request.path for request in wrong.requests[before:])
            await asyncio.gather(*waits)

        asyncio.run(run())
    assert len({request.path for request in recorder.requests if "record-detail" in request.path}) == 21
    assert len(opened) == 2
    assert all(session.closed for session in opened)


def test_each_connection_has_a_session_of_its_own(
    recorder: Recorder, connect: Callable[..., str], opened: list[aiohttp.ClientSession]
) -> None:
    recorder.answer = going_on(3)
    for number in (1, 2):
        connect(f"account_{number}", host=recorder.url, password=f"key-of-account-{number}")

    async def run() -> None:
        await asyncio.gather(*(wait_for(f"task-{n}", conn_id=f"account_{n}") for n in (1, 2)))

    asyncio.run(run())
    assert len(opened) == 2
    for request in recorder.requests:
        account = request.path[-1]
        assert request.headers["authorization"] == f"Bearer key-of-account-{account}"


def test_each_event_loop_has_a_session_of_its_own(
    recorder: Recorder, connect: Callable[..., str], opened: list[aiohttp.ClientSession]
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope({"taskId": "1", "state": "fail"})
    threads = [threading.Thread(target=lambda: asyncio.run(wait_for("task"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 2
    assert all(session.closed for session in opened)
    assert not any(sessions._shared.values())


def test_one_that_is_cancelled_while_the_session_opens_does_not_take_it_from_the_others(
    recorder: Recorder,
    connect: Callable[..., str],
    opened: list[aiohttp.ClientSession],
    looked_up: list[tuple[str, str]],
) -> None:
    connect(host=recorder.url)
    recorder.answer = going_on(1)

    async def run() -> None:
        first, second = (asyncio.create_task(wait_for(name)) for name in ("first", "second"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 60)

    asyncio.run(run())
    assert len(looked_up) == 1
    assert len(opened) == 1


def test_a_connection_is_kept_alive_between_looks(recorder: Recorder, connect: Callable[..., str]) -> None:
    connect(host=recorder.url)
    recorder.answer = going_on(20)
    asyncio.run(wait_for("task"))
    assert len(recorder.requests) == 20
    assert len({request.connection for request in recorder.requests}) == 1


def test_nothing_blocks_the_loop(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could block raises where the loop runs; in a thread of its own it may."""
    import builtins
    import socket
    import ssl
    import time

    from airflow_provider_runway.compat import BaseHook

    connect(host=recorder.url)
    recorder.answer = going_on(5)
    blocked: list[str] = []

    async def run() -> None:
        # What is imported at the first look only is no matter of the looks.
        await wait_for("first")
        loop_thread = threading.get_ident()

        def forbid(owner: Any, name: str) -> None:
            original = getattr(owner, name)

            def guarded(*args: Any, **kwargs: Any) -> Any:
                if threading.get_ident() == loop_thread:
                    blocked.append(name)
                    raise AssertionError(f"{name} in the event loop")
                return original(*args, **kwargs)

            monkeypatch.setattr(owner, name, guarded)

        for owner, name in (
            (time, "sleep"),
            (builtins, "open"),
            (socket, "getaddrinfo"),
            (socket, "create_connection"),
            (ssl, "create_default_context"),
            (BaseHook, "get_connection"),
        ):
            forbid(owner, name)
        await wait_for(*(f"task-{number}" for number in range(10)))

    asyncio.run(run())
    assert blocked == []
    assert len(recorder.requests) == 55


def test_the_same_answer_again_is_not_read_again_and_another_one_is(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_runway.api import answers

    connect(host=recorder.url)
    states = iter(["queueing"] * 5 + ["generating"] * 5 + ["queueing"] * 5 + ["fail"])
    recorder.answer = lambda request: envelope({"taskId": "1", "state": next(states)})
    read: list[str] = []
    original = answers.read_task

    def noted(*args: Any, **kwargs: Any) -> Any:
        task = original(*args, **kwargs)
        read.append(str(task.state))
        return task

    monkeypatch.setattr(answers, "read_task", noted)
    end = asyncio.run(RunwayTaskTrigger("1").wait())
    assert read == ["queueing", "generating", "queueing", "failed"]
    assert end.error is not None


def test_an_error_between_two_same_answers_is_still_an_error(
    recorder: Recorder, connect: Callable[..., str]
) -> None:
    connect(host=recorder.url)
    same = envelope({"taskId": "1", "state": "generating"})
    recorded = iter([same, same, Answer(same.body, 503), same, envelope(None, 401, "no access")])
    recorder.answer = lambda request: next(recorded)
    end = asyncio.run(RunwayTaskTrigger("1").wait())
    assert "no access" in str(end.error)
    assert len(recorder.requests) == 5

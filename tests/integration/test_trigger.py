"""The trigger: it reads only, keeps its deadline over restarts, and goes on looking through any outage."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.exceptions import AirflowFailException

from airflow_provider_runway.api.requests import GenerateAlephVideo, GenerateVideo
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayConnectionNotFoundError,
    RunwayTaskNotFoundError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from airflow_provider_runway.waiting.ending import WaitEnd
from tests.integration.conftest import KEY
from tests.integration.recorder import Answer, Recorder, Request, Script, envelope
from tests.integration.test_pacing import until

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the trigger has logged; Airflow's own logger does not go through the standard library's."""
    monkeypatch.setattr(RunwayTaskTrigger, "log", logging.getLogger("tests.trigger"), raising=False)
    caplog.set_level(logging.DEBUG)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "tests.trigger"]


REQUEST = GenerateVideo("A paper boat")
ARGUMENTS: dict[str, Any] = {
    "runway_task_id": "task-1",
    "runway_conn_id": "another",
    "model": "aleph",
    "poll_interval": 7.5,
    "end_time": 1_900_000_000.0,
    "started_at": 1_800_000_000.0,
}


def again(trigger: RunwayTaskTrigger) -> RunwayTaskTrigger:
    """Return the trigger as another triggerer makes it, from what is stored in the database."""
    import importlib

    path, arguments = trigger.serialize()
    module, name = path.rsplit(".", 1)
    made = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert isinstance(made, RunwayTaskTrigger)
    return made


async def _event(trigger: RunwayTaskTrigger) -> Any:
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0].payload))


def run(trigger: RunwayTaskTrigger) -> WaitEnd:
    """Return how the trigger's wait ends, read from its one event."""
    return WaitEnd.from_event(asyncio.run(_event(trigger)))


def submit(simulator: Simulator, *faults: str) -> str:
    """Return the ID of a new task, made with these faults."""
    for fault in faults:
        simulator.add_fault(fault)
    return RunwayHook().submit(REQUEST)


def test_every_argument_of_the_constructor_is_serialized() -> None:
    import inspect

    parameters = list(inspect.signature(RunwayTaskTrigger).parameters)
    trigger = RunwayTaskTrigger(**ARGUMENTS)
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_runway.triggers.runway.RunwayTaskTrigger"
    assert sorted(arguments) == sorted(parameters)
    assert arguments.items() >= ARGUMENTS.items()
    assert again(trigger).serialize() == (path, arguments)


def test_the_deadline_does_not_start_afresh_where_the_trigger_does() -> None:
    before = time.time()
    trigger = RunwayTaskTrigger("task-1")
    assert before + 3600 <= trigger.end_time <= time.time() + 3600
    deadline = trigger.serialize()[1]["end_time"]
    for _ in range(3):
        trigger = again(trigger)
    assert trigger.end_time == deadline


def test_nothing_secret_is_serialized(connect: Callable[..., str]) -> None:
    connect()
    assert KEY not in json.dumps(RunwayTaskTrigger("task-1").serialize())


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_it_fires_the_video_and_sends_nothing_but_look_ups(
    runway_simulator: Simulator, connect: Callable[..., str], api: str
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    task_id = submit(runway_simulator)
    sent_before = {(r["method"], r["path"]): r["count"] for r in runway_simulator.stats()["requests"]}
    task = run(RunwayTaskTrigger(task_id)).result()
    assert (task.task_id, task.video_url is not None) == (task_id, True)
    sent = {(r["method"], r["path"]): r["count"] for r in runway_simulator.stats()["requests"]}
    assert {method for method, path in sent if sent[method, path] != sent_before.get((method, path))} == {
        "GET"
    }
    assert len(runway_simulator.creations) == 1


def test_it_waits_for_an_aleph_video(runway_simulator: Simulator) -> None:
    hook = RunwayHook()
    source = run(RunwayTaskTrigger(submit(runway_simulator))).result().video_url
    task_id = hook.submit(GenerateAlephVideo("As a watercolour", source or ""))
    assert run(RunwayTaskTrigger(task_id, model="aleph")).result().model == "aleph"


def test_a_failed_task_is_an_event_with_kies_words(runway_simulator: Simulator) -> None:
    task_id = submit(runway_simulator, "moderation")
    with pytest.raises(RunwayTaskRejectedError, match="AI moderator") as caught:
        run(RunwayTaskTrigger(task_id)).result()
    assert task_id in str(caught.value)
    assert "https://kie.ai/logs" in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 503},
        {"kind": "http_error", "status": 429},
        {"kind": "body_code", "code": 500},
        {"kind": "body_code", "code": 408},
        {"kind": "html", "status": 502},
        {"kind": "garbage"},
        {"kind": "drop_before"},
        {"kind": "drop_after"},
    ],
    ids=str,
)
def test_failed_look_ups_do_not_end_the_wait(runway_simulator: Simulator, fault: dict[str, Any]) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.add_fault(path="/api/v1/runway/record-detail", count=8, **fault)
    assert run(RunwayTaskTrigger(task_id)).result().video_url
    assert len(runway_simulator.creations) == 1


def test_an_outage_does_not_end_the_wait(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    runway_simulator.stop()

    async def wait() -> Any:
        waiting = asyncio.create_task(_event(RunwayTaskTrigger(task_id)))
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert not waiting.done()
        await asyncio.to_thread(runway_simulator.start)
        return await asyncio.wait_for(waiting, 60)

    assert WaitEnd.from_event(asyncio.run(wait())).result().video_url
    assert len(runway_simulator.creations) == 1


def test_an_outage_until_the_deadline_is_a_time_out(runway_simulator: Simulator) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.add_fault("http_error", status=503, count=None)
    with pytest.raises(RunwayTimeoutError, match="503") as caught:
        run(RunwayTaskTrigger(task_id, end_time=time.time() + 0.3)).result()
    assert "charged" not in str(caught.value), "nobody has seen this ID"
    with pytest.raises(RunwayTimeoutError, match=r"503.*continues at kie.ai and is charged"):
        run(RunwayTaskTrigger(task_id, end_time=time.time() + 0.3, kind="generate")).result()


def test_a_server_that_asks_to_wait_past_the_deadline_does_not_move_it(runway_simulator: Simulator) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.add_fault("http_error", status=429, headers={"Retry-After": "86400"}, count=None)

    async def two_waits() -> list[Any]:
        deadline = time.time() + 0.5
        waits = (_event(RunwayTaskTrigger(task_id, end_time=deadline)) for _ in range(2))
        return await asyncio.wait_for(asyncio.gather(*waits), 100)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "airflow_provider_runway.hooks.pacing.backoff", lambda _, retry_after, **__: retry_after
        )
        patch.setattr("airflow_provider_runway.triggers.runway._LAST_LOOK", 1.0)
        events = asyncio.run(two_waits())
    for event in events:
        with pytest.raises(RunwayTimeoutError):
            WaitEnd.from_event(event).result()


def test_a_stuck_task_ends_at_the_deadline_of_the_first_trigger(runway_simulator: Simulator) -> None:
    task_id = submit(runway_simulator, "stuck")
    trigger = RunwayTaskTrigger(task_id, end_time=time.time() + 0.3)

    async def restarted() -> Any:
        first = asyncio.create_task(_event(trigger))
        while not runway_simulator.tasks[0]["lookups"]:  # noqa: ASYNC110 - the simulator is in a thread
            await asyncio.sleep(0.001)
        first.cancel()
        return await _event(again(trigger))

    with pytest.raises(RunwayTimeoutError, match=task_id):
        WaitEnd.from_event(asyncio.run(restarted())).result()
    assert len(runway_simulator.creations) == 1


def test_a_deadline_that_passed_while_no_triggerer_ran_still_finds_the_video(
    runway_simulator: Simulator,
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    assert run(RunwayTaskTrigger(task_id, started_at=1.0, end_time=2.0)).result().video_url


def test_a_rejected_key_ends_the_wait_at_once(recorder: Recorder, connect: Callable[..., str]) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope(None, 401, "You do not have access permissions")
    with pytest.raises(RunwayAuthenticationError, match="You do not have access permissions"):
        run(RunwayTaskTrigger("task-1")).result()
    assert len(recorder.requests) == 1


def test_a_key_that_is_changed_while_waiting_is_taken_up(
    recorder: Recorder, connect: Callable[..., str]
) -> None:
    connect(host=recorder.url)
    video = {"videoUrl": "https://example.com/video.mp4"}

    def answer(request: Request) -> Answer:
        if request.headers["authorization"] == f"Bearer {KEY}":
            connect(host=recorder.url, password="key-of-tomorrow")
            return envelope(None, 401, "This key was revoked")
        return envelope({"taskId": "task-1", "state": "success", "videoInfo": video})

    recorder.answer = answer
    assert run(RunwayTaskTrigger("task-1")).result().video_url == "https://example.com/video.mp4"
    assert len(recorder.requests) == 2


SUCCESS = envelope({"state": "success", "videoInfo": {"videoUrl": "https://example.com/video.mp4"}})


def a_slow_success(request: Request) -> Answer:
    time.sleep(0.4)
    return SUCCESS


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ({"host": "http://127.0.0.1:9"}, lambda request: SUCCESS),
        ({"extra": {"proxies": "http://127.0.0.1:9"}}, lambda request: SUCCESS),
        ({"extra": {"timeout": 0.1}}, a_slow_success),
    ],
    ids=["host", "proxy", "timeout"],
)
def test_a_connection_that_is_mended_is_taken_up_while_polls_fail(
    recorder: Recorder,
    connect: Callable[..., str],
    lines: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, Any],
    answer: Script,
) -> None:
    monkeypatch.setattr("airflow_provider_runway.hooks.sessions.READ_AGAIN_AFTER", 0.05)
    recorder.answer = answer

    async def wait() -> WaitEnd:
        connect(**{"host": recorder.url, **wrong})
        waiting = asyncio.create_task(RunwayTaskTrigger("task-1").wait())
        await until(lambda: any("cannot be polled" in line for line in lines()))
        connect(host=recorder.url)
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(wait()).result().video_url


def test_a_new_key_is_not_taken_up_while_polls_fail_as_it_may_be_another_accounts(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.hooks.sessions.READ_AGAIN_AFTER", 0.0)
    connect(host=recorder.url, password="the-key-of-the-account")

    def script(request: Request) -> Answer:
        connect(host=recorder.url, password="the-key-of-another-account")
        if request.headers["authorization"] != "Bearer the-key-of-the-account":
            return envelope(None, 404, "no such task")
        return SUCCESS if len(recorder.requests) > 5 else Answer(b"", 503)

    recorder.answer = script
    assert run(RunwayTaskTrigger("task-1")).result().video_url


@pytest.mark.parametrize("was_seen", [True, False])
def test_a_connection_that_cannot_be_right_is_waited_out_where_the_task_was_seen_before(
    recorder: Recorder, connect: Callable[..., str], lines: Callable[[], list[str]], was_seen: bool
) -> None:
    """By the worker that gave the task to the triggerer."""
    recorder.answer = lambda request: SUCCESS

    async def wait() -> WaitEnd:
        connect(host=recorder.url, extra={"api": "markt"})
        waiting = asyncio.create_task(again(RunwayTaskTrigger("task-1", was_seen=was_seen)).wait())
        if was_seen:
            await until(lambda: any("markt" in line for line in lines()))
            connect(host=recorder.url)
        return await asyncio.wait_for(waiting, 60)

    end = asyncio.run(wait())
    if was_seen:
        assert end.result().video_url
    else:
        assert isinstance(end.error, RunwayValidationError)


def test_a_connection_without_a_key_ends_the_wait_at_once(connect: Callable[..., str]) -> None:
    connect(password="")
    with pytest.raises(RunwayAuthenticationError, match="password"):
        run(RunwayTaskTrigger("task-1")).result()


def test_a_model_that_is_none_ends_the_wait_at_once(connect: Callable[..., str]) -> None:
    connect()
    with pytest.raises(RunwayValidationError, match="model='gen4'"):
        run(RunwayTaskTrigger("task-1", model="gen4")).result()


def test_a_connection_that_cannot_be_read_for_a_while_does_not_end_the_wait(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_runway.compat import BaseHook

    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    original, failures = BaseHook.get_connection, [OSError("the vault is sealed")] * 3

    def unreliable(conn_id: str) -> Any:
        if failures:
            raise failures.pop()
        return original(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", unreliable)
    assert run(RunwayTaskTrigger(task_id)).result().video_url
    assert failures == []


def test_a_connection_that_airflow_does_not_find_for_a_while_does_not_end_the_wait(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    """Airflow 3 says that there is no such connection, too, where its API server cannot be reached."""
    from airflow_provider_runway.compat import AirflowNotFoundException, BaseHook

    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    original, failures = BaseHook.get_connection, [AirflowNotFoundException("The conn_id isn't defined")] * 3

    def unreliable(conn_id: str) -> Any:
        if failures:
            raise failures.pop()
        return original(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", unreliable)
    assert run(RunwayTaskTrigger(task_id)).result().video_url
    assert failures == []
    assert any("isn't defined" in line for line in lines())


def test_a_connection_that_is_still_not_there_ends_the_wait(
    connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.CONNECTION_GRACE", 0.3)
    with pytest.raises(RunwayConnectionNotFoundError, match="runway_conn_id='nobody'") as caught:
        run(RunwayTaskTrigger("task-1", "nobody")).result()
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("status", [401, 403])
def test_a_page_of_the_edge_does_not_end_the_wait(
    runway_simulator: Simulator, connect: Callable[..., str], status: int
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    runway_simulator.add_fault("html", path="/api/v1/runway/record-detail", status=status, count=2)
    assert run(RunwayTaskTrigger(task_id)).result().video_url


def test_tasks_of_a_new_key_are_asked_for_with_it_while_others_wait_with_the_old_one(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key may be another account's, which is refused nothing but the other one's tasks."""
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.GRACE", 0.3)
    old, new = "the-key-of-the-old-account", "the-key-of-the-new-account"

    asked = threading.Event()

    def script(request: Request) -> Answer:
        asked.set()
        is_new = request.headers["authorization"].endswith(new)
        if "for-new" not in request.path:
            return envelope({"state": "generating"})
        if not is_new:
            return envelope(None)
        return envelope({"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}})

    recorder.answer = script

    async def both() -> WaitEnd:
        connect(host=recorder.url, password=old)
        other = asyncio.create_task(RunwayTaskTrigger("for-old").wait())
        assert await asyncio.to_thread(asked.wait, 30)
        connect(host=recorder.url, password=new)
        end = await RunwayTaskTrigger("for-new").wait()
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        return end

    assert asyncio.run(asyncio.wait_for(both(), 60)).result().video_url


def test_an_unknown_id_has_a_grace_and_then_ends_the_wait(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.GRACE", 2.0 * runway_simulator.settings.speed)
    with pytest.raises(RunwayTaskNotFoundError, match="nobody-knows-me"):
        run(RunwayTaskTrigger("nobody-knows-me")).result()
    assert sum(request["count"] for request in runway_simulator.stats()["requests"]) > 1


def test_a_stray_unknown_after_a_restart_does_not_end_the_wait(runway_simulator: Simulator) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    runway_simulator.add_fault("body_code", path="/api/v1/runway/record-detail", code=200, count=3)
    long_ago = time.time() - 1000
    assert run(again(RunwayTaskTrigger(task_id, started_at=long_ago))).result().video_url


def test_it_logs_a_line_at_each_change_of_state_and_none_at_each_look(
    recorder: Recorder, connect: Callable[..., str], lines: Callable[[], list[str]]
) -> None:
    connect(host=recorder.url)
    states = iter(["wait"] * 5 + ["queueing"] * 5 + ["generating"] * 5 + ["fail"])
    recorder.answer = lambda request: envelope({"taskId": "task-1", "state": next(states)})
    run(RunwayTaskTrigger("task-1"))
    changes = [line for line in lines() if "the next poll" not in line]
    assert [line.split()[-1] for line in changes] == ["waiting", "queueing", "generating", "failed"]
    assert all("task-1" in line and KEY not in line for line in lines())


def test_a_hundred_failures_in_a_row_are_one_line(
    recorder: Recorder, connect: Callable[..., str], lines: Callable[[], list[str]]
) -> None:
    connect(host=recorder.url)
    answers = iter([envelope(None, 503, "down")] * 100 + [envelope({"taskId": "task-1", "state": "fail"})])
    recorder.answer = lambda request: next(answers)
    run(RunwayTaskTrigger("task-1"))
    told = [line for line in lines() if "the next poll" not in line]
    assert len(told) == 2
    assert "503" in told[0]


def test_two_hundred_triggers_share_one_session(
    runway_simulator: Simulator, runway_simulator_settings: dict[str, Any]
) -> None:
    hook = RunwayHook()
    task_ids = []
    for _ in range(10):
        for _ in range(20):
            task_ids.append(hook.submit(REQUEST))
        runway_simulator.advance(11)
    runway_simulator.advance(600)
    before = runway_simulator.stats(lists=False)["connections"]

    async def wait() -> list[Any]:
        return await asyncio.gather(*(_event(RunwayTaskTrigger(task_id)) for task_id in task_ids))

    ends = [WaitEnd.from_event(event).result() for event in asyncio.run(wait())]
    assert [end.task_id for end in ends] == task_ids
    assert runway_simulator.stats(lists=False)["connections"] - before <= 50
    assert len(runway_simulator.creations) == 200


def test_a_trigger_that_is_cancelled_or_cleaned_up_sends_nothing(runway_simulator: Simulator) -> None:
    """A restart of the triggerer does that too, so no remote work may be ended there."""
    task_id = submit(runway_simulator, "stuck")

    async def cancelled() -> None:
        trigger = RunwayTaskTrigger(task_id)
        waiting = asyncio.create_task(_event(trigger))
        while runway_simulator.tasks[0]["lookups"] < 2:  # noqa: ASYNC110 - the simulator is in a thread
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await trigger.cleanup()

    asyncio.run(asyncio.wait_for(cancelled(), 60))
    posts = [r for r in runway_simulator.stats()["requests"] if r["method"] != "GET"]
    assert sum(request["count"] for request in posts) == 1

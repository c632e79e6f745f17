"""The sensor in its three modes: poking, rescheduled and deferred, with Airflow's ``timeout`` and skips."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    TaskDeferred,
)
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayValidationError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from airflow_provider_runway.waiting.ending import WaitEnd
from tests.integration.conftest import TaskInstance
from tests.integration.recorder import Answer, Recorder, envelope
from tests.stores import TaskStateStore
from tests.versions import DAG

pytestmark = pytest.mark.usefixtures("quick", "_first_reschedule")

REQUEST = GenerateVideo("A paper boat")


@pytest.fixture
def _first_reschedule(monkeypatch: pytest.MonkeyPatch, ti: TaskInstance) -> None:
    """Airflow 2 asks its database when a rescheduled sensor first ran."""
    # Airflow 3 makes this module up.
    from airflow.sensors import base  # type: ignore[attr-defined]

    if hasattr(base, "_orig_start_date"):
        monkeypatch.setattr(base, "_orig_start_date", lambda *_, **__: ti.first_reschedule_date)


def sensor(runway_task_id: str, **arguments: Any) -> RunwayTaskSensor:
    return RunwayTaskSensor(task_id="wait", runway_task_id=runway_task_id, **arguments)


def submit(simulator: Simulator, *faults: str) -> str:
    """Return the ID of a new task, made with these faults."""
    for fault in faults:
        simulator.add_fault(fault)
    return RunwayHook().submit(REQUEST)


async def _first_event(trigger: RunwayTaskTrigger) -> Any:
    async for event in trigger.run():
        return event.payload
    return None


def run(operator: RunwayTaskSensor, context: Any) -> Any:
    """Run a sensor to its end as Airflow does, and return its result."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return operator.execute(context)
        except TaskDeferred as deferral:
            _, arguments = deferral.trigger.serialize()
            event = asyncio.run(_first_event(RunwayTaskTrigger(**json.loads(json.dumps(arguments)))))
            stored = json.loads(json.dumps(event))
            return operator.resume_execution(deferral.method_name, {"event": stored}, context)
        except Exception as error:
            if type(error).__name__ != "AirflowRescheduleException":
                raise
            ti = context["ti"]
            ti.first_reschedule_date = ti.first_reschedule_date or ti.start_date
            kept = {name: getattr(operator, name) for name in ("mode", "timeout", "soft_fail")}
            operator = sensor(operator.runway_task_id, **kept)
    raise AssertionError("the sensor did not end")


MODES = pytest.mark.parametrize(
    "arguments",
    [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}],
    ids=["poke", "reschedule", "deferrable"],
)


@MODES
@pytest.mark.parametrize("runway_simulator_settings", [{"speed": 15.0}], ids=["two-seconds"])
def test_it_waits_for_the_video_and_returns_its_url(
    runway_simulator: Simulator, context: Any, ti: TaskInstance, arguments: dict[str, Any]
) -> None:
    url = run(sensor(submit(runway_simulator), **arguments), context)
    assert url.endswith(".mp4")
    assert ti.xcoms["video_url"] == url
    assert ti.xcoms["image_url"].endswith(".jpg")
    assert isinstance(ti.xcoms["video_id"], str)
    assert runway_simulator.tasks[0]["lookups"] > 1
    assert len(runway_simulator.creations) == 1


@MODES
def test_both_generations_of_the_api(
    runway_simulator: Simulator, connect: Callable[..., str], context: Any, arguments: dict[str, Any]
) -> None:
    connect(host=runway_simulator.url, extra={"api": "market"})
    assert run(sensor(submit(runway_simulator), **arguments), context).endswith(".mp4")


@MODES
def test_a_failed_task_fails_it_with_kies_words(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any]
) -> None:
    task_id = submit(runway_simulator, "upstream_failure")
    with pytest.raises(RunwayTaskFailedError, match="internal error, please try again later") as caught:
        run(sensor(task_id, **arguments), context)
    assert task_id in str(caught.value)
    assert "https://kie.ai/logs" in str(caught.value)
    assert not isinstance(caught.value, AirflowFailException)


@MODES
def test_a_moderated_task_is_not_retried(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any]
) -> None:
    with pytest.raises(RunwayTaskRejectedError, match="AI moderator") as caught:
        run(sensor(submit(runway_simulator, "moderation"), **arguments), context)
    assert isinstance(caught.value, AirflowFailException)


@MODES
@pytest.mark.parametrize("has_store", [True, False])
@pytest.mark.parametrize("fault", ["expired", "success_without_url"])
def test_a_success_without_a_video_is_an_error_of_its_own(
    runway_simulator: Simulator,
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    fault: str,
    has_store: bool,
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.GRACE", 2.0 * runway_simulator.settings.speed)
    if has_store:
        context["task_state_store"] = TaskStateStore()
    with pytest.raises(RunwayVideoExpiredError):
        run(sensor(submit(runway_simulator, fault), **arguments), context)


@MODES
@pytest.mark.parametrize("timeout", [0.4, timedelta(seconds=0.4)])
def test_its_timeout_is_airflows_and_ours(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any], timeout: Any
) -> None:
    task_id = submit(runway_simulator, "stuck")
    with pytest.raises(AirflowSensorTimeout) as caught:
        run(sensor(task_id, timeout=timeout, **arguments), context)
    assert isinstance(caught.value, RunwayTimeoutError)
    assert all(text in str(caught.value) for text in (task_id, "charged", "https://kie.ai/logs"))


@MODES
def test_with_soft_fail_a_time_out_is_a_skip(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any]
) -> None:
    with pytest.raises(AirflowSkipException):
        run(sensor(submit(runway_simulator, "stuck"), timeout=0.4, soft_fail=True, **arguments), context)


@MODES
def test_with_soft_fail_a_failure_that_is_final_is_a_skip(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any]
) -> None:
    with pytest.raises(AirflowSkipException):
        run(sensor(submit(runway_simulator, "moderation"), soft_fail=True, **arguments), context)


@MODES
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 503},
        {"kind": "http_error", "status": 429},
        {"kind": "body_code", "code": 500},
        {"kind": "html", "status": 502},
        {"kind": "garbage"},
        {"kind": "drop_before"},
    ],
    ids=str,
)
def test_failed_look_ups_do_not_fail_it(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any], fault: dict[str, Any]
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.add_fault(path="/api/v1/runway/record-detail", count=4, **fault)
    assert run(sensor(task_id, **arguments), context).endswith(".mp4")


@MODES
def test_a_rejected_key_fails_it_at_once(
    recorder: Recorder, connect: Callable[..., str], context: Any, arguments: dict[str, Any]
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope(None, 401, "You do not have access permissions")
    with pytest.raises(RunwayAuthenticationError, match="You do not have access permissions"):
        run(sensor("task-1", **arguments), context)
    assert len(recorder.requests) == 1


@MODES
def test_an_unknown_id_has_a_grace(
    runway_simulator: Simulator, context: Any, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.GRACE", 2.0 * runway_simulator.settings.speed)
    with pytest.raises(RunwayTaskNotFoundError, match="nobody-knows-me"):
        run(sensor("nobody-knows-me", **arguments), context)
    assert sum(request["count"] for request in runway_simulator.stats()["requests"]) > 1


@pytest.mark.parametrize("trouble", ["no connection", "no video", "unknown"])
def test_a_rescheduled_sensor_grants_a_grace_once_over_its_processes_and_not_less_late_in_the_wait(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    connect("good", host=recorder.url)
    recorder.answer = lambda _: envelope(None if trouble == "unknown" else {"state": "success"})
    conn_id = "nowhere" if trouble == "no connection" else "good"
    # The wait has run for half an hour, and each look is in a process of its own.
    context["task_state_store"] = TaskStateStore()
    context["ti"].start_date -= timedelta(minutes=30)
    now = time.time()

    def look(after: float) -> Any:
        monkeypatch.setattr("airflow_provider_runway.sensors.runway.time.time", lambda: now + after)
        waiting = sensor("task-1", mode="reschedule", runway_conn_id=conn_id, timeout=7200)
        return waiting.poke(context).is_done

    grace = 600 if trouble == "no connection" else 90
    assert not look(0)
    assert not look(grace - 10)
    with pytest.raises(RunwayError):
        look(grace + 10)


@pytest.mark.parametrize("trouble", ["no connection", "no video", "unknown"])
def test_one_stray_answer_ends_no_rescheduled_sensor_that_can_keep_nothing(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    connect("good", host=recorder.url)
    stray = envelope({"state": "success"}) if trouble == "no video" else envelope(None)
    # Of an unknown ID, both generations say so.
    answers = [] if trouble == "no connection" else [stray] * (2 if trouble == "unknown" else 1)
    recorder.answer = lambda _: answers.pop(0) if answers else envelope({"state": "generating"})
    pauses: list[float] = []
    monkeypatch.setattr("airflow_provider_runway.sensors.runway.time.sleep", pauses.append)
    context["ti"].start_date -= timedelta(minutes=30)
    conn_id = "nowhere" if trouble == "no connection" else "good"
    waiting = sensor("task-1", mode="reschedule", runway_conn_id=conn_id, timeout=7200)
    assert not waiting.poke(context).is_done
    assert len(pauses) == (trouble != "no connection")


@pytest.mark.parametrize(
    ("data", "error"),
    [(None, RunwayTaskNotFoundError), ({"state": "success"}, RunwayVideoExpiredError)],
    ids=["unknown", "no video"],
)
def test_what_stays_missing_is_asked_for_three_times_by_a_rescheduled_sensor_that_can_keep_nothing(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    data: Any,
    error: type[RunwayError],
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda _: envelope(data)
    pauses: list[float] = []
    monkeypatch.setattr("airflow_provider_runway.sensors.runway.time.sleep", pauses.append)
    assert not sensor("task-1", mode="reschedule").poke(context).is_done
    assert pauses == []
    context["ti"].start_date -= timedelta(seconds=91)
    with pytest.raises(error):
        sensor("task-1", mode="reschedule").poke(context)
    assert pauses == [10.0, 10.0]


def test_a_rescheduled_sensor_tolerates_a_slip_in_the_connection_for_ten_minutes_once_the_task_was_seen(
    recorder: Recorder, connect: Callable[..., str], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context["task_state_store"] = TaskStateStore()
    recorder.answer = lambda request: envelope({"state": "generating"})
    now = time.time()

    def poll(after: float, **extra: Any) -> bool:
        connect(host=recorder.url, extra=extra)
        monkeypatch.setattr("airflow_provider_runway.sensors.runway.time.time", lambda: now + after)
        return bool(sensor("task-1", mode="reschedule", timeout=7200).poke(context).is_done)

    with pytest.raises(RunwayValidationError):
        poll(0, api="markt")
    assert not poll(10)
    assert not poll(1000, api="markt")
    assert not poll(1590, api="markt")
    with pytest.raises(RunwayValidationError, match="markt"):
        poll(1610, api="markt")


def test_what_the_worker_has_seen_of_the_task_goes_with_the_deferral(
    recorder: Recorder, connect: Callable[..., str], context: Any
) -> None:
    """So that a slip in the connection does not end the wait, neither there nor where kie.ai calls."""
    recorder.answer = lambda request: envelope({"state": "generating"})

    def deferral_of(work: Callable[[], Any]) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            work()
        return caught.value

    connect(host=recorder.url)
    seen = deferral_of(lambda: sensor("task-1", deferrable=True).execute(context))
    connect(host=recorder.url, extra={"api": "markt"})
    called = {**(seen.kwargs or {}), "event": {"status": "callback"}}
    again = deferral_of(
        lambda: sensor("task-1", deferrable=True).resume_execution("execute_complete", called, context)
    )
    connect(host="http://127.0.0.1:9")
    unseen = deferral_of(lambda: sensor("task-1", deferrable=True).execute(context))
    told = [deferral.trigger.serialize()[1]["was_seen"] for deferral in (seen, again, unseen)]
    assert told == [True, True, False]


@pytest.mark.parametrize("code", [402, 433, 400, 451, 505])
@MODES
def test_an_answer_that_says_nothing_of_the_task_ends_no_wait(
    recorder: Recorder, connect: Callable[..., str], context: Any, arguments: dict[str, Any], code: int
) -> None:
    connect(host=recorder.url)
    success = {"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}}
    answers = iter([envelope(None, code, "not now")] * 3 + [envelope(success)])
    recorder.answer = lambda request: next(answers)
    assert run(sensor("task-1", **arguments), context) == "https://files.test/v.mp4"


@MODES
def test_a_wait_says_once_when_it_looks_next_and_when_it_gives_up(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    arguments: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(host=recorder.url)
    success = {"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}}
    answers = iter([envelope({"state": "generating"})] * 5 + [envelope(success)])
    recorder.answer = lambda request: next(answers)
    run(sensor("task-1", **arguments), context)
    # Airflow 2 says it in both places.
    told = caplog.text or "".join(capfd.readouterr())
    assert told.count("task-1: the next poll is in") == 1
    assert "the wait gives up at" in told


def test_a_video_that_is_there_needs_no_deferral(
    runway_simulator: Simulator, context: Any, ti: TaskInstance
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    assert sensor(task_id, deferrable=True).execute(context) == ti.xcoms["video_url"]


def test_a_deferral_is_to_our_trigger_and_has_the_sensors_deadline(
    runway_simulator: Simulator, context: Any, ti: TaskInstance
) -> None:
    task_id = submit(runway_simulator, "stuck")
    ti.start_date = datetime.now(timezone.utc) - timedelta(seconds=100)
    with pytest.raises(TaskDeferred) as caught:
        sensor(task_id, deferrable=True, timeout=600, poke_interval=7).execute(context)
    trigger = caught.value.trigger
    assert isinstance(trigger, RunwayTaskTrigger)
    assert (trigger.runway_task_id, trigger.poll_interval) == (task_id, 7)
    assert trigger.end_time == pytest.approx(ti.start_date.timestamp() + 600)
    assert caught.value.timeout is not None
    assert caught.value.timeout > timedelta(seconds=490)


@pytest.mark.parametrize("failure", ["Trigger timeout", "Trigger failure"])
def test_a_trigger_that_failed_is_no_failed_sensor_where_the_video_is_there(
    runway_simulator: Simulator, context: Any, ti: TaskInstance, failure: str
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    url = sensor(task_id, deferrable=True).resume_execution("__fail__", {"error": failure}, context)
    assert url == ti.xcoms["video_url"]


def test_a_trigger_that_failed_does_not_hide_why_the_task_did(
    runway_simulator: Simulator, context: Any
) -> None:
    task_id = submit(runway_simulator, "moderation")
    runway_simulator.advance(600)
    failed = {"error": "Trigger failure"}
    with pytest.raises(RunwayTaskRejectedError, match="AI moderator"):
        sensor(task_id, deferrable=True).resume_execution("__fail__", failed, context)
    with pytest.raises(AirflowSkipException):
        sensor(task_id, deferrable=True, soft_fail=True).resume_execution("__fail__", failed, context)


def test_a_trigger_that_failed_fails_the_sensor_where_there_is_no_video(
    runway_simulator: Simulator, context: Any
) -> None:
    task_id = submit(runway_simulator, "stuck")
    failed = {"error": "Trigger timeout"}
    with pytest.raises(AirflowSensorTimeout, match="Trigger timeout") as caught:
        sensor(task_id, deferrable=True).resume_execution("__fail__", failed, context)
    assert all(text in str(caught.value) for text in (task_id, "charged", "https://kie.ai/logs"))
    with pytest.raises(AirflowSkipException):
        sensor(task_id, deferrable=True, soft_fail=True).resume_execution("__fail__", failed, context)


def _resume_of_2_11(operator: Any, next_method: str, next_kwargs: Any, context: Any) -> Any:
    """The method of Airflow 2.11's base class of sensors."""
    try:
        return super(BaseSensorOperator, operator).resume_execution(next_method, next_kwargs, context)
    except AirflowException as error:
        if operator.soft_fail:
            raise AirflowSkipException(str(error)) from error
        raise


def _resume_of_3_0(operator: Any, next_method: str, next_kwargs: Any, context: Any) -> Any:
    """That of 3.0 and 3.1, up to 3.1.7."""
    try:
        return super(BaseSensorOperator, operator).resume_execution(next_method, next_kwargs, context)
    except AirflowException as error:
        # Its home has moved since.
        if type(error).__name__ == "TaskDeferralTimeout":
            raise AirflowSensorTimeout(*error.args) from error
        if operator.soft_fail:
            raise AirflowSkipException(str(error)) from error
        raise


@pytest.mark.parametrize("resume", [None, _resume_of_2_11, _resume_of_3_0], ids=["this", "2.11", "3.0"])
@pytest.mark.parametrize("skips", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("ends", ["Trigger timeout", "Trigger failure", "failed", "timed out"])
def test_a_deferred_sensor_skips_where_it_is_to_with_every_airflow(
    runway_simulator: Simulator,
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    resume: Callable[..., Any] | None,
    skips: str,
    ends: str,
) -> None:
    if resume is not None:
        monkeypatch.setattr(BaseSensorOperator, "resume_execution", resume)
    task_id = submit(runway_simulator, "stuck")
    how: tuple[str, dict[str, Any]] = ("__fail__", {"error": ends})
    if not ends.startswith("Trigger"):
        kind = RunwayTaskFailedError if ends == "failed" else RunwayTimeoutError
        how = ("execute_complete", {"event": WaitEnd(error=kind(ends, runway_task_id=task_id)).to_event()})
    with pytest.raises(AirflowSkipException):
        sensor(task_id, deferrable=True, **{skips: True}).resume_execution(*how, context)
    assert "runway_error" not in context["ti"].xcoms
    with pytest.raises(RunwayError):
        sensor(task_id, deferrable=True).resume_execution(*how, context)
    assert context["ti"].xcoms["runway_error"]


def test_a_trigger_that_broke_fails_the_sensor_with_what_to_do(
    runway_simulator: Simulator, context: Any
) -> None:
    task_id = submit(runway_simulator, "stuck")
    with pytest.raises(RunwayError, match="Trigger failure") as caught:
        sensor(task_id, deferrable=True).resume_execution("__fail__", {"error": "Trigger failure"}, context)
    assert not isinstance(caught.value, AirflowFailException | AirflowSensorTimeout)
    assert all(text in str(caught.value) for text in (task_id, "charged", "https://kie.ai/logs"))


def test_a_video_that_a_trigger_had_no_turn_to_see_is_no_time_out(
    runway_simulator: Simulator, context: Any, ti: TaskInstance
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.advance(600)
    unseen = WaitEnd(error=RunwayTimeoutError("was never seen", runway_task_id=task_id))
    url = sensor(task_id, deferrable=True).execute_complete(context, unseen.to_event())
    assert url == ti.xcoms["video_url"]


@pytest.mark.parametrize("fault", ["upstream_failure", "moderation"])
@pytest.mark.parametrize("seen_by", ["the first poll", "the trigger"])
def test_with_soft_fail_a_deferrable_sensor_skips_whoever_sees_the_failure(
    runway_simulator: Simulator, context: Any, fault: str, seen_by: str
) -> None:
    task_id = submit(runway_simulator, fault)
    if seen_by == "the first poll":
        runway_simulator.advance(600)
    with pytest.raises(AirflowSkipException):
        run(sensor(task_id, deferrable=True, soft_fail=True), context)


@pytest.mark.parametrize("interval", [0, 0.01])
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_no_sensor_looks_more_often_than_once_a_second(
    runway_simulator: Simulator, context: Any, mode: str, interval: float
) -> None:
    waiting = sensor(submit(runway_simulator), mode=mode, poke_interval=interval)
    assert not waiting.poke(context)
    assert waiting._get_next_poke_interval(0.0, lambda: 0.0, 1) == 1


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_server_that_asks_for_a_day_does_not_move_the_sensors_timeout(
    recorder: Recorder, connect: Callable[..., str], context: Any, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    context["ti"].start_date -= timedelta(seconds=100)
    # The pauses are what is looked at here.
    monkeypatch.undo()
    connect(host=recorder.url)
    recorder.answer = lambda request: Answer(b"", 429, {"Retry-After": "86400"})
    waiting = sensor("task-1", mode=mode, timeout=600)
    assert not waiting.poke(context)
    assert waiting._get_next_poke_interval(0.0, lambda: 100.0, 1) == pytest.approx(500, abs=60)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"runway_task_id": ""}, "runway_task_id=''"), ({"runway_task_id": "t", "model": "x"}, "model='x'")],
)
@pytest.mark.parametrize("deferrable", [False, True])
def test_bad_input_is_refused_before_any_request(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    arguments: dict[str, Any],
    named: str,
    deferrable: bool,
) -> None:
    connect(host=recorder.url)
    with pytest.raises(ValueError, match=named):
        RunwayTaskSensor(task_id="wait", deferrable=deferrable, **arguments).execute(context)
    assert recorder.requests == []


@pytest.mark.parametrize(("interval", "slept"), [(None, 0.01), (1.2, 1.2), (timedelta(seconds=1.3), 1.3)])
def test_the_pause_between_two_looks_adapts_unless_one_is_chosen(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    interval: Any,
    slept: float,
) -> None:
    """The fixture ``quick`` makes an adapted pause 0.01 s."""
    connect(host=recorder.url)
    success = {"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}}
    answers = iter([{"state": "generating"}, success])
    recorder.answer = lambda request: envelope(next(answers))
    pauses, sleep = [], time.sleep

    def note(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    sensor("task-1", poke_interval=interval).execute(context)
    assert slept in pauses


def test_it_maps_over_task_ids(runway_simulator: Simulator, context: Any) -> None:
    task_ids = [submit(runway_simulator) for _ in range(3)]
    runway_simulator.advance(600)
    with DAG("mapped", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc)):
        mapped = RunwayTaskSensor.partial(task_id="wait", poke_interval=5).expand(runway_task_id=task_ids)
    urls = [mapped.unmap({"runway_task_id": task_id}).execute(context) for task_id in task_ids]
    assert len(set(urls)) == 3


def test_it_is_templated() -> None:
    assert isinstance(RunwayTaskSensor.template_fields, tuple)
    assert {"runway_task_id", "model", "runway_conn_id"} <= set(RunwayTaskSensor.template_fields)

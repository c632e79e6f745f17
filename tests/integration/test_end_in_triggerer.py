"""A wait that has its video ends its task in the triggerer, exactly where nothing asks for a worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.compat import TaskDeferred
from airflow_provider_runway.exceptions import RunwayRateLimitError, RunwayTaskFailedError
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers import deferral, without_worker
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from airflow_provider_runway.waiting.ending import RESUME_GUARD, WaitEnd
from tests.integration.recorder import Recorder, envelope
from tests.versions import AIRFLOW

pytestmark = pytest.mark.usefixtures("quick")
ENDS_THERE = pytest.mark.skipif(AIRFLOW < (3, 3), reason="this Airflow ends every task in a worker")

INSTANCE = {"dag_id": "dag", "run_id": "run", "task_id": "wait", "map_index": 3}


class Stored:
    """XComs by their key, as the triggerer pushes them; it can be told to refuse them."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}
        self.refuses = False

    async def aset(self, key: str, value: Any, **owner: Any) -> None:
        if self.refuses:
            raise RuntimeError("the API server is away")
        assert value is not None
        assert owner == INSTANCE
        self.xcoms[key] = json.loads(json.dumps(value))


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Airflow's XComs, kept here."""
    from airflow.sdk.execution_time.xcom import XCom

    kept = Stored()
    monkeypatch.setattr(XCom, "aset", kept.aset)
    return kept


def fire(trigger: RunwayTaskTrigger, *, of: dict[str, Any] | None = INSTANCE) -> Any:
    """Return the one event of a trigger that runs in a triggerer, for a task unless told otherwise."""
    _, arguments = trigger.serialize()
    made = RunwayTaskTrigger(**json.loads(json.dumps(arguments)))
    if of is not None:
        made.task_instance = SimpleNamespace(**of)  # type: ignore[assignment]

    async def events() -> list[Any]:
        return [event async for event in made.run()]

    (event,) = asyncio.run(asyncio.wait_for(events(), 60))
    return event


def is_end(event: Any) -> bool:
    return type(event).__name__ == "TaskSuccessEvent"


def long_ago(**arguments: Any) -> dict[str, Any]:
    """Return arguments of a trigger whose task was deferred some time ago."""
    return {"deferred_at": time.time() - 1000, **arguments}


def submit(simulator: Simulator, *faults: str) -> str:
    """Return the ID of a new task, made with these faults."""
    for fault in faults:
        simulator.add_fault(fault)
    return RunwayHook().submit(GenerateVideo("A paper boat"))


# What the trigger does.


@ENDS_THERE
@pytest.mark.parametrize("returns", ["task_id", "video_url"])
def test_a_video_ends_the_task_with_the_xcoms_that_a_worker_would_push(
    runway_simulator: Simulator, stored: Stored, returns: str
) -> None:
    task_id = submit(runway_simulator)
    assert is_end(fire(RunwayTaskTrigger(task_id, returns=returns, **long_ago())))
    assert stored.xcoms["return_value"] == (task_id if returns == "task_id" else stored.xcoms["video_url"])
    assert set(stored.xcoms) == {"return_value", "runway_task_id", "video_url", "image_url", "video_id"}


@ENDS_THERE
def test_nothing_is_pushed_as_none(recorder: Recorder, connect: Callable[..., str], stored: Stored) -> None:
    connect(host=recorder.url)
    video = {"videoUrl": "https://example.com/video.mp4"}
    recorder.answer = lambda request: envelope({"taskId": "task-1", "state": "success", "videoInfo": video})
    assert is_end(fire(RunwayTaskTrigger("task-1", returns="video_url", **long_ago())))
    url = video["videoUrl"]
    assert stored.xcoms == {"return_value": url, "runway_task_id": "task-1", "video_url": url}


@ENDS_THERE
def test_a_failure_is_left_to_a_worker_and_pushes_nothing(
    runway_simulator: Simulator, stored: Stored
) -> None:
    event = fire(RunwayTaskTrigger(submit(runway_simulator, "moderation"), returns="task_id", **long_ago()))
    assert stored.xcoms == {}
    with pytest.raises(RunwayTaskFailedError):
        WaitEnd.from_event(event.payload).result()


@ENDS_THERE
def test_xcoms_that_cannot_be_pushed_leave_the_end_to_a_worker(
    runway_simulator: Simulator, stored: Stored
) -> None:
    stored.refuses = True
    event = fire(RunwayTaskTrigger(submit(runway_simulator), returns="task_id", **long_ago()))
    assert WaitEnd.from_event(event.payload).result().video_url


def test_a_trigger_that_was_stored_by_an_earlier_release_leaves_the_end_to_a_worker(
    runway_simulator: Simulator,
) -> None:
    stored: dict[str, Any] = {
        "runway_task_id": submit(runway_simulator),
        "runway_conn_id": "runway_default",
        "model": "runway",
        "poll_interval": None,
        "end_time": time.time() + 600,
        "started_at": time.time(),
        "kind": "generate-5s-720p",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_runway.triggers.runway.RESUME_GUARD", 0.1)
        event = fire(RunwayTaskTrigger(**stored))
    assert WaitEnd.from_event(event.payload).result().video_url


def test_a_trigger_that_runs_for_no_task_leaves_the_end_to_who_runs_it(runway_simulator: Simulator) -> None:
    """As `dag.test()` does, where nobody races and nobody can end a task."""
    event = fire(RunwayTaskTrigger(submit(runway_simulator), returns="task_id"), of=None)
    assert WaitEnd.from_event(event.payload).result().video_url


@pytest.mark.parametrize("fault", [None, "moderation"])
def test_no_event_goes_to_a_worker_before_airflow_can_take_it(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch, fault: str | None
) -> None:
    monkeypatch.setattr("airflow_provider_runway.triggers.runway.RESUME_GUARD", 1.5)
    task_id = submit(runway_simulator, *([fault] if fault else []))
    runway_simulator.advance(600)
    deferred_at = time.time()
    event = fire(RunwayTaskTrigger(task_id, deferred_at=deferred_at))
    assert time.time() >= deferred_at + 1.5
    assert (WaitEnd.from_event(event.payload).error is None) == (fault is None)


def test_clocks_that_differ_do_not_hold_an_event_back(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.triggers.runway.RESUME_GUARD", 0.5)
    task_id = submit(runway_simulator)
    assert fire(RunwayTaskTrigger(task_id, deferred_at=time.time() + 86400))


# What a worker asks for when it gives itself back.


def deferred(operator: Any, context: Any) -> RunwayTaskTrigger:
    """Return the trigger that an operator or sensor defers to."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    trigger = caught.value.trigger
    assert isinstance(trigger, RunwayTaskTrigger)
    assert trigger.deferred_at == pytest.approx(time.time(), abs=60)
    return trigger


def generate(**arguments: Any) -> RunwayGenerateOperator:
    given = {"task_id": "wait", "prompt": "A paper boat", "wait_for_completion": True, "deferrable": True}
    return RunwayGenerateOperator(**{**given, **arguments})


@ENDS_THERE
def test_an_operator_leaves_its_end_to_the_trigger(runway_simulator: Simulator, context: Any) -> None:
    assert deferred(generate(), context).returns == "task_id"


@ENDS_THERE
def test_a_sensor_leaves_its_end_to_the_trigger(runway_simulator: Simulator, context: Any) -> None:
    sensor = RunwayTaskSensor(task_id="wait", runway_task_id=submit(runway_simulator), deferrable=True)
    assert deferred(sensor, context).returns == "video_url"


def _outlets() -> Any:
    from airflow.sdk import Asset

    return [Asset("video")]


@ENDS_THERE
@pytest.mark.parametrize(
    "arguments",
    [
        {"outlets": _outlets},
        {"on_success_callback": lambda: print},
        {"post_execute": lambda: print},
        {"do_xcom_push": False},
        {"multiple_outputs": True},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_needs_a_worker_at_its_end_gets_one(
    runway_simulator: Simulator, context: Any, arguments: dict[str, Any]
) -> None:
    made = {name: value() if callable(value) else value for name, value in arguments.items()}
    assert deferred(generate(**made), context).returns is None


@ENDS_THERE
def test_what_needs_a_worker_at_its_start_alone_can_end_without_one() -> None:
    assert without_worker.can_end(
        generate(pool="runway", max_active_tis_per_dag=3, inlets=_outlets(), on_failure_callback=print)
    )


@ENDS_THERE
@pytest.mark.parametrize("method", ["execute_complete", "post_execute", "resume_execution", "build_request"])
def test_a_derived_class_gets_a_worker_where_it_does_more_at_the_end(method: str) -> None:
    derived = type("Derived", (RunwayGenerateOperator,), {method: lambda self, *_: None})
    operator = derived(task_id="wait", prompt="A paper boat")
    assert without_worker.can_end(operator) == (method == "build_request")


@ENDS_THERE
def test_where_somebody_listens_to_tasks_a_worker_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenLineage, for one, hears nothing of a task that ends in the triggerer."""
    monkeypatch.setattr(
        "airflow.sdk.listener.get_listener_manager", lambda: SimpleNamespace(has_listeners=True)
    )
    assert not without_worker.can_end(generate())


@ENDS_THERE
def test_with_an_xcom_backend_of_ones_own_a_worker_ends_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.bases.xcom import BaseXCom

    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", type("InABucket", (BaseXCom,), {}))
    assert not without_worker.can_end(generate())


def test_an_older_airflow_ends_tasks_in_a_worker(
    runway_simulator: Simulator, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(without_worker, "RUNS_TASKS_IN_TRIGGERER", False)
    assert deferred(generate(), context).returns is None


@pytest.mark.parametrize(
    ("asked", "given"), [(1.0, 1.0 + RESUME_GUARD), (11.0, 11.0 + RESUME_GUARD), (60.0, 60.0)]
)
def test_a_pause_in_the_triggerer_is_over_only_after_the_race(asked: float, given: float) -> None:
    before = datetime.now(timezone.utc).timestamp()
    with pytest.raises(TaskDeferred) as caught:
        deferral.pause(generate(), asked, RunwayRateLimitError("too many"), refusals=1)
    _, arguments = caught.value.trigger.serialize()
    moment = arguments["moment"]
    assert moment.timestamp() - before == pytest.approx(given, abs=5)
    assert caught.value.kwargs == {"refusals": 1}

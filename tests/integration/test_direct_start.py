"""A sensor starts in the triggerer, without a worker, exactly where nothing is asked of it that needs one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers import without_worker
from airflow_provider_runway.waiting.ending import DEFERRAL_MARGIN, WaitEnd
from tests.versions import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 3), reason="this Airflow starts every task in a worker")


def sensor(**arguments: Any) -> RunwayTaskSensor:
    """Return a deferrable sensor."""
    given: dict[str, Any] = {"task_id": "wait", "runway_task_id": "task-1", "deferrable": True}
    return RunwayTaskSensor(**{**given, **arguments})


def test_a_plain_deferrable_sensor_starts_in_the_triggerer() -> None:
    found = sensor(poke_interval=7, timeout=timedelta(minutes=10), model="aleph", runway_conn_id="mine")
    assert found.start_from_trigger
    assert found.start_trigger_args.trigger_kwargs == {
        "runway_task_id": "task-1",
        "upstream": None,
        "runway_conn_id": "mine",
        "model": "aleph",
        "poll_interval": 7,
        "returns": "video_url",
        "timeout": 600,
    }
    assert found.start_trigger_args.next_method == "execute_complete"
    assert found.start_trigger_args.timeout == timedelta(seconds=600 + DEFERRAL_MARGIN)


def test_without_a_poke_interval_the_trigger_adapts_too() -> None:
    assert sensor().start_trigger_args.trigger_kwargs["poll_interval"] is None


def test_the_id_may_be_the_result_of_an_unmapped_task() -> None:
    from airflow.sdk import DAG

    with DAG("dag", schedule=None):
        generate = RunwayGenerateOperator(task_id="generate", prompt="A paper boat")
        output: Any = generate.output
        found = sensor(runway_task_id=output)
        other = sensor(task_id="other", runway_task_id=output["runway_task_id"])
    assert found.start_trigger_args.trigger_kwargs["upstream"] == {
        "task_id": "generate",
        "key": "return_value",
    }
    assert found.start_trigger_args.trigger_kwargs["runway_task_id"] is None
    assert other.start_trigger_args.trigger_kwargs["upstream"]["key"] == "runway_task_id"


def _asset() -> Any:
    from airflow.sdk import Asset

    return [Asset("video")]


@pytest.mark.parametrize(
    "arguments",
    [
        {"deferrable": False},
        {"outlets": _asset},
        {"inlets": _asset},
        {"execution_timeout": timedelta(minutes=1)},
        {"on_execute_callback": lambda: print},
        {"on_success_callback": lambda: print},
        {"pre_execute": lambda: print},
        {"post_execute": lambda: print},
        {"do_xcom_push": False},
        {"pool": "runway"},
        {"max_active_tis_per_dag": 3},
        {"max_active_tis_per_dagrun": 3},
        {"runway_task_id": "{{ ti.xcom_pull('generate') }}"},
        {"model": "{{ params.model }}"},
        {"runway_conn_id": "{{ params.account }}"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_needs_a_worker_takes_the_usual_way(arguments: dict[str, Any]) -> None:
    made = {name: value() if callable(value) else value for name, value in arguments.items()}
    found = sensor(**made)
    assert not found.start_from_trigger
    assert found.start_trigger_args is None


@pytest.mark.parametrize(
    "name", ["execution_timeout", "on_success_callback", "outlets", "pool", "max_active_tis_per_dag"]
)
def test_what_a_cluster_policy_sets_later_counts_too(name: str) -> None:
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    later: dict[str, Any] = {
        "execution_timeout": timedelta(minutes=1),
        "on_success_callback": [print],
        "outlets": _asset(),
        "pool": "runway",
        "max_active_tis_per_dag": 3,
    }
    with DAG("dag", schedule=None) as dag:
        found = sensor()
        untouched = sensor(task_id="untouched")
    setattr(found, name, later[name])
    assert not found.start_from_trigger
    assert untouched.start_from_trigger
    seen = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert not seen.get_task("wait").start_from_trigger
    assert seen.get_task("wait").start_trigger_args is None
    assert seen.get_task("untouched").start_from_trigger is True
    arguments = seen.get_task("untouched").start_trigger_args
    assert arguments is not None
    assert arguments.next_method == "execute_complete"


def test_with_queues_of_triggerers_it_takes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker defers gets its task's queue; what starts in the triggerer would get none."""
    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    assert not sensor().start_from_trigger


def test_a_class_derived_from_it_takes_the_usual_way() -> None:
    class Derived(RunwayTaskSensor):
        """One that may do more in a worker."""

    found = Derived(task_id="wait", runway_task_id="task-1", deferrable=True)
    assert not found.start_from_trigger


def test_it_takes_the_usual_way_in_a_mapped_task_group() -> None:
    from airflow.sdk import DAG, task_group

    found = []
    with DAG("dag", schedule=None):

        @task_group
        def video(prompt: str) -> None:
            generate = RunwayGenerateOperator(task_id="generate", prompt=prompt)
            found.append(sensor(runway_task_id=generate.output))
            found.append(sensor(task_id="fixed"))

        video.expand(prompt=["one", "two"])
    assert [made.start_from_trigger for made in found] == [False, False]


def test_it_takes_the_usual_way_after_a_mapped_task() -> None:
    from airflow.sdk import DAG

    with DAG("dag", schedule=None):
        generate = RunwayGenerateOperator.partial(task_id="generate").expand(prompt=["one", "two"])
        found = sensor(runway_task_id=generate.output)
    assert not found.start_from_trigger


def test_a_mapped_sensor_takes_the_usual_way() -> None:
    from airflow.sdk import DAG

    with DAG("dag", schedule=None):
        mapped = RunwayTaskSensor.partial(task_id="wait", deferrable=True).expand(runway_task_id=["1", "2"])
    assert not getattr(mapped, "start_from_trigger", False)


def test_an_older_airflow_takes_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_worker, "RUNS_TASKS_IN_TRIGGERER", False)
    assert not sensor().start_from_trigger
    assert sensor().start_trigger_args is None


@pytest.mark.parametrize("upstream", [False, True], ids=["an ID", "a task's result"])
def test_the_dag_can_be_stored_and_read_back(upstream: bool) -> None:
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("dag", schedule=None) as dag:
        generate = RunwayGenerateOperator(task_id="generate", prompt="A paper boat")
        sensor(runway_task_id=generate.output if upstream else "task-1")
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    task = DagSerialization.from_dict(stored).get_task("wait")
    assert task.start_from_trigger is True
    arguments = task.start_trigger_args
    assert arguments is not None
    assert arguments.trigger_cls == "airflow_provider_runway.triggers.runway.RunwayTaskTrigger"
    assert arguments.timeout == timedelta(seconds=3600 + DEFERRAL_MARGIN)


# What the trigger does.


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Any]:
    """Airflow's XComs by task and key, kept here."""
    from airflow.sdk.execution_time.xcom import XCom

    kept: dict[tuple[str, str], Any] = {}

    async def aset(key: str, value: Any, *, task_id: str, dag_id: str, run_id: str, map_index: int) -> None:
        assert (dag_id, run_id, map_index) == ("dag", "run", -1)
        kept[task_id, key] = json.loads(json.dumps(value))

    async def aget_one(*, key: str, dag_id: str, task_id: str, run_id: str, map_index: int) -> Any:
        assert (dag_id, run_id, map_index) == ("dag", "run", -1)
        return kept[task_id, key]

    def delete(key: str, *, task_id: str, dag_id: str, run_id: str, map_index: int) -> None:
        assert (dag_id, run_id, map_index) == ("dag", "run", -1)
        kept.pop((task_id, key), None)

    monkeypatch.setattr(XCom, "delete", delete)
    monkeypatch.setattr(XCom, "aset", aset)
    monkeypatch.setattr(XCom, "aget_one", aget_one)
    return kept


def start(made: RunwayTaskSensor, *, timeout_after: datetime | None = None) -> Any:
    """Return the one event of the trigger that stands in for a sensor."""
    import importlib

    arguments = made.start_trigger_args
    module, name = arguments.trigger_cls.rsplit(".", 1)
    trigger = getattr(importlib.import_module(module), name)(
        **json.loads(json.dumps(arguments.trigger_kwargs))
    )
    path, stored = trigger.serialize()
    assert path == arguments.trigger_cls
    assert stored.items() >= arguments.trigger_kwargs.items()
    trigger.task_instance = SimpleNamespace(dag_id="dag", run_id="run", task_id=made.task_id, map_index=-1)
    if timeout_after:
        trigger.timeout_after = timeout_after

    async def events() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(asyncio.wait_for(events(), 60))
    return event


@pytest.mark.usefixtures("quick")
def test_success_ends_the_task_with_all_xcoms(
    runway_simulator: Simulator, xcoms: dict[tuple[str, str], Any]
) -> None:
    from airflow.triggers.base import TaskSuccessEvent

    from airflow_provider_runway.api.requests import GenerateVideo
    from airflow_provider_runway.hooks.runway import RunwayHook

    task_id = RunwayHook().submit(GenerateVideo("A paper boat"))
    event = start(sensor(runway_task_id=task_id))
    assert isinstance(event, TaskSuccessEvent)
    pushed = {key: value for (owner, key), value in xcoms.items() if owner == "wait"}
    assert {"return_value", "video_url", "image_url", "video_id"} <= set(pushed)
    assert pushed["return_value"] == pushed["video_url"]
    assert pushed["video_url"].startswith(runway_simulator.url)
    assert all(isinstance(pushed[key], str) for key in ("video_url", "image_url", "video_id"))


@pytest.mark.usefixtures("quick")
def test_the_id_is_read_from_the_task_upstream(
    runway_simulator: Simulator, xcoms: dict[tuple[str, str], Any]
) -> None:
    from airflow.sdk import DAG

    from airflow_provider_runway.api.requests import GenerateVideo
    from airflow_provider_runway.hooks.runway import RunwayHook

    xcoms["generate", "return_value"] = RunwayHook().submit(GenerateVideo("A paper boat"))
    with DAG("dag", schedule=None):
        generate = RunwayGenerateOperator(task_id="generate", prompt="A paper boat")
        found = sensor(runway_task_id=generate.output)
    start(found)
    assert xcoms["wait", "return_value"]


@pytest.mark.usefixtures("quick")
def test_a_failed_task_is_left_to_a_worker_and_pushes_nothing(
    runway_simulator: Simulator, xcoms: dict[tuple[str, str], Any]
) -> None:
    from airflow_provider_runway.api.requests import GenerateVideo
    from airflow_provider_runway.exceptions import RunwayTaskFailedError
    from airflow_provider_runway.hooks.runway import RunwayHook

    runway_simulator.add_fault("moderation")
    event = start(sensor(runway_task_id=RunwayHook().submit(GenerateVideo("A paper boat"))))
    assert xcoms == {}
    with pytest.raises(RunwayTaskFailedError):
        WaitEnd.from_event(event.payload).result()


@pytest.mark.usefixtures("quick")
def test_the_video_of_an_earlier_try_is_not_left_behind(
    runway_simulator: Simulator, xcoms: dict[tuple[str, str], Any]
) -> None:
    from airflow_provider_runway.api.requests import GenerateVideo
    from airflow_provider_runway.hooks.runway import RunwayHook

    old = ("return_value", "video_url", "image_url", "video_id", "credits_consumed", "runway_error")
    xcoms.update({("wait", key): "of the video before the clear" for key in old})
    xcoms["generate", "return_value"] = "another task's"
    runway_simulator.add_fault("moderation")
    start(sensor(runway_task_id=RunwayHook().submit(GenerateVideo("A paper boat"))))
    assert xcoms == {("generate", "return_value"): "another task's"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("began_ago", "is_kept"), [(0, False), (60, True)])
def test_a_call_about_an_earlier_try_is_forgotten_and_one_about_this_try_is_not(
    runway_simulator: Simulator, xcoms: dict[tuple[str, str], Any], began_ago: float, is_kept: bool
) -> None:
    """A task is not woken right after its deferral: what is there when its trigger starts is older."""
    from airflow_provider_runway.api.requests import GenerateVideo
    from airflow_provider_runway.hooks.runway import RunwayHook

    task_id = RunwayHook().submit(GenerateVideo("A paper boat"))
    xcoms["wait", "runway_callbacks"] = {"generate": task_id}
    deadline = datetime.now(timezone.utc) + timedelta(seconds=3600 + DEFERRAL_MARGIN - began_ago)
    start(sensor(runway_task_id=task_id), timeout_after=deadline)
    assert (("wait", "runway_callbacks") in xcoms) is is_kept


@pytest.mark.usefixtures("quick")
def test_the_deadline_is_airflows_own_so_that_a_restart_does_not_begin_it_afresh(
    runway_simulator: Simulator, xcoms: dict[tuple[str, str], Any]
) -> None:
    from airflow_provider_runway.api.requests import GenerateVideo
    from airflow_provider_runway.exceptions import RunwayTimeoutError
    from airflow_provider_runway.hooks.runway import RunwayHook

    runway_simulator.add_fault("stuck")
    task_id = RunwayHook().submit(GenerateVideo("A paper boat"))
    almost_over = datetime.fromtimestamp(time.time() + DEFERRAL_MARGIN + 0.3, timezone.utc)
    event = start(sensor(runway_task_id=task_id, timeout=3600), timeout_after=almost_over)
    with pytest.raises(RunwayTimeoutError, match="3600 s"):
        WaitEnd.from_event(event.payload).result()


def test_no_secret_is_among_the_stored_arguments(connect: Callable[..., str]) -> None:
    from tests.integration.conftest import KEY

    connect()
    assert KEY not in json.dumps(sensor().start_trigger_args.trigger_kwargs)

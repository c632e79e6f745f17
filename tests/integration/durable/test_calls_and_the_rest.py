"""Calls of kie.ai beside everything else that a task can be asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.compat import CAN_BE_CALLED, AirflowSkipException, Asset, TaskDeferred
from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayResubmissionsError,
    RunwayStorageError,
    RunwayTaskFailedError,
    RunwayValidationError,
)
from airflow_provider_runway.operators.runway import RunwayAlephOperator, RunwayExtendOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator.server import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from tests.integration.durable.calling import DEFERRED, asked_for, call, let_it_call, lost, woken
from tests.integration.durable.life import CREATION, Life, OutletEvents

needs_calls = pytest.mark.skipif(not CAN_BE_CALLED, reason="this Airflow cannot be called")
CALLED = {"status": "callback"}


@pytest.fixture(autouse=True)
def _callable(runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    let_it_call(monkeypatch)


@pytest.mark.skipif(CAN_BE_CALLED, reason="this Airflow can be called")
def test_an_airflow_that_cannot_be_called_does_not_ask_for_it(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    life().run()
    assert asked_for(runway_simulator) is None
    with pytest.raises(RunwayValidationError, match=r"needs Airflow 3\.1"):
        life(callback_url="auto").run()
    assert len(runway_simulator.creations) == 1


@needs_calls
def test_a_woken_task_stores_its_video(
    life: Callable[..., Life], runway_simulator: Simulator, tmp_path: Path
) -> None:
    task = life(path=f"{tmp_path}/videos/", manifest=True, deferrable=True)
    assert task.run() is None
    runway_simulator.advance(600)
    stored = Path(str(woken(task)))
    assert stored.read_bytes()[4:8] == b"ftyp"
    told = json.loads(stored.with_suffix(".json").read_text())
    assert told["runway_task_id"] == runway_simulator.creations[0]["task_id"]


@needs_calls
def test_where_a_woken_task_cannot_store_it_the_retry_pays_for_nothing(
    life: Callable[..., Life], runway_simulator: Simulator, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    task = life(path=f"{folder}/", deferrable=True)
    assert task.run() is None
    runway_simulator.advance(600)
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(RunwayStorageError):
        woken(task)
    folder.unlink()
    assert Path(task.to_the_end()).is_file()
    assert len(runway_simulator.creations) == 1


@needs_calls
def test_the_events_of_its_outlets_carry_the_manifest_of_a_woken_task(
    life: Callable[..., Life], runway_simulator: Simulator, tmp_path: Path
) -> None:
    asset = Asset("s3://bucket/lighthouse")
    task = life(path=f"{tmp_path}/videos/", deferrable=True, outlets=[asset])
    event = task.more_context["outlet_events"] = OutletEvents()
    assert task.run() is None
    runway_simulator.advance(600)
    woken(task)
    assert event.extra["runway_task_id"] == runway_simulator.creations[0]["task_id"]


@needs_calls
def test_a_failure_that_a_call_has_told_of_is_paid_for_anew_as_often_as_allowed(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = life(**DEFERRED)
    addresses = set()
    for error in (RunwayTaskFailedError, RunwayResubmissionsError):
        assert task.run() is None
        addresses.add(asked_for(runway_simulator))
        runway_simulator.advance(600)
        with pytest.raises(error):
            woken(task)
    # Each submission has an address of its own.
    assert len(addresses) == len(runway_simulator.creations) == 2


OTHERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "extend": (RunwayExtendOperator, {}),
    "aleph": (RunwayAlephOperator, {"video_url": "https://example.com/boat.mp4"}),
}


@needs_calls
@pytest.mark.parametrize("api", ["dedicated", "market"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_lost_answer_of_another_kind_comes_back_too(
    kind: str,
    api: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_it_call(monkeypatch, api=api)
    operator_class, arguments = OTHERS[kind]
    if kind == "extend":
        arguments = {"parent_task_id": life(callback_url="").run()}
        runway_simulator.advance(600)
    before = len(runway_simulator.creations)
    runway_simulator.add_fault("drop_after", "/api/v1/", method="POST")
    task = life(operator_class=operator_class, **arguments, **DEFERRED)
    recipient = lost(task)
    made = runway_simulator.creations[-1]["task_id"]
    call(task, recipient, made)
    runway_simulator.advance(1200)
    assert woken(task) == made
    assert len(runway_simulator.creations) == before + 1


@needs_calls
def test_a_lost_answer_about_a_file_of_ones_own_comes_back_and_the_file_is_sent_once(
    life: Callable[..., Life], runway_simulator: Simulator, tmp_path: Path
) -> None:
    picture = tmp_path / "fox.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(image_url=str(picture), **DEFERRED)
    recipient = lost(task)
    made = runway_simulator.creations[0]["task_id"]
    call(task, recipient, made)
    runway_simulator.advance(600)
    assert woken(task) == made
    sent = [one for one in runway_simulator.stats()["requests"] if "upload" in one["path"]]
    assert sum(one["count"] for one in sent) == 1
    assert task.ti.xcoms["runway_request"]["image_url"] == str(picture)


@needs_calls
def test_after_a_pause_for_a_rate_limit_it_waits_at_the_address_of_what_was_taken(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("http_error", CREATION, status=429)
    task = life(**DEFERRED)
    assert task.run() is None
    assert task.go_on_after_pause() is None
    assert task.deferral is not None
    recipient = task.deferral.trigger.serialize()[1]["recipient"]
    call(task, recipient, runway_simulator.creations[0]["task_id"])
    runway_simulator.advance(600)
    assert woken(task) == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@needs_calls
def test_too_few_credits_are_found_before_anybody_is_asked_to_call(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(min_credits=10**9, **DEFERRED)
    with pytest.raises(RunwayCreditsError):
        task.run()
    assert task.ti.xcoms.get("runway_callbacks") is None
    assert runway_simulator.creations == []


@needs_calls
def test_a_cleared_task_has_another_address_and_believes_no_call_at_the_old_one(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(**DEFERRED)
    old = lost(task)
    first = asked_for(runway_simulator)
    task.clear()
    assert task.run() is None
    assert asked_for(runway_simulator) != first
    call(task, old, runway_simulator.creations[0]["task_id"])
    runway_simulator.advance(600)
    assert woken(task) == runway_simulator.creations[1]["task_id"]


@needs_calls
@pytest.mark.parametrize("how", ["worker", "trigger"])
def test_a_chosen_interval_is_kept_to(
    how: str, life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it_call(monkeypatch, callback_wake=how)
    task = life(poll_interval=1, **DEFERRED)
    assert task.run() is None
    assert task.deferral is not None
    trigger: Any = task.deferral.trigger
    trigger.task_instance = task.ti
    runway_simulator.advance(600)
    assert task.resume() == runway_simulator.creations[0]["task_id"]
    assert trigger._calls is None


def sensor_of(simulator: Simulator, *faults: str, **arguments: Any) -> RunwayTaskSensor:
    for fault in faults:
        simulator.add_fault(fault, CREATION)
    runway_task_id = Life(None).run()
    return RunwayTaskSensor(task_id="wait", runway_task_id=str(runway_task_id), deferrable=True, **arguments)


def wake(sensor: RunwayTaskSensor, task: Life) -> Any:
    return sensor.resume_execution("execute_complete", {"event": dict(CALLED)}, task.context)


def test_a_woken_sensor_returns_the_url(runway_simulator: Simulator) -> None:
    sensor, task = sensor_of(runway_simulator), Life(None)
    runway_simulator.advance(600)
    assert wake(sensor, task) == task.ti.xcoms["video_url"]


def test_a_sensor_that_was_woken_for_nothing_waits_on_until_the_same_deadline(
    runway_simulator: Simulator,
) -> None:
    sensor, task = sensor_of(runway_simulator, "stuck", timeout=600, poke_interval=7), Life(None)
    with pytest.raises(TaskDeferred) as first:
        sensor.execute(task.context)
    with pytest.raises(TaskDeferred) as second:
        wake(sensor, task)
    before, after = (caught.value.trigger.serialize()[1] for caught in (first, second))
    for name in ("runway_task_id", "poll_interval", "started_at", "end_time", "returns", "model"):
        assert after[name] == before[name]


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_sensor_that_is_woken_for_a_failure_fails_or_skips_as_asked(
    soft_fail: bool, runway_simulator: Simulator
) -> None:
    sensor, task = sensor_of(runway_simulator, "upstream_failure", soft_fail=soft_fail), Life(None)
    runway_simulator.advance(600)
    with pytest.raises(AirflowSkipException if soft_fail else RunwayTaskFailedError):
        wake(sensor, task)


def test_a_trigger_of_an_earlier_release_knows_nothing_of_calls() -> None:
    _, arguments = RunwayTaskTrigger("made").serialize()
    del arguments["recipient"]
    assert RunwayTaskTrigger(**arguments).recipient is None

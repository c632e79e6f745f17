"""A wait for what is paid for survives its trigger, its deadline, an outage of kie.ai and of the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowFailException

from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwayServerError,
    RunwayTimeoutError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Killed, Life
from tests.stores import TaskStateStore, down


def test_a_failed_trigger_is_no_failed_task_where_the_video_is_there(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True, deferrable=True)
    task.run()
    runway_simulator.advance(3600)
    assert task.trigger_fails() == runway_simulator.creations[0]["task_id"]
    assert task.ti.xcoms["video_url"]


def test_a_failed_trigger_leaves_the_task_to_a_retry_where_the_video_is_not_there_yet(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = life(wait_for_completion=True, deferrable=True)
    task.run()
    runway_task_id = runway_simulator.creations[0]["task_id"]
    with pytest.raises(
        RunwayError, match=f"{runway_task_id} continues at kie.ai and is charged.*kie.ai/logs"
    ) as caught:
        task.trigger_fails()
    assert not isinstance(caught.value, AirflowFailException)
    task.run()
    runway_simulator.force_task(runway_simulator.creations[0]["task_id"], "success")
    assert task.resume() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_a_wait_that_has_timed_out_goes_on_for_the_same_video_in_a_retry(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = life(wait_for_completion=True, timeout=0.2)
    with pytest.raises(RunwayTimeoutError, match="continues at kie"):
        task.run()
    runway_simulator.force_task(runway_simulator.creations[0]["task_id"], "success")
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "timeout",
    [None, 0, -1, "600", True, float("nan"), float("inf"), timedelta(0), timedelta.max, 1e12, 367 * 86400.0],
)
def test_a_timeout_that_cannot_be_is_refused_by_name_before_anything_is_sent(
    mode: str, timeout: Any, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(timeout=timeout, **MODES[mode])
    with pytest.raises(RunwayValidationError, match="timeout="):
        task.run()
    assert runway_simulator.stats()["requests"] == []


@pytest.mark.parametrize("timeout", [timedelta(days=365), 30 * 86400])
def test_a_long_timeout_is_no_trouble(
    timeout: Any, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(timeout=timeout, **MODES["wait deferred"])
    assert task.run() is None
    runway_simulator.advance(600)
    assert task.resume() == runway_simulator.creations[0]["task_id"]


def test_taking_up_what_still_goes_on_is_told_without_an_error(
    life: Callable[..., Life],
    runway_simulator: Simulator,
    killed_at: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = life(**MODES["wait deferred"])
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    capsys.readouterr()
    assert task.run() is None
    said = capsys.readouterr().out
    assert "Resuming Runway task" in said
    assert "no video yet" not in said
    assert "errors.html" not in said


def test_while_kie_ai_is_away_a_retry_waits_for_what_is_paid_instead_of_paying_again(
    life: Callable[..., Life], runway_simulator: Simulator, quick: list[float]
) -> None:
    task = life(wait_for_completion=True, deferrable=True)
    task.run()
    runway_simulator.add_fault("http_error", "/api/v1/runway/record-detail", status=503, count=6)
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_sent_while_the_store_does_not_answer(mode: str, runway_simulator: Simulator) -> None:
    for operation in ("get", "set"):
        store = TaskStateStore()
        store.breaks = down(operation)
        task = Life(store, **MODES[mode])
        with pytest.raises(RunwayServerError):
            task.run()
        store.breaks = down(times=0)
        assert runway_simulator.creations == []
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]


def test_a_store_that_dies_after_the_creation_does_not_take_the_id_with_it(
    runway_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    store = TaskStateStore()
    task = Life(store)
    submit = RunwayHook.submit

    def submit_and_break(*arguments: Any, **keywords: Any) -> str:
        runway_task_id = submit(*arguments, **keywords)
        store.breaks = down()
        return runway_task_id

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(RunwayHook, "submit", submit_and_break)
        result = task.run()
    made = runway_simulator.creations[0]["task_id"]
    assert result == made
    assert made in caplog.text


def test_a_connection_that_cannot_be_read_leaves_no_doubt_behind(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life()

    def unreadable(*_: Any) -> None:
        raise ConnectionError("the API server does not answer")

    for name in ("get_connection", "get_conn"):
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(RunwayHook, name, unreadable)
            with pytest.raises(Exception, match="does not answer") as caught:
                task.run()
            assert not isinstance(caught.value, AirflowFailException)
    assert runway_simulator.creations == []
    assert task.run() == runway_simulator.creations[0]["task_id"]


def test_a_video_that_is_there_is_not_lost_where_a_template_renders_to_nothing_by_then(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**MODES["wait deferred"])
    task.run()
    task.arguments["prompt"] = ""
    assert task.resume() == runway_simulator.creations[0]["task_id"]
    assert task.ti.xcoms["video_url"]

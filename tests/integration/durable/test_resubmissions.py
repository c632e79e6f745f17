"""A generation that failed at kie.ai is paid for anew only so often, whatever the retries are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayResubmissionsError,
    RunwayTaskFailedError,
    RunwayValidationError,
)
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Killed, Life

WAITING = ["wait in the worker", "wait deferred"]


def try_until_it_is_final(task: Life) -> RunwayTaskFailedError:
    """Retry as Airflow does: as often as there are retries, but not after an error that forbids it."""
    for _ in range(task.retries + 1):
        with pytest.raises(RunwayTaskFailedError) as caught:
            task.to_the_end()
        if isinstance(caught.value, AirflowFailException):
            break
    return caught.value


@pytest.mark.parametrize("mode", WAITING)
@pytest.mark.parametrize("resubmissions", [0, 1, 2])
def test_a_task_that_fails_again_and_again_is_paid_for_only_so_often(
    mode: str, resubmissions: int, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    error = try_until_it_is_final(life(retries=5, resubmissions=resubmissions, **MODES[mode]))
    assert isinstance(error, RunwayResubmissionsError)
    assert len(runway_simulator.creations) == 1 + resubmissions
    assert error.runway_task_id == runway_simulator.creations[-1]["task_id"]
    # The reason stands first, since the first line is what the UI shows.
    assert str(error).startswith("The generation failed: internal error")
    assert str(error.runway_task_id) in str(error)
    assert f"resubmissions={resubmissions}" in str(error)
    assert "clear" in str(error)


@pytest.mark.parametrize("mode", WAITING)
@pytest.mark.parametrize("resubmissions", [0, 1, 2])
def test_a_generation_that_fails_as_the_answer_to_its_submission_is_paid_for_only_so_often(
    mode: str, resubmissions: int, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    # Nobody says whether such an answer was charged.
    runway_simulator.add_fault("body_code", CREATION, code=501, carried_out=True, count=None)
    task = life(retries=5, resubmissions=resubmissions, **MODES[mode])
    task.arguments["retries"] = task.retries
    error = try_until_it_is_final(task)
    assert isinstance(error, RunwayResubmissionsError)
    assert len(runway_simulator.creations) == 1 + resubmissions
    assert f"resubmissions={resubmissions}" in str(error)


@pytest.mark.parametrize("mode", WAITING)
def test_one_resubmission_is_what_nobody_asked_for_gets(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    try_until_it_is_final(life(retries=3, **MODES[mode]))
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize("mode", WAITING)
def test_a_clear_starts_afresh(mode: str, life: Callable[..., Life], runway_simulator: Simulator) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=3)
    task = life(**MODES[mode])
    try_until_it_is_final(task)
    task.clear()
    with pytest.raises(RunwayTaskFailedError) as caught:
        task.to_the_end()
    assert not isinstance(caught.value, AirflowFailException)
    assert task.to_the_end() == runway_simulator.creations[3]["task_id"]


@pytest.mark.parametrize("refusal", [429, 500])
def test_a_refusal_in_between_does_not_start_afresh(
    refusal: int, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = life(retries=9, **MODES["wait deferred"])
    with pytest.raises(RunwayTaskFailedError):
        task.to_the_end()
    runway_simulator.clear_faults()
    runway_simulator.add_fault("body_code", CREATION, code=refusal)
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    if refusal == 429:
        assert task.run() is None
        assert task.go_on_after_pause() is None
        with pytest.raises(RunwayResubmissionsError):
            task.resume()
    else:
        with pytest.raises(Exception, match="500"):
            task.run()
        with pytest.raises(RunwayResubmissionsError):
            task.to_the_end()
    assert len(runway_simulator.creations) == 2


def test_a_prompt_that_renders_differently_each_time_is_bounded_too(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = life(wait_for_completion=True, prompt="Take 1")
    with pytest.raises(RunwayTaskFailedError):
        task.run()
    task.arguments["prompt"] = "Take 2"
    with pytest.raises(RunwayResubmissionsError):
        task.run()
    assert len(runway_simulator.creations) == 2


def test_what_fails_while_its_worker_is_dead_is_bounded_too(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = life(retries=9)
    for _ in range(2):
        killed_at("after the record")
        with pytest.raises(Killed):
            task.run()
        runway_simulator.advance(3600)
    for _ in range(2):
        with pytest.raises(RunwayResubmissionsError):
            task.run()
    assert len(runway_simulator.creations) == 2


def test_a_trigger_that_failed_does_not_make_it_more(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = life(resubmissions=0, **MODES["wait deferred"])
    task.run()
    runway_simulator.advance(3600)
    with pytest.raises(RunwayResubmissionsError):
        task.trigger_fails()


@pytest.mark.parametrize("mode", WAITING)
@pytest.mark.parametrize("durable", [False, True])
def test_without_a_store_tries_are_counted(mode: str, durable: bool, runway_simulator: Simulator) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = Life(None, durable=durable, **MODES[mode])
    for charges in (2, 4):
        task.arguments["retries"] = task.retries
        assert isinstance(try_until_it_is_final(task), RunwayResubmissionsError)
        assert len(runway_simulator.creations) == charges
        task.clear()


@pytest.mark.parametrize("mode", WAITING)
@pytest.mark.parametrize(("lowered_to", "most"), [(0, 2), (1, 2), (3, 2), (4, 3)])
def test_without_a_store_a_deploy_that_lowers_the_retries_does_not_lift_the_bound(
    mode: str, lowered_to: int, most: int, runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = Life(None, retries=5, durable=False, **MODES[mode])
    task.arguments["retries"] = lowered_to
    assert isinstance(try_until_it_is_final(task), RunwayResubmissionsError)
    assert len(runway_simulator.creations) == most


@pytest.mark.parametrize("mode", WAITING)
def test_without_a_store_a_deploy_that_raises_the_retries_does_not_lower_it(
    mode: str, runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = Life(None, retries=2, durable=False, **MODES[mode])
    task.arguments["retries"] = 7
    assert isinstance(try_until_it_is_final(task), RunwayResubmissionsError)
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", True, None])
def test_another_number_of_resubmissions_is_refused_by_name(
    life: Callable[..., Life], runway_simulator: Simulator, wrong: Any
) -> None:
    with pytest.raises(RunwayValidationError, match="resubmissions="):
        life(resubmissions=wrong).run()
    assert runway_simulator.stats()["requests"] == []

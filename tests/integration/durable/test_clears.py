"""A clear and a changed request make a new video; another way to wait and other retries do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_runway.exceptions import (
    RunwaySubmissionUnknownError,
)
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Killed, Life, prompts


@pytest.mark.parametrize("mode", MODES)
def test_clearing_a_task_that_succeeded_makes_a_new_video(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**MODES[mode])
    first = task.to_the_end()
    task.clear()
    second = task.to_the_end()
    assert first != second
    assert [creation["task_id"] for creation in runway_simulator.creations] == [first, second]


def test_a_retry_after_a_clear_takes_up_what_the_cleared_task_submitted(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True)
    task.run()
    task.clear()
    killed_at("while waiting")
    with pytest.raises(Killed):
        task.run()
    assert task.to_the_end() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


def test_clearing_a_task_that_failed_makes_a_new_video(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life()
    with pytest.raises(RunwaySubmissionUnknownError):
        task.run()
    task.clear()
    assert task.run() == runway_simulator.creations[1]["task_id"]


def test_clearing_a_deferred_task_makes_a_new_video(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True, deferrable=True)
    assert task.run() is None
    task.clear()
    assert task.to_the_end() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


def test_a_deploy_that_changes_the_retries_is_no_clear(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True)
    killed_at("while waiting")
    with pytest.raises(Killed):
        task.run()
    task.arguments["retries"] = task.retries = 7
    task.to_the_end()
    assert len(runway_simulator.creations) == 1


def test_a_retry_whose_prompt_renders_differently_is_a_new_request(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(prompt="Attempt 1")
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    task.arguments["prompt"] = "Attempt 2"
    task.run()
    assert prompts(runway_simulator) == ["Attempt 1", "Attempt 2"]


def test_a_deploy_of_another_way_to_wait_is_the_same_request(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life()
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    task.arguments |= {"wait_for_completion": True, "deferrable": True, "timeout": 600, "poll_interval": 0.2}
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_mapped_tasks_keep_records_of_their_own(
    runway_simulator: Simulator,
    killed_at: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(tmp_path))
    tasks = [Life(None) for _ in range(3)]
    for index, task in enumerate(tasks):
        task.ti.map_index = index
        killed_at("after the record")
        with pytest.raises(Killed):
            task.run()
    results = [task.run() for task in reversed(tasks)]
    # The prompts are the same, and still each has its own video.
    assert results == [creation["task_id"] for creation in reversed(runway_simulator.creations)]
    assert len(results) == 3

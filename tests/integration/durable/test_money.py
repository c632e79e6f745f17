"""Credits are looked at before they are spent, and counted after; the rate limit spreads what it refuses."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayValidationError,
)
from airflow_provider_runway.operators.runway import RunwayExtendOperator
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Life, prompts
from tests.stores import TaskStateStore


def test_min_credits_are_looked_at_before_anything_is_sent(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    left = runway_simulator.balance
    with pytest.raises(RunwayCreditsError, match=f"{left:g} left"):
        life(min_credits=left + 1).run()
    assert runway_simulator.creations == []
    task = life(min_credits=left)
    assert task.run()
    # What an earlier try has paid for is taken up, whatever is left now.
    assert task.run() == runway_simulator.creations[0]["task_id"]


@pytest.mark.parametrize("wrong", ["50", True, [1], float("nan")])
def test_min_credits_that_are_no_number_are_refused_by_name(
    life: Callable[..., Life], runway_simulator: Simulator, wrong: Any
) -> None:
    with pytest.raises(RunwayValidationError, match="min_credits="):
        life(min_credits=wrong).run()
    assert runway_simulator.stats()["requests"] == []


def test_a_rate_limit_at_the_credits_gives_the_worker_back_too(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.operators.paying._FREE_PATIENCE", 0.0)
    runway_simulator.add_fault("body_code", "/api/v1/chat/credit", code=429, count=None)
    task = life(min_credits=1, deferrable=True)
    assert task.run() is None
    runway_simulator.clear_faults()
    assert task.go_on_after_pause() == runway_simulator.creations[0]["task_id"]


@pytest.mark.parametrize("mode", ["wait in the worker", "wait deferred"])
def test_what_a_video_cost_is_an_xcom(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(duration=10, **MODES[mode])
    task.to_the_end()
    assert task.ti.xcoms["credits_consumed"] == runway_simulator.creations[0]["credits"]


class TestRateLimit:
    """A hundred mapped tasks against 20 creations in 10 seconds, on the simulator's clock."""

    @pytest.fixture(autouse=True)
    def _no_pauses(self) -> None:
        """The pauses are what is looked at here."""

    def test_a_hundred_mapped_tasks_all_succeed_in_their_first_try(self, runway_simulator: Simulator) -> None:
        tasks = [Life(TaskStateStore(), deferrable=True, prompt=f"Video {n}") for n in range(100)]
        now, resumed = 0.0, []
        due: list[tuple[float, int]] = []
        for index, task in enumerate(tasks):
            if task.run() is None:
                heapq.heappush(due, (now + self._pause(task), index))
        # More if submitting them took so long that the first ones count no longer.
        assert 20 <= len(runway_simulator.creations) == 100 - len(due)
        assert due
        while due:
            moment, index = heapq.heappop(due)
            runway_simulator.advance(max(0.0, moment - now))
            now = max(now, moment)
            resumed.append(moment)
            if tasks[index].go_on_after_pause() is None:
                heapq.heappush(due, (now + self._pause(tasks[index]), index))
        assert sorted(prompts(runway_simulator)) == sorted(f"Video {n}" for n in range(100))
        assert {task.ti.try_number for task in tasks} == {1}
        assert now < 600
        # No wave: within no half second does a quarter of the tasks come back.
        assert max(sum(a <= b < a + 0.5 for b in resumed) for a in resumed) < 25

    @staticmethod
    def _pause(task: Life) -> float:
        assert task.deferral is not None
        trigger: Any = task.deferral.trigger
        ends_at: float = trigger.moment.timestamp()
        return max(0.0, ends_at - time.time())


@pytest.mark.parametrize("code", [429, 455, 500])
def test_a_parent_that_cannot_be_looked_up_for_now_pauses_the_submission_in_the_triggerer(
    code: int, life: Callable[..., Life], runway_simulator: Simulator, pauses: list[float]
) -> None:
    parent = life().to_the_end()
    runway_simulator.advance(600)
    runway_simulator.add_fault("body_code", "/api/v1/", method="GET", code=code, count=None)
    task = Life(
        TaskStateStore(),
        operator_class=RunwayExtendOperator,
        parent_task_id=parent,
        prompt="On",
        deferrable=True,
    )
    assert task.run() is None
    assert sum(pauses) < 15
    assert task.deferral is not None
    assert task.deferral.method_name == "submit_again"
    assert len(runway_simulator.creations) == 1
    runway_simulator.clear_faults()
    assert task.go_on_after_pause()
    assert [creation["path"] for creation in runway_simulator.creations] == [
        CREATION,
        "/api/v1/runway/extend",
    ]

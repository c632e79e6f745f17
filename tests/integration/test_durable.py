"""A submission over tries, deferrals, clears and deaths: one charge where there may be only one.

Airflow's part is played by :class:`Life`, with the store of Airflow 3.3 and with files as for 2.11; what
Airflow itself does with a killed worker or triggerer is seen in the system tests.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayError,
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.conftest import TaskInstance
from tests.stores import TaskStateStore, down

CREATION = "/api/v1/runway/generate"

MODES: dict[str, dict[str, Any]] = {
    "submit only": {},
    "wait in the worker": {"wait_for_completion": True},
    "wait deferred": {"wait_for_completion": True, "deferrable": True},
}


class Killed(BaseException):
    """The worker is gone: nothing of the operator's own may run any more."""


class Life:
    """What Airflow does with one task instance.

    :param store: Airflow's task state store, ``None`` where there is none
    :param retries: those of the Airflow task
    :param arguments: those of the operator
    """

    def __init__(self, store: TaskStateStore | None, *, retries: int = 3, **arguments: Any) -> None:
        self.arguments = {"task_id": "task", "prompt": "A lighthouse", "poll_interval": 0.1, **arguments}
        self.retries = retries
        self.store = store
        self.ti = TaskInstance()
        self.ti.try_number, self.ti.max_tries = 0, retries
        self.deferral: TaskDeferred | None = None

    @property
    def context(self) -> Any:
        own = {} if self.store is None else {"task_state_store": self.store}
        return {"ti": self.ti, "task_instance": self.ti, **own}

    def operator(self) -> RunwayGenerateOperator:
        return RunwayGenerateOperator(**self.arguments)

    def run(self) -> str | None:
        """Start a try, the first or a further one; return the result, or ``None`` if it is deferred."""
        self.ti.try_number += 1
        self.ti.xcoms.clear()
        self.deferral = None
        return self._do(lambda: self.operator().execute(self.context))

    def resume(self) -> str | None:
        """Let the trigger fire, and go on in a new worker process."""
        assert self.deferral is not None
        trigger, method = self.deferral.trigger, self.deferral.method_name

        async def fire() -> Any:
            return (await anext(trigger.run())).payload  # type: ignore[union-attr]

        return self._go_on(method, {**(self.deferral.kwargs or {}), "event": asyncio.run(fire())})

    def trigger_fails(self) -> str | None:
        """Let the trigger fail, as an error in the triggerer or Airflow's own time-out does."""
        return self._go_on("__fail__", {"error": "Trigger failure", "traceback": ["Traceback"]})

    def go_on_after_pause(self) -> str | None:
        """Let the pause that a refusal made necessary pass at once."""
        assert self.deferral is not None
        assert self.deferral.method_name == "submit_again"
        return self._go_on("submit_again", {**(self.deferral.kwargs or {}), "event": None})

    def to_the_end(self) -> str:
        """Run a try and let its triggers fire until it has a result."""
        result = self.run()
        while result is None:
            result = self.resume()
        return result

    def clear(self) -> None:
        """Clear it as a person does."""
        self.ti.max_tries = self.ti.try_number + self.retries

    def _go_on(self, method: str, kwargs: dict[str, Any]) -> str | None:
        return self._do(lambda: self.operator().resume_execution(method, kwargs, self.context))

    def _do(self, work: Callable[[], Any]) -> str | None:
        try:
            return str(work())
        except TaskDeferred as deferral:
            self.deferral = deferral
            return None


@pytest.fixture(params=["task_state_store", "state_path"])
def life(
    request: pytest.FixtureRequest,
    runway_simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Life]:
    """A function that makes task instances whose state is kept in Airflow's store, or in files."""
    if request.param == "state_path":
        monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(tmp_path))
        return lambda **arguments: Life(None, **arguments)
    return lambda **arguments: Life(TaskStateStore(), **arguments)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused creations are sent again at once, in whatever way they wait."""
    monkeypatch.setattr("airflow_provider_runway.polling.pause_before_creation", lambda *_: 0.01)
    monkeypatch.setattr("airflow_provider_runway.submissions._PAUSES", (0.01, 0.01))


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that kills the worker once, at a moment of the submission or the wait."""

    def arrange(moment: str) -> None:
        patches = pytest.MonkeyPatch()
        submit = RunwayHook.submit

        def die(*arguments: Any, **keywords: Any) -> Any:
            patches.undo()
            if moment == "after the creation":
                submit(*arguments, **keywords)
            raise Killed

        target: dict[str, tuple[Any, str]] = {
            "before the creation": (RunwayHook, "submit"),
            "after the creation": (RunwayHook, "submit"),
            "after the record": (TaskInstance, "xcom_push"),
            "while waiting": (RunwayHook, "wait_for_task"),
        }
        patches.setattr(*target[moment], die)

    return arrange


def prompts(simulator: Simulator) -> list[str]:
    return [creation["body"]["prompt"] for creation in simulator.creations]


@pytest.mark.parametrize("mode", MODES)
def test_one_try_is_one_charge_and_returns_its_id(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**MODES[mode])
    result = task.to_the_end()
    assert [creation["task_id"] for creation in runway_simulator.creations] == [result]
    assert task.ti.xcoms["runway_task_id"] == result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("moment", "charges"), [("before the creation", 0), ("after the creation", 1)])
def test_a_worker_killed_between_intent_and_record_leaves_what_nobody_can_know(
    mode: str,
    moment: str,
    charges: int,
    life: Callable[..., Life],
    killed_at: Callable[[str], None],
    runway_simulator: Simulator,
) -> None:
    task = life(**MODES[mode])
    killed_at(moment)
    with pytest.raises(Killed):
        task.run()
    for _ in range(2):
        with pytest.raises(RunwaySubmissionUnknownError) as caught:
            task.run()
        assert isinstance(caught.value, AirflowFailException)
    assert len(runway_simulator.creations) == charges


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_killed_after_the_record_costs_nothing(
    mode: str,
    life: Callable[..., Life],
    killed_at: Callable[[str], None],
    runway_simulator: Simulator,
) -> None:
    task = life(**MODES[mode])
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1
    assert task.ti.xcoms["runway_task_id"] == runway_simulator.creations[0]["task_id"]


def test_a_retry_whose_video_is_there_returns_it_without_another_deferral(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True, deferrable=True)
    assert task.run() is None
    runway_simulator.advance(3600)
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert task.deferral is None
    assert task.ti.xcoms["video_url"]
    assert len(runway_simulator.creations) == 1


def test_a_worker_killed_again_and_again_while_waiting_costs_nothing(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True, retries=5)
    for _ in range(3):
        killed_at("while waiting")
        with pytest.raises(Killed):
            task.run()
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("fault", ["drop_after", "html", "garbage"])
def test_a_lost_answer_is_unknown_at_once_and_at_every_retry(
    fault: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    details = {} if fault == "drop_after" else {"carried_out": True}
    runway_simulator.add_fault(fault, CREATION, **details)
    task = life()
    for _ in range(3):
        with pytest.raises(RunwaySubmissionUnknownError) as caught:
            task.run()
        assert isinstance(caught.value, AirflowFailException)
    assert len(runway_simulator.creations) == 1


def test_a_lost_answer_is_sent_again_where_the_risk_is_accepted(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(on_unknown_submission="resubmit")
    result = task.run()
    assert [creation["task_id"] for creation in runway_simulator.creations][1:] == [result]
    assert task.run() == result


def test_the_risk_is_accepted_a_few_times_and_not_for_ever(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION, count=None)
    with pytest.raises(RunwaySubmissionUnknownError):
        life(on_unknown_submission="resubmit").run()
    assert len(runway_simulator.creations) == 3


def test_a_death_between_intent_and_record_is_submitted_again_where_the_risk_is_accepted(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(on_unknown_submission="resubmit")
    killed_at("after the creation")
    with pytest.raises(Killed):
        task.run()
    assert task.run() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


def test_after_10_minutes_of_silence_behind_kie_ai_nobody_knows(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("body_code", CREATION, code=408)
    task = life()
    for _ in range(2):
        with pytest.raises(RunwaySubmissionUnknownError):
            task.run()
    assert runway_simulator.creations == []


@pytest.mark.parametrize("code", [500, 503])
def test_an_error_that_kie_ai_reports_itself_is_submitted_again_by_the_retry(
    code: int, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("body_code", CREATION, code=code)
    task = life()
    with pytest.raises(RunwayServerError) as caught:
        task.run()
    assert not isinstance(caught.value, AirflowFailException)
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("mode", ["wait in the worker", "wait deferred"])
def test_a_retry_after_a_failed_generation_makes_a_new_one(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION)
    task = life(**MODES[mode])
    with pytest.raises(RunwayTaskFailedError) as caught:
        task.to_the_end()
    assert not isinstance(caught.value, AirflowFailException)
    assert task.to_the_end() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


def test_a_generation_that_was_rejected_while_the_worker_was_dead_is_not_paid_for_again(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("moderation", CREATION)
    task = life(wait_for_completion=True)
    killed_at("while waiting")
    with pytest.raises(Killed):
        task.run()
    runway_simulator.advance(3600)
    with pytest.raises(RunwayTaskRejectedError):
        task.run()
    assert len(runway_simulator.creations) == 1


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
    with pytest.raises(RunwayError, match=f"{runway_task_id}.*goes on and is charged.*kie.ai/logs") as caught:
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
    with pytest.raises(RunwayTimeoutError, match="goes on at kie"):
        task.run()
    runway_simulator.force_task(runway_simulator.creations[0]["task_id"], "success")
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


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
    assert result == runway_simulator.creations[0]["task_id"]
    assert result in caplog.text


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


def test_without_durable_a_retry_pays_again(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(durable=False)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    task.run()
    assert len(runway_simulator.creations) == 2


def test_without_a_store_the_task_says_so_and_a_retry_pays_again(
    runway_simulator: Simulator,
    killed_at: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = Life(None)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    assert capsys.readouterr().out.count("state_path") == 1
    task.run()
    assert len(runway_simulator.creations) == 2


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


@pytest.mark.parametrize("wrong", ["50", True, [1]])
def test_min_credits_that_are_no_number_are_refused_by_name(
    life: Callable[..., Life], runway_simulator: Simulator, wrong: Any
) -> None:
    with pytest.raises(RunwayValidationError, match="min_credits="):
        life(min_credits=wrong).run()
    assert runway_simulator.stats()["requests"] == []


def test_a_rate_limit_at_the_credits_gives_the_worker_back_too(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.operators.submit._CREDITS_PATIENCE", 0.0)
    runway_simulator.add_fault("body_code", "/api/v1/chat/credit", code=429, count=None)
    task = life(min_credits=1, deferrable=True)
    assert task.run() is None
    runway_simulator.clear_faults()
    assert task.go_on_after_pause() == runway_simulator.creations[0]["task_id"]


def test_a_video_that_is_there_is_not_lost_where_a_template_renders_to_nothing_by_then(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**MODES["wait deferred"])
    task.run()
    task.arguments["prompt"] = ""
    assert task.resume() == runway_simulator.creations[0]["task_id"]
    assert task.ti.xcoms["video_url"]


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
        assert len(runway_simulator.creations) == 20
        while due:
            moment, index = heapq.heappop(due)
            runway_simulator.advance(max(0.0, moment - now))
            now = max(now, moment)
            resumed.append(moment)
            if tasks[index].go_on_after_pause() is None:
                heapq.heappush(due, (now + self._pause(tasks[index]), index))
        assert sorted(prompts(runway_simulator)) == sorted(f"Video {n}" for n in range(100))
        assert {task.ti.try_number for task in tasks} == {1}
        # 80 videos need 40 s at the least.
        assert 40 <= now < 600
        # No wave: within no half second does a quarter of the tasks come back.
        assert max(sum(a <= b < a + 0.5 for b in resumed) for a in resumed) < 25

    @staticmethod
    def _pause(task: Life) -> float:
        assert task.deferral is not None
        trigger: Any = task.deferral.trigger
        return max(0.0, trigger.moment.timestamp() - time.time())

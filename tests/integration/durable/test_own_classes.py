"""Classes of one's own, derived from the operators: what Airflow says that they may do, they may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.compat import CAN_BE_CALLED, AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayValidationError,
)
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.calling import DEFERRED, let_it_call, woken
from tests.integration.durable.life import CREATION, Killed, Life, prompts
from tests.stores import TaskStateStore

needs_calls = pytest.mark.skipif(not CAN_BE_CALLED, reason="this Airflow cannot be called")


class Told(RunwayGenerateOperator):
    """Does something more at the end, with the signature that Airflow documents."""

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> str:
        return f"told of {super().execute_complete(context, event)}"


class Reads(RunwayGenerateOperator):
    """Reads the event itself."""

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> str:
        assert event is not None
        return f"{event['status']} {event['task']['task_id']}"


class ToldSensor(RunwayTaskSensor):
    """Does something more at the end of a wait."""

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> str | None:
        return f"told of {super().execute_complete(context, event)}"


@pytest.mark.parametrize(("kind", "said"), [(Told, "told of"), (Reads, "success")])
def test_an_execute_complete_of_ones_own_is_called_as_airflow_calls_any(
    kind: type[Any], said: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(operator_class=kind, **DEFERRED)
    assert task.run() is None
    runway_simulator.advance(600)
    assert task.resume() == f"{said} {runway_simulator.creations[0]['task_id']}"


def test_a_sensors_is_too(runway_simulator: Simulator) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    runway_task_id = str(Life(None).run())
    sensor = Life(
        None, operator_class=ToldSensor, prompt=None, runway_task_id=runway_task_id, deferrable=True
    )
    del sensor.arguments["prompt"], sensor.arguments["poll_interval"]
    assert sensor.run() is None
    runway_simulator.force_task(runway_task_id, "success")
    assert str(sensor.resume()).startswith("told of http")


@needs_calls
class TestWoken:
    """kie.ai has called: such a class is not asked to know of that."""

    @pytest.fixture(autouse=True)
    def _callable(self, runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        let_it_call(monkeypatch)

    @pytest.mark.parametrize(("kind", "said"), [(Told, "told of"), (Reads, "success")])
    def test_it_gets_the_end_of_the_wait(
        self, kind: type[Any], said: str, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        task = life(operator_class=kind, **DEFERRED)
        assert task.run() is None
        runway_simulator.advance(600)
        assert woken(task) == f"{said} {runway_simulator.creations[0]['task_id']}"

    def test_it_gets_nothing_where_nothing_has_ended_and_the_deadline_stays(
        self, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        runway_simulator.add_fault("stuck", CREATION)
        task = life(operator_class=Told, timeout=600, **DEFERRED)
        assert task.run() is None
        assert task.deferral is not None
        before = task.deferral.trigger.serialize()[1]
        assert woken(task) is None
        after = task.deferral.trigger.serialize()[1]
        for name in ("runway_task_id", "started_at", "end_time", "poll_interval", "kind", "returns"):
            assert after[name] == before[name]
        # Once more, and the end.
        assert woken(task) is None
        runway_simulator.force_task(runway_simulator.creations[0]["task_id"], "success")
        assert woken(task) == f"told of {runway_simulator.creations[0]['task_id']}"

    @pytest.mark.parametrize(
        ("fault", "error"),
        [("moderation", RunwayTaskRejectedError), ("upstream_failure", RunwayTaskFailedError)],
    )
    def test_a_failure_reaches_it_as_any_other(
        self,
        fault: str,
        error: type[Exception],
        life: Callable[..., Life],
        runway_simulator: Simulator,
    ) -> None:
        runway_simulator.add_fault(fault, CREATION)
        task = life(operator_class=Told, **DEFERRED)
        assert task.run() is None
        runway_simulator.advance(600)
        with pytest.raises(error) as caught:
            woken(task)
        assert type(caught.value) is error
        assert getattr(caught.value, "runway_task_id", None) == runway_simulator.creations[0]["task_id"]


def test_a_task_that_an_earlier_release_deferred_goes_on(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**DEFERRED)
    assert task.run() is None
    assert task.deferral is not None
    # There, nobody was told more than when it began and ends.
    task.deferral.kwargs = {"wait": {"started_at": 1.0, "end_time": 2.0}}
    runway_simulator.advance(600)
    assert task.resume() == runway_simulator.creations[0]["task_id"]


def test_a_timeout_reaches_it_too(life: Callable[..., Life], runway_simulator: Simulator) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = life(operator_class=Told, timeout=0.2, **DEFERRED)
    assert task.run() is None
    with pytest.raises(RunwayTimeoutError):
        task.resume()


class Several(RunwayGenerateOperator):
    """Submits two requests in one Airflow task."""

    def execute(self, context: Any) -> str:
        made = []
        for prompt in ("one", "two"):
            self.prompt = prompt
            made.append(super().execute(context))
        if context["ti"].try_number == 1:
            raise Killed
        return ",".join(made)


@pytest.mark.parametrize("wait", [False, True])
def test_several_requests_in_one_task_are_refused_before_the_second_is_paid_for(
    wait: bool, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(operator_class=Several, wait_for_completion=wait)
    with pytest.raises(RunwayValidationError, match=r"'two'.*'one'.*expand.*durable=False") as caught:
        task.run()
    # A retry would pay for the first again.
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.runway_task_id == runway_simulator.creations[0]["task_id"]
    assert prompts(runway_simulator) == ["one"]


def test_they_are_refused_in_a_retry_too_that_has_taken_up_the_first(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(operator_class=Several)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    with pytest.raises(RunwayValidationError, match=r"'two'.*'one'") as caught:
        task.run()
    assert caught.value.runway_task_id == runway_simulator.creations[0]["task_id"]
    assert prompts(runway_simulator) == ["one"]


def test_who_keeps_no_notes_may_submit_several(runway_simulator: Simulator) -> None:
    task = Life(TaskStateStore(), operator_class=Several, durable=False)
    with pytest.raises(Killed):
        task.run()
    assert prompts(runway_simulator) == ["one", "two"]


def test_the_same_request_several_times_in_one_task_is_one_video(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    class Twice(RunwayGenerateOperator):
        def execute(self, context: Any) -> str:
            once, again = super().execute(context), super().execute(context)
            assert once == again
            return again

    assert life(operator_class=Twice).run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1

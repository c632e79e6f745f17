"""Airflow's part in the life of one task instance, with the store of Airflow 3.3 and with files as for 2.11.

What Airflow itself does with a killed worker or triggerer is seen in the system tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airflow_provider_runway.compat import TaskDeferred
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.conftest import TaskInstance
from tests.stores import TaskStateStore

CREATION = "/api/v1/runway/generate"

MODES: dict[str, dict[str, Any]] = {
    "submit only": {},
    "wait in the worker": {"wait_for_completion": True},
    "wait deferred": {"wait_for_completion": True, "deferrable": True},
}


class Killed(BaseException):
    """The worker is gone: nothing of the operator's own may run any more."""


class OutletEvents:
    """The one event of a task's outlet, as Airflow hands it out; not every version's assets can be keys."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}

    def __getitem__(self, outlet: Any) -> OutletEvents:
        return self


class Life:
    """What Airflow does with one task instance.

    :param store: Airflow's task state store, ``None`` where there is none
    :param retries: those of the Airflow task
    :param operator_class: the operator's
    :param arguments: those of the operator
    """

    def __init__(
        self,
        store: TaskStateStore | None,
        *,
        retries: int = 3,
        operator_class: type[Any] = RunwayGenerateOperator,
        **arguments: Any,
    ) -> None:
        self.operator_class = operator_class
        self.arguments = {"task_id": "task", "prompt": "A lighthouse", "poll_interval": 0.1, **arguments}
        self.retries = retries
        self.store = store
        self.ti = TaskInstance()
        self.ti.try_number, self.ti.max_tries = 0, retries
        self.deferral: TaskDeferred | None = None
        #: What templates render to, by argument, from now on.
        self.rendered: dict[str, Any] = {}
        #: What else Airflow tells a task.
        self.more_context: dict[str, Any] = {}

    @property
    def context(self) -> Any:
        own = {} if self.store is None else {"task_state_store": self.store}
        return {"ti": self.ti, "task_instance": self.ti, **own, **self.more_context}

    def operator(self) -> Any:
        operator = self.operator_class(**self.arguments)
        for name, value in self.rendered.items():
            setattr(operator, name, value)
        return operator

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
            return (await anext(trigger.run())).payload

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


def prompts(simulator: Simulator) -> list[str]:
    return [creation["body"]["prompt"] for creation in simulator.creations]

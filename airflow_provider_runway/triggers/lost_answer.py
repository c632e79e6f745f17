"""Waits for kie.ai to call about a submission whose answer was lost. It asks kie.ai nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_runway.triggers import calls
from airflow_provider_runway.triggers.arrivals import arrival_in_trigger

#: Seconds between two reads: what comes later than the guard wakes the task by itself.
_PAUSE = 60.0


class LostAnswerTrigger(BaseTrigger):
    """
    Wait for a call, or until none is expected any more.

    :param recipient: The name of the address at which kie.ai is to call.
    :param until: When none is expected any more, in epoch seconds.
    :param deferred_at: When the worker was given back, in epoch seconds.
    :param foreign: A Runway task ID that has arrived and is not the one.
    """

    def __init__(self, recipient: str, until: float, deferred_at: float, foreign: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self._made_at = time.time()
        self.recipient = recipient
        self.until = until
        self.deferred_at = deferred_at
        self.foreign = foreign

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; none of them is a secret."""
        return (
            "airflow_provider_runway.triggers.lost_answer.LostAnswerTrigger",
            {
                "recipient": self.recipient,
                "until": self.until,
                "deferred_at": self.deferred_at,
                "foreign": self.foreign,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read what has arrived, first when the task may be woken, and fire once."""
        # A little later than who wakes, so that nothing falls between.
        may_wake_from = calls.may_wake_from(self.deferred_at, self._made_at)
        await asyncio.sleep(max(0.0, may_wake_from + 1.0 - time.time()))
        while True:
            found = await arrival_in_trigger(self.task_instance, self.recipient)
            if found is not None and found != self.foreign:
                yield TriggerEvent({"status": "callback"})
                return
            left = self.until - time.time()
            if left <= 0:
                yield TriggerEvent({"status": "none"})
                return
            await asyncio.sleep(min(_PAUSE, left))

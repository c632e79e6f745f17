"""A wait while kie.ai is expected to call: polls are a safety net, unless no calls arrive."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_runway.triggers import arrivals
from airflow_provider_runway.triggers.board import Board
from airflow_provider_runway.waiting.ending import RESUME_GUARD

#: Seconds between two polls once a video should long be done.
SAFETY_INTERVAL = 180.0

#: How many calls in a row may be missing before a connection's waits poll as they would without.
_MOST_MISSED = 3

#: Seconds that Airflow takes at most to note a deferral, in all but the worst cases.
_SLOWEST_DEFERRAL = 5.0

#: Connection ID to the number of calls in a row that did not come.
_MISSED: dict[str, int] = {}


@dataclass
class Calls:
    """
    One wait for a call.

    :param ti: The task instance that waits.
    :param recipient: The name of the address that kie.ai was given.
    :param conn_id: The connection's ID: whether calls arrive is learned for each.
    :param runway_task_id: The Runway task ID.
    :param may_wake_from: From when on a call wakes the task by itself, in epoch seconds.
    :param long_done_at: When the video should long be done, in epoch seconds.
    :param every: Seconds between two polls after that.
    :param end_time: The wait's deadline, in epoch seconds.
    :param board: Where arrivals are posted, where no call wakes the task.
    """

    ti: Any
    recipient: str
    conn_id: str
    runway_task_id: str
    may_wake_from: float
    long_done_at: float
    every: float
    end_time: float
    board: Board | None = None
    _has_arrived: bool = field(default=False, init=False)
    _guard_is_over: bool = field(default=False, init=False)
    _looked: bool = field(default=False, init=False)

    async def wait(self) -> bool:
        """Sleep until a poll is worth it; tell whether that is now, or the ordinary schedule decides."""
        if self._has_arrived or _MISSED.get(self.conn_id, 0) >= _MOST_MISSED:
            return False
        try:
            if self.board is None and not self._guard_is_over:
                # A little later than who wakes, so that no call falls between the two.
                await _sleep_until(min(self.may_wake_from + 1.0, self.end_time))
                self._guard_is_over = True
                if await self._arrived():
                    return True
            target = min(time.time() + self.every if self._looked else self.long_done_at, self.end_time)
            if self.board is None:
                await _sleep_until(target)
            elif await self.board.wait_for(self.recipient, target) == self.runway_task_id:
                self._has_arrived = True
                return True
        except asyncio.CancelledError:
            # Woken, most likely: calls do arrive.
            _MISSED.pop(self.conn_id, None)
            raise
        self._looked = True
        return True

    async def found_without(self, log: Any) -> None:
        """
        Note that a poll has found the end.

        :param log: Where to say once that calls do not arrive.
        """
        if await self._arrived():
            _MISSED.pop(self.conn_id, None)
            return
        if not self._looked:
            return
        missed = _MISSED[self.conn_id] = _MISSED.get(self.conn_id, 0) + 1
        if missed == _MOST_MISSED:
            log.warning(
                "%d callbacks in a row did not arrive for connection %r, so its waits poll as they would "
                "without callbacks. Can kie.ai reach the callback_base_url?",
                missed,
                self.conn_id,
            )

    async def _arrived(self) -> bool:
        if not self._has_arrived:
            found = await arrivals.arrival_in_trigger(self.ti, self.recipient)
            self._has_arrived = found == self.runway_task_id
        return self._has_arrived


def may_wake_from(deferred_at: float | None, made_at: float) -> float:
    """
    Return from when on a call wakes a deferred task by itself, in epoch seconds. Until then it is only kept.

    :param deferred_at: When the worker was given back, in epoch seconds; ``None`` where nobody noted it.
    :param made_at: When the trigger was made, in epoch seconds.
    """
    if deferred_at is None:
        return made_at + RESUME_GUARD
    # Airflow counts from when it noted the deferral, which is somewhere between the two.
    return min(max(deferred_at, made_at), deferred_at + _SLOWEST_DEFERRAL) + RESUME_GUARD


async def woke(ti: Any, runway_task_id: str) -> bool:
    """
    Return whether kie.ai has called about a Runway task that a task instance waits for. Never raises.

    :param ti: The task instance, if there is one.
    :param runway_task_id: The Runway task ID.
    """
    return ti is not None and await arrivals.has_arrived_in_trigger(ti, runway_task_id)


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.time()))

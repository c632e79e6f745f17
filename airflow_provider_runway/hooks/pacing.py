"""Spaces the polls of one account on one event loop, and slows them all together when kie.ai asks to."""

from __future__ import annotations

import asyncio
import random
import sys
import time

from airflow_provider_runway.exceptions import RunwayError, RunwayMaintenanceError, RunwayRateLimitError
from airflow_provider_runway.waiting.backoff import backoff

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    # aiohttp needs it there, too.
    from async_timeout import timeout

#: Seconds for which one answer holds all polls of a connection back at most, whatever it asks for: one odd
#: answer must not hide from thousands of waits that their videos are there.
LONGEST_PAUSE = 300.0


class Pacer:
    """
    Gives each request its turn: :meth:`take_turn` before it, :meth:`end_turn` after it.

    :param per_second: At most so many requests a second; 0 means no cap.
    :param at_once: At most so many requests under way.
    """

    def __init__(self, *, per_second: float, at_once: int) -> None:
        self._gap = 1.0 / per_second if per_second else 0.0
        self._under_way = asyncio.Semaphore(at_once)
        self._next_turn = 0.0
        self._resume_at = 0.0
        self._refusals = 0

    async def take_turn(self, patience: float | None = None) -> None:
        """
        Wait for this request's turn.

        :param patience: Seconds that it may take; ``None`` means however long.
        :raises asyncio.TimeoutError: it took longer.
        """
        now = time.monotonic()
        if now < self._next_turn or now < self._resume_at or self._under_way.locked():
            # Cheaper than asyncio.wait_for, which makes a task before Python 3.12.
            async with timeout(patience):
                await self._wait()
            return
        # Nobody is in the way, as nearly always: a timer for this would cost as much as reading the answer.
        await self._under_way.acquire()
        self._next_turn = now + self._gap

    def end_turn(self) -> None:
        """Let the next one in."""
        self._under_way.release()

    async def _wait(self) -> None:
        await self._under_way.acquire()
        try:
            now = time.monotonic()
            turn = max(now, self._next_turn)
            self._next_turn = turn + self._gap
            if turn > now:
                await asyncio.sleep(turn - now)
            while (pause := self._resume_at - time.monotonic()) > 0:  # noqa: ASYNC110 - it waits for a time
                await asyncio.sleep(pause + random.uniform(0.0, 1.0))
        except BaseException:
            self._under_way.release()
            raise

    def told(self, error: RunwayError | None) -> None:
        """
        Learn from an answer: a rate limit or a maintenance slows everybody, any other answer ends that.

        :param error: Why the poll failed; ``None`` where it did not.
        """
        if not isinstance(error, RunwayRateLimitError | RunwayMaintenanceError):
            self._refusals = 0
            return
        now = time.monotonic()
        if now < self._resume_at:
            # It was under way when the pause began, and says nothing new.
            return
        self._refusals += 1
        self._resume_at = now + min(LONGEST_PAUSE, backoff(self._refusals, error.retry_after))

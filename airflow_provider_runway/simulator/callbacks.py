"""Tells a task's ``callBackUrl`` that it has ended, as kie.ai does."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from typing import Any

import aiohttp

from airflow_provider_runway.simulator.account import Account
from airflow_provider_runway.simulator.answers import callback, signature_headers
from airflow_provider_runway.simulator.settings import Settings
from airflow_provider_runway.simulator.stats import Stats
from airflow_provider_runway.simulator.tasks import Task

RETRIES = 3
ANSWER_SECONDS = 15


class CallbackSender:
    """One watcher for all tasks with a callback: a heap of their ends, not a timer for each.

    :param account: whose tasks are watched; those that ended while the server was down come first.
    :param settings: how the simulator behaves.
    :param stats: where each delivery is noted.
    :param session: sends them.
    """

    def __init__(
        self, account: Account, settings: Settings, stats: Stats, session: aiohttp.ClientSession
    ) -> None:
        self._account = account
        self._settings = settings
        self._stats = stats
        self._session = session
        self._due: list[tuple[float, str]] = []
        self._changed = asyncio.Event()
        self._deliveries: dict[str, asyncio.Task[None]] = {}
        for task in account.tasks.values():
            self.expect(task)

    def expect(self, task: Task) -> None:
        """Watch a new task, or one whose end was changed."""
        due = task.callback_due
        if due is not None:
            heapq.heappush(self._due, (due, task.task_id))
            self._changed.set()

    async def send_early(self, task: Task) -> None:
        """Tell of an end that is still to come, once; a task that will never end has nothing to tell."""
        if task.ends_at is not None:
            await self._send(task, self._body(task, task.ends_at), attempt=0)

    def wake(self) -> None:
        """Look at the clock again, it was put forward."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver for ever."""
        try:
            while True:
                self._changed.clear()
                now = self._account.now()
                while self._due and self._due[0][0] <= now:
                    self._begin(heapq.heappop(self._due)[1], now)
                pause = self._due[0][0] - now if self._due else None
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)
        finally:
            # A try that is cut off here has not failed: the next start sends it again.
            for delivery in self._deliveries.values():
                delivery.cancel()

    def _begin(self, task_id: str, now: float) -> None:
        """Start to deliver, unless the task's end moved, was told of or is being told of already."""
        task = self._account.tasks.get(task_id)
        if task is None or task_id in self._deliveries:
            return
        due = task.callback_due
        if due is None or due > now or task.state(now) not in ("success", "fail"):
            return
        if task.callback_fault == "callback_dropped":
            self._stats.callback(task.task_id, _url(task), 0, now, "dropped")
            self._account.callback_dropped(task)
        else:
            self._deliveries[task_id] = asyncio.create_task(self._deliver(task))
            self._deliveries[task_id].add_done_callback(lambda _: self._deliveries.pop(task_id))

    async def _deliver(self, task: Task) -> None:
        body = self._body(task, self._account.now())
        while not task.callback_sent and self._account.knows(task):
            attempt = task.callback_attempts + 1
            status = await self._send(task, body, attempt)
            if task.callback_times is None:
                last = status == 200 or attempt > RETRIES
            else:
                last = attempt >= task.callback_times
            self._account.callback_tried(task, last=last)
            if not task.callback_sent:
                await asyncio.sleep(self._settings.callback_retry_seconds / self._settings.speed)

    def _body(self, task: Task, now: float) -> dict[str, Any]:
        return callback(task, now, self._settings.aleph_callback)

    async def _send(self, task: Task, body: dict[str, Any], attempt: int) -> int | str:
        """Return the HTTP status that the callback was answered with, or the name of the error it met."""
        url, sent_at = _url(task), self._account.now()
        headers = {"User-Agent": "kie.ai-simulator"}
        # By the wall's clock, since that is what a receiver compares it with.
        now = time.time()
        if self._settings.webhook_key:
            headers |= signature_headers(task.task_id, self._settings.webhook_key, int(now))
        status: int | str
        try:
            async with self._session.post(
                url,
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,
            ) as response:
                status = response.status
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            status = type(error).__name__
        self._stats.callback(task.task_id, url, attempt, sent_at, status)
        return status


def _url(task: Task) -> str:
    return task.submission.callback_url or ""

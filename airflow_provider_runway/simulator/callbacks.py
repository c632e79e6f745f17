"""Tells a task's ``callBackUrl`` that it has ended, as kie.ai does."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time

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
    """

    def __init__(self, account: Account, settings: Settings, stats: Stats) -> None:
        self._account = account
        self._settings = settings
        self._stats = stats
        self._due: list[tuple[float, str]] = []
        self._changed = asyncio.Event()
        self._deliveries: set[asyncio.Task[None]] = set()
        for task in account.tasks.values():
            self.expect(task)

    def expect(self, task: Task) -> None:
        """Watch a new task, or one whose end was changed."""
        if task.submission.callback_url and task.ends_at is not None and not task.callback_sent:
            heapq.heappush(self._due, (task.ends_at, task.task_id))
            self._changed.set()

    def wake(self) -> None:
        """Look at the clock again, it was put forward."""
        self._changed.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as session:
            while True:
                self._changed.clear()
                now = self._account.now()
                while self._due and self._due[0][0] <= now:
                    _, task_id = heapq.heappop(self._due)
                    task = self._account.tasks.get(task_id)
                    if task and not task.callback_sent and task.state(now) in ("success", "fail"):
                        delivery = asyncio.create_task(self._deliver(session, task))
                        self._deliveries.add(delivery)
                        delivery.add_done_callback(self._deliveries.discard)
                pause = self._due[0][0] - now if self._due else None
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)

    async def _deliver(self, session: aiohttp.ClientSession, task: Task) -> None:
        settings = self._settings
        url = task.submission.callback_url or ""
        body = callback(task, self._account.now())
        for attempt in range(1 + RETRIES):
            headers = {"User-Agent": "kie.ai-simulator"}
            if settings.webhook_key:
                headers |= signature_headers(task.task_id, settings.webhook_key, int(time.time()))
            status: int | str
            try:
                async with session.post(url, json=body, headers=headers) as response:
                    status = response.status
            except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
                status = type(error).__name__
            self._stats.callback(task.task_id, url, attempt + 1, status)
            if status == 200:
                break
            if attempt < RETRIES:
                await asyncio.sleep(settings.callback_retry_seconds / settings.speed)
        self._account.callback_sent(task)

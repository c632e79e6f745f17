"""Tells a task's ``callBackUrl`` that it has ended, as kie.ai does."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from airflow_provider_runway.simulator.answers import callback, signature_headers
from airflow_provider_runway.simulator.service import SERVICE, Service
from airflow_provider_runway.simulator.tasks import Task

RETRIES = 3
ANSWER_SECONDS = 15


class CallbackSender:
    """One watcher for all tasks with a callback: a heap of their ends, not a timer for each.

    :param service: whose tasks are watched; those that ended while the server was down come first.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._due: list[tuple[float, str]] = []
        self._changed = asyncio.Event()
        self._deliveries: set[asyncio.Task[None]] = set()
        for task in service.account.tasks.values():
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
                now = self._service.account.now()
                while self._due and self._due[0][0] <= now:
                    _, task_id = heapq.heappop(self._due)
                    task = self._service.account.tasks.get(task_id)
                    if task and not task.callback_sent and task.state(now) in ("success", "fail"):
                        delivery = asyncio.create_task(self._deliver(session, task))
                        self._deliveries.add(delivery)
                        delivery.add_done_callback(self._deliveries.discard)
                pause = self._due[0][0] - now if self._due else None
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)

    async def _deliver(self, session: aiohttp.ClientSession, task: Task) -> None:
        settings = self._service.settings
        url = task.submission.callback_url or ""
        body = callback(task, self._service.account.now())
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
            self._service.stats.callback(task.task_id, url, attempt + 1, status)
            if status == 200:
                break
            if attempt < RETRIES:
                await asyncio.sleep(settings.callback_retry_seconds / settings.speed)
        self._service.account.callback_sent(task)


async def run_callbacks(app: web.Application) -> AsyncIterator[None]:
    """Run the sender for as long as the application."""
    service = app[SERVICE]
    service.callbacks = CallbackSender(service)
    running = asyncio.create_task(service.callbacks.run())
    yield
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running

"""Waits in the triggerer for a Runway task. It only reads: whatever restarts, nothing is submitted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_runway.api.answers import check_lookup
from airflow_provider_runway.exceptions import RunwayError
from airflow_provider_runway.hooks.runway import RunwayAsyncHook
from airflow_provider_runway.hooks.sessions import RunwaySession
from airflow_provider_runway.polling import Poller, WaitEnd, cannot_be_cancelled


class RunwayTaskTrigger(BaseTrigger):
    """
    Wait until a Runway task has its video, or surely will not have one.

    Fires one event, the plain data of a :class:`~airflow_provider_runway.polling.WaitEnd`. A look-up that
    fails is repeated until the deadline, except where the API key is rejected or kie.ai knows no such task.

    :param runway_task_id: The Runway task ID.
    :param runway_conn_id: The connection's ID.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param poll_interval: Seconds between two looks; ``None`` adapts to the kind of task.
    :param end_time: The deadline in epoch seconds; ``None`` means an hour after ``started_at``. Wall-clock,
        because the trigger may go on in another process.
    :param started_at: When the Runway task was submitted or the wait began, in epoch seconds; ``None`` means
        now.
    :param kind: The request's ``kind``, where ``started_at`` is when it was submitted: then there is no look
        before the video can be ready.
    """

    def __init__(
        self,
        runway_task_id: str,
        runway_conn_id: str = "runway_default",
        model: str = "runway",
        poll_interval: float | None = None,
        end_time: float | None = None,
        started_at: float | None = None,
        kind: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.runway_task_id = runway_task_id
        self.runway_conn_id = runway_conn_id
        self.model = model
        self.poll_interval = poll_interval
        self.started_at = time.time() if started_at is None else started_at
        self.end_time = self.started_at + 3600.0 if end_time is None else end_time
        self.kind = kind

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments. None of them is a secret: they are stored and logged."""
        return (
            "airflow_provider_runway.triggers.runway.RunwayTaskTrigger",
            {
                "runway_task_id": self.runway_task_id,
                "runway_conn_id": self.runway_conn_id,
                "model": self.model,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "started_at": self.started_at,
                "kind": self.kind,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the wait ends, and fire the one event that says how."""
        end = await self.wait()
        yield TriggerEvent(end.to_event())

    async def on_kill(self) -> None:
        """Say, when a person ends or clears the deferred task, that the generation goes on."""
        self.log.warning(cannot_be_cancelled(self.runway_task_id))

    async def wait(self) -> WaitEnd:
        """Look until the wait ends, and return how."""
        try:
            check_lookup(self.runway_task_id, self.model)
        except RunwayError as error:
            return WaitEnd(error=error)
        poller = Poller(
            runway_task_id=self.runway_task_id,
            model=self.model,
            end_time=self.end_time,
            started_at=self.started_at,
            poll_interval=self.poll_interval,
            kind=self.kind,
        )
        hook = RunwayAsyncHook(self.runway_conn_id)
        end: WaitEnd | None = None
        while end is None:
            try:
                async with hook.shared_session() as session:
                    end = await self._wait_with(session, poller)
            except RunwayError as error:
                # The connection cannot be read (it may be later) or cannot be right (it will not).
                end = poller.on_error(error, time.time())
                self._tell(poller)
                if end is None:
                    await asyncio.sleep(poller.next_delay(time.time()))
        return end

    async def _wait_with(self, session: RunwaySession, poller: Poller) -> WaitEnd:
        while True:
            await asyncio.sleep(poller.next_delay(time.time()))
            try:
                task = await session.look_up(self.runway_task_id, self.model)
            except RunwayError as error:
                end = poller.on_error(error, time.time())
            else:
                end = poller.on_task(task, time.time())
            self._tell(poller)
            if end is not None:
                return end

    def _tell(self, poller: Poller) -> None:
        if poller.news:
            self.log.info(poller.news)

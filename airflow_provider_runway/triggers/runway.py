"""Waits in the triggerer for a Runway task. It only reads: whatever restarts, nothing is submitted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_runway.api.answers import check_lookup
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayTaskNotFoundError,
)
from airflow_provider_runway.hooks.runway import RunwayAsyncHook
from airflow_provider_runway.hooks.sessions import LastAnswer, RunwaySession
from airflow_provider_runway.triggers.results import result_of
from airflow_provider_runway.waiting.ending import DEFERRAL_MARGIN, WaitEnd, cannot_be_cancelled
from airflow_provider_runway.waiting.poller import Poller

#: Seconds after the deadline that the last look may take; Airflow ends the deferral a little later.
_LAST_LOOK = 30.0


class RunwayTaskTrigger(BaseTrigger):
    """
    Wait until a Runway task has its video, or surely will not have one.

    Fires one event, the plain data of a :class:`~airflow_provider_runway.waiting.ending.WaitEnd`. A look-up
    that fails is repeated until the deadline, except where the API key is rejected or kie.ai knows no such
    task.

    :param runway_task_id: The Runway task ID.
    :param runway_conn_id: The connection's ID.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param poll_interval: Seconds between two looks, at least 1; ``None`` adapts to the kind of task.
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
                    # The key may have been changed while this waited, even to another account's.
                    of_the_key = isinstance(end.error, RunwayAuthenticationError | RunwayTaskNotFoundError)
                    if of_the_key and await hook.is_outdated(session):
                        poller.begin_anew()
                        end = None
            except RunwayError as error:
                # The connection cannot be read (it may be later) or cannot be right (it will not).
                end = poller.on_error(error, time.time())
                self._tell(poller)
                if end is None:
                    await asyncio.sleep(poller.next_delay(time.time()))
        return end

    async def _wait_with(self, session: RunwaySession, poller: Poller) -> WaitEnd:
        last = LastAnswer()
        while True:
            await asyncio.sleep(poller.next_delay(time.time()))
            left = max(0.0, self.end_time - time.time())
            try:
                # A rate limit that holds all look-ups back must not move the deadline.
                task = await session.look_up(
                    self.runway_task_id, self.model, patience=left + _LAST_LOOK, last=last
                )
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


class RunwaySensorTrigger(RunwayTaskTrigger):
    """
    Stand in for a sensor that starts in the triggerer and, where the video is there, ends there: no worker
    process.

    :param runway_task_id: The Runway task ID; ``None`` where it is the result of a task upstream.
    :param upstream: That task: its ``task_id`` and the ``key`` of its XCom.
    :param runway_conn_id: The connection's ID.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param poll_interval: Seconds between two looks, at least 1; ``None`` adapts to the kind of task.
    :param timeout: The sensor's ``timeout`` in seconds.
    """

    def __init__(
        self,
        runway_task_id: str | None,
        upstream: dict[str, str] | None,
        runway_conn_id: str,
        model: str,
        poll_interval: float | None,
        timeout: float,
    ) -> None:
        super().__init__(
            runway_task_id=runway_task_id or "",
            runway_conn_id=runway_conn_id,
            model=model,
            poll_interval=poll_interval,
        )
        self.upstream = upstream
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments. None of them is a secret: they are stored and logged."""
        return (
            "airflow_provider_runway.triggers.runway.RunwaySensorTrigger",
            {
                "runway_task_id": self.runway_task_id or None,
                "upstream": self.upstream,
                "runway_conn_id": self.runway_conn_id,
                "model": self.model,
                "poll_interval": self.poll_interval,
                "timeout": self.timeout,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the wait ends. Success ends the task here; a failure is left to a worker."""
        from airflow.sdk.execution_time.xcom import XCom
        from airflow.triggers.base import TaskSuccessEvent

        ti: Any = self.task_instance
        where = {"dag_id": ti.dag_id, "run_id": ti.run_id}
        if self.upstream:
            upstream = {"task_id": self.upstream["task_id"], "key": self.upstream["key"]}
            # Without a map index, the look-up would wait for an answer that does not come.
            self.runway_task_id = await XCom.aget_one(**upstream, **where, map_index=-1)
        # Airflow keeps the deadline of the deferral, so that a restart does not begin it afresh.
        timeout_after: datetime | None = getattr(self, "timeout_after", None)
        deadline = time.time() + self.timeout
        self.end_time = timeout_after.timestamp() - DEFERRAL_MARGIN if timeout_after else deadline
        self.started_at = self.end_time - self.timeout
        end = await self.wait()
        if end.error is not None or end.task is None:
            yield TriggerEvent(end.to_event())
            return
        results = {"return_value": end.task.video_url, **result_of(end.task)}
        for key, value in results.items():
            await XCom.aset(key, value, task_id=ti.task_id, map_index=-1, **where)
        yield TaskSuccessEvent()

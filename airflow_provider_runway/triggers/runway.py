"""Waits in the triggerer for a Runway task. It only reads: whatever restarts, nothing is submitted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_runway.api.answers import check_lookup
from airflow_provider_runway.api.tasks import RunwayTask
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayTaskNotFoundError,
)
from airflow_provider_runway.hooks.runway import RunwayAsyncHook
from airflow_provider_runway.hooks.sessions import LastAnswer, RunwaySession
from airflow_provider_runway.triggers import arrivals, calls
from airflow_provider_runway.triggers.board import board_of
from airflow_provider_runway.triggers.calls import SAFETY_INTERVAL, Calls
from airflow_provider_runway.triggers.results import RETURN_KEY, SENSOR_KEYS, result_of
from airflow_provider_runway.waiting.ending import (
    DEFERRAL_MARGIN,
    RESUME_GUARD,
    WaitEnd,
    cannot_be_cancelled,
)
from airflow_provider_runway.waiting.poller import Poller
from airflow_provider_runway.waiting.schedule import long_done

#: Seconds after the deadline that the last poll may take; Airflow ends the deferral a little later.
_LAST_LOOK = 30.0


class RunwayTaskTrigger(BaseTrigger):
    """
    Wait until a Runway task has its video, or certainly will not get one.

    A failed poll is repeated until the deadline, unless the API key is rejected or kie.ai does not know the
    task. If ``returns`` is given, the trigger ends the Airflow task itself when the video is ready, with its
    XComs. Any other outcome is one event for a worker, which handles retries, skips and callbacks: the plain
    data of a :class:`~airflow_provider_runway.waiting.ending.WaitEnd`.

    :param runway_task_id: The Runway task ID; ``None`` if it is the result of an upstream task.
    :param runway_conn_id: The connection's ID.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param poll_interval: Seconds between two polls, at least 1; ``None`` adapts to the kind of task.
    :param end_time: The deadline in epoch seconds; ``None`` means an hour after ``started_at``. Wall-clock
        time, because the trigger may continue in another process.
    :param started_at: When the Runway task was submitted or the wait began, in epoch seconds; ``None`` means
        now.
    :param kind: The request's ``kind``, if ``started_at`` is the time of the submission: then there is no
        poll before the video can be ready.
    :param returns: Which field of the Runway task is the Airflow task's ``return_value``: ``task_id`` or
        ``video_url``. ``None`` leaves the end to a worker.
    :param deferred_at: When the task was deferred, in epoch seconds; ``None`` if that was not noted.
    :param timeout: The Airflow task's ``timeout`` in seconds, if it starts in the triggerer; it replaces
        ``started_at`` and ``end_time``.
    :param upstream: If the ID is a result: the ``task_id`` and the ``key`` of that XCom.
    :param recipient: The name of the URL at which kie.ai is to call back, if it was given one: the trigger
        then polls only rarely, in case kie.ai does not call.
    :param was_seen: Whether kie.ai has already confirmed that it has the Runway task.
    """

    def __init__(
        self,
        runway_task_id: str | None,
        runway_conn_id: str = "runway_default",
        model: str = "runway",
        poll_interval: float | None = None,
        end_time: float | None = None,
        started_at: float | None = None,
        kind: str | None = None,
        *,
        returns: str | None = None,
        deferred_at: float | None = None,
        timeout: float | None = None,
        upstream: dict[str, str] | None = None,
        recipient: str | None = None,
        was_seen: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self._made_at = time.time()
        self.runway_task_id = runway_task_id or ""
        self.runway_conn_id = runway_conn_id
        self.model = model
        self.poll_interval = poll_interval
        self.started_at = self._made_at if started_at is None else started_at
        self.end_time = self.started_at + 3600.0 if end_time is None else end_time
        self.kind = kind
        self.returns = returns
        self.deferred_at = deferred_at
        self.timeout = timeout
        self.upstream = upstream
        self.recipient = recipient
        self.was_seen = was_seen or kind is not None
        self._calls: Calls | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments. None of them is a secret: they are stored and logged."""
        return (
            "airflow_provider_runway.triggers.runway.RunwayTaskTrigger",
            {
                "runway_task_id": self.runway_task_id or None,
                "runway_conn_id": self.runway_conn_id,
                "model": self.model,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "started_at": self.started_at,
                "kind": self.kind,
                "returns": self.returns,
                "deferred_at": self.deferred_at,
                "timeout": self.timeout,
                "upstream": self.upstream,
                "recipient": self.recipient,
                "was_seen": self.was_seen,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the wait ends, and fire the one event that says how."""
        try:
            if self.timeout is not None:
                await self._start(self.timeout)
            end = await self.wait()
        except Exception:
            # Airflow takes the failure of a trigger to a worker, too.
            await self._outlast_race()
            raise
        if end.error is None and end.task is not None and await self._leave_results(end.task):
            from airflow.triggers.base import TaskSuccessEvent

            yield TaskSuccessEvent()
            return
        await self._outlast_race()
        yield TriggerEvent(end.to_event())

    async def on_kill(self) -> None:
        """Say, when a person ends or clears the deferred task, that the generation goes on."""
        # Airflow calls this too where a call from kie.ai has woken the task.
        if await calls.woke(self.task_instance, self.runway_task_id):
            return
        self.log.warning(cannot_be_cancelled(self.runway_task_id, was_seen=self.was_seen))

    async def wait(self) -> WaitEnd:
        """Poll until the wait ends, and return how."""
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
            was_seen=self.was_seen,
        )
        hook = RunwayAsyncHook(self.runway_conn_id)
        end: WaitEnd | None = None
        while end is None:
            try:
                async with hook.shared_session() as session:
                    end = await self._wait_with(session, poller, hook)
                    # The key may have been changed while this waited, even to another account's.
                    of_the_key = end is not None and isinstance(
                        end.error, RunwayAuthenticationError | RunwayTaskNotFoundError
                    )
                    if of_the_key and await hook.is_outdated(session):
                        poller.begin_anew()
                        end = None
            except RunwayError as error:
                # The connection cannot be read (it may be later) or cannot be right (it will not).
                end = poller.on_error(error, time.time())
                self._tell(poller)
                if end is None:
                    await self._pause(poller)
        return end

    async def _wait_with(
        self, session: RunwaySession, poller: Poller, hook: RunwayAsyncHook
    ) -> WaitEnd | None:
        """Return how the wait ends, ``None`` where it is to go on with a new session."""
        last = LastAnswer()
        poller.speed = session.settings.speed
        # An interval that somebody has chosen is kept to.
        expects = self.recipient is not None and self.poll_interval is None
        if expects and self._calls is None and self.task_instance is not None:
            self._calls = Calls(
                self.task_instance,
                self.recipient or "",
                conn_id=self.runway_conn_id,
                runway_task_id=self.runway_task_id,
                may_wake_from=calls.may_wake_from(self.deferred_at, self._made_at),
                long_done_at=self.started_at + long_done(self.kind) / poller.speed,
                every=SAFETY_INTERVAL / poller.speed,
                end_time=self.end_time,
                board=board_of(self.runway_conn_id) if session.settings.callback_wake == "trigger" else None,
            )
        while True:
            await self._pause(poller)
            left = max(0.0, self.end_time - time.time())
            try:
                # A rate limit that holds all polls back must not move the deadline.
                task = await session.look_up(
                    self.runway_task_id, self.model, patience=left + _LAST_LOOK, last=last
                )
            except RunwayError as error:
                end = poller.on_error(error, time.time())
            else:
                end = poller.on_task(task, time.time())
            self._tell(poller)
            if end is not None:
                if self._calls is not None:
                    await self._calls.found_without(self.log)
                return end
            if poller.failures and await hook.is_outdated(session, failing=True):
                return None

    async def _pause(self, poller: Poller) -> None:
        if self._calls is not None and poller.failures == 0 and await self._calls.wait():
            return
        delay = poller.next_delay(time.time())
        if plan := poller.plan(delay, time.time()):
            self.log.info(plan)
        await asyncio.sleep(delay)

    def _tell(self, poller: Poller) -> None:
        self.was_seen = poller.was_seen
        if poller.news:
            self.log.info(poller.news)

    async def _start(self, timeout: float) -> None:
        """Do what a worker would have done before the wait of a task that started in the triggerer."""
        from airflow.sdk.execution_time.xcom import XCom

        ti: Any = self.task_instance
        # Airflow keeps the deadline of the deferral, so that a restart does not begin it afresh.
        timeout_after: datetime | None = getattr(self, "timeout_after", None)
        deadline = time.time() + timeout
        self.end_time = timeout_after.timestamp() - DEFERRAL_MARGIN if timeout_after else deadline
        self.started_at = self.end_time - timeout
        # A video of before a clear must not pass for this one's. Nobody wakes a task that was deferred just
        # now, so any call that is noted is an earlier try's, too.
        is_new = time.time() < self.started_at + RESUME_GUARD
        for key in (*SENSOR_KEYS, *([arrivals.KEY] if is_new else [])):
            await asyncio.to_thread(XCom.delete, key=key, **_owner(ti))
        if self.upstream:
            # Without a map index, the call would wait for an answer that does not come.
            of = {**_owner(ti), "task_id": self.upstream["task_id"], "map_index": -1}
            self.runway_task_id = await XCom.aget_one(key=self.upstream["key"], **of)

    async def _leave_results(self, task: RunwayTask) -> bool:
        """Push the XComs of the Airflow task, and tell whether it can end here."""
        ti: Any = self.task_instance
        # `dag.test()` runs a trigger in its own process, on behalf of nobody: it goes on by itself.
        if self.returns is None or ti is None:
            return False
        from airflow.sdk.execution_time.xcom import XCom

        xcoms = {RETURN_KEY: getattr(task, self.returns), **result_of(task)}
        try:
            for key, value in xcoms.items():
                await XCom.aset(key, value, **_owner(ti))
        except Exception:
            self.log.exception("The XComs cannot be pushed here: a worker ends this task")
            return False
        return True

    async def _outlast_race(self) -> None:
        """Wait until Airflow can take the task to a worker again without failing it."""
        # A task that started here had no worker before, and outside of a triggerer nobody races.
        if self.task_instance is None or self.timeout is not None:
            return
        # Clocks differ: never for longer than from now on.
        deferred_at = min(self._made_at, self.deferred_at or self._made_at)
        await asyncio.sleep(max(0.0, deferred_at + RESUME_GUARD - time.time()))


def _owner(ti: Any) -> dict[str, Any]:
    return {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")}

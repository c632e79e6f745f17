"""When to ask for a task again, and when to stop: one pure object for the trigger, the sensor and the
synchronous wait.

It is handed the time and each answer, and does no I/O. A wait ends with the video, with an error that is
about the task or the key, or at its deadline, an absolute time that survives restarts. Nothing else ends it:
a video that is already paid for is not given up because a poll failed.
"""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import Any

from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayConnectionNotFoundError,
    RunwayError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayTimeoutError,
    RunwayValidationError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.waiting.arguments import SHORTEST_INTERVAL
from airflow_provider_runway.waiting.backoff import LONGEST_BACKOFF, backoff
from airflow_provider_runway.waiting.ending import WaitEnd, goes_on
from airflow_provider_runway.waiting.schedule import Durations, seconds_to_next_look

#: Seconds in which a new task may still be unknown to kie.ai's status routes, and in which one that has
#: succeeded may still have no video.
GRACE = 90.0

#: Seconds for which a wait goes on though Airflow finds no such connection (it says so, too, while its API
#: server or the secrets backend is out of reach), or one that cannot be right any more.
CONNECTION_GRACE = 600.0

#: How many pauses of the default schedule may lie between two polls that tell when a video became ready.
_CLOSE = 2.0

#: Seconds between two polls of the default schedule at least, however fast a simulator runs.
_SHORTEST_PAUSE = 0.01

#: What is tolerated for a while only.
UNKNOWN, _NO_CONNECTION, NO_VIDEO = "unknown", "no connection", "no video"

#: What ends a wait at once: the task itself, the key, or what was wrong before anything was sent. Whatever
#: else kie.ai answers to a poll (too few credits, a feature disabled) says nothing of the task.
FINAL = (
    RunwayTaskFailedError,
    RunwayVideoExpiredError,
    RunwayAuthenticationError,
    RunwayValidationError,
)

#: What all waits of this process have learned.
DURATIONS = Durations()


class Poller:
    """
    Decides after each answer whether to go on, and when to poll next.

    :param runway_task_id: The task waited for.
    :param model: ``runway`` or ``aleph``.
    :param end_time: The deadline in epoch seconds. Wall-clock, because the wait may go on in another process.
    :param started_at: When the task was submitted or, where that is not known, when the wait began; epoch
        seconds.
    :param poll_interval: Seconds between two polls, at least 1, kept to exactly; ``None`` follows the kind of
        task.
    :param kind: The kind of task, where the wait begins with its submission; ``None`` where it was submitted
        before, nobody knows when: then the first poll comes at once and tells.
    :param durations: How long tasks take, and where to learn it.
    :param since: From when on each grace counts, as the attribute of that name of an earlier poller said: a
        wait may go on in another process. What is not in it counts from the first such answer, since one
        stray answer must not end a wait that was taken up after a restart.
    :param failures: How many polls in a row have failed, as that poller said.
    :param was_seen: Whether kie.ai has said that it has the task, as that poller said.
    :param speed: How many times as fast as the real service the one is that is asked, a simulator: pauses and
        graces of the default schedule are so many times shorter.
    """

    def __init__(
        self,
        *,
        runway_task_id: str,
        model: str,
        end_time: float,
        started_at: float,
        poll_interval: float | None = None,
        kind: str | None = None,
        durations: Durations = DURATIONS,
        since: dict[str, float] | None = None,
        failures: int = 0,
        was_seen: bool = False,
        speed: float = 1.0,
    ) -> None:
        self.runway_task_id = runway_task_id
        self.model = model
        self.end_time = end_time
        self.started_at = started_at
        self.poll_interval = None if poll_interval is None else max(SHORTEST_INTERVAL, poll_interval)
        self.speed = speed
        self.state: TaskState | None = None
        self.failures = failures
        self.news: str | None = None
        self._last_error: RunwayError | None = None
        #: Since when each of what is tolerated for a while has been so.
        self.since = dict(since or {})
        self._told: set[tuple[type[RunwayError], object]] = set()
        self._planned_aloud = False
        self._kind = kind
        self._was_seen = was_seen
        self._durations = durations
        # Until then it was surely not being generated.
        self._not_before = started_at if kind else None
        self._looked_at: float | None = self._not_before
        self._planned: float | None = None

    def on_task(self, task: RunwayTask, now: float) -> WaitEnd | None:
        """
        Take the answer of a poll; return how the wait ends, or ``None`` to go on.

        :param task: What kie.ai said.
        :param now: The time, epoch seconds.
        """
        self.news = None
        if self.failures:
            self.news = f"Runway task {self.runway_task_id} can be polled again: {task.state}"
        elif task.state is not self.state:
            self.news = f"Runway task {self.runway_task_id}: {task.state}"
        self.state, self.failures, self._last_error = task.state, 0, None
        self.since = {name: moment for name, moment in self.since.items() if name == NO_VIDEO}
        if self._not_before is None and task.created_at is not None:
            self._not_before = min(now, task.created_at.timestamp())
        self._told.clear()
        if task.state is TaskState.SUCCESS and not task.video_url and not task.expired:
            return self._without_video(task, now)
        if task.state.is_terminal:
            try:
                task.result_url()
            except RunwayError as error:
                return WaitEnd(task=task, error=error)
            if NO_VIDEO not in self.since:
                self._learn(task, now)
            return WaitEnd(task=task)
        self._kind = self._kind or _kind_of(task)
        if task.state is not TaskState.GENERATING:
            self._not_before = now
        self._looked_at = now
        return self._timeout(task) if now >= self.end_time else None

    def on_error(self, error: RunwayError, now: float) -> WaitEnd | None:
        """
        Take the failure of a poll; return how the wait ends, or ``None`` to go on.

        :param error: Why there is no answer.
        :param now: The time, epoch seconds.
        """
        self.news = None
        unknown_id = isinstance(error, RunwayTaskNotFoundError)
        # A slip in a connection that was right before is mended sooner than a video is paid for again. Where
        # there is no code, not kie.ai rejects the key: the connection has none.
        a_slip = isinstance(error, RunwayValidationError) or (
            isinstance(error, RunwayAuthenticationError) and error.code is None
        )
        no_connection = isinstance(error, RunwayConnectionNotFoundError) or (a_slip and self.was_seen)
        if isinstance(error, FINAL) and not no_connection:
            return WaitEnd(error=error)
        if unknown_id and self._tolerated_for(UNKNOWN, now) >= GRACE / self.speed:
            return WaitEnd(error=error)
        if not no_connection:
            self.since.pop(_NO_CONNECTION, None)
        elif self._tolerated_for(_NO_CONNECTION, now) >= CONNECTION_GRACE:
            return WaitEnd(error=error)
        if (type(error), error.code) not in self._told and not unknown_id:
            self._told.add((type(error), error.code))
            self.news = f"Runway task {self.runway_task_id} cannot be polled, still trying: {error.message}"
        self.failures += 1
        self._last_error = error
        return self._timeout(None) if now >= self.end_time else None

    @property
    def was_seen(self) -> bool:
        """Whether kie.ai has said that it has the task: who knows its kind has submitted it."""
        return self._was_seen or self.state is not None or self._kind is not None

    def met(self) -> dict[str, Any]:
        """Return what the wait has met so far, as plain data: arguments for a poller in another process."""
        return {"since": dict(self.since), "failures": self.failures, "was_seen": self.was_seen}

    def begin_anew(self) -> None:
        """Forget what was said of the ID so far, since it was asked for with another account's key."""
        self.since.pop(UNKNOWN, None)

    def next_delay(self, now: float) -> float:
        """
        Return the seconds until the next poll, which is never after the deadline.

        :param now: The time, epoch seconds.
        """
        delay = self._delay(now)
        self._planned = now + delay
        return max(0.0, min(delay, self.end_time - now))

    def plan(self, delay: float, now: float) -> str | None:
        """
        Return, once a wait, when it polls next and when it gives up; ``None`` where it has been said, and
        where the next poll comes at once.

        :param delay: Seconds until the next poll.
        :param now: The time, epoch seconds.
        """
        if self._planned_aloud or delay <= 0:
            return None
        self._planned_aloud = True
        return (
            f"Runway task {self.runway_task_id}: the next poll is in {delay:.0f} s, "
            f"at {_moment(now + delay)}; the wait gives up at {_moment(self.end_time)}"
        )

    def _delay(self, now: float) -> float:
        if self.state is None and self._last_error is None:
            return self._first_delay(now)
        if self.poll_interval is not None:
            # Counted from when this poll was due, so that the time it took does not add up.
            due = (self._planned if self._planned is not None else now) + self.poll_interval
            pause = min(self.poll_interval, max(0.0, due - now))
        else:
            pause = self._adaptive_delay(now)
        if self._last_error is None:
            return pause
        return backoff(self.failures, self._last_error.retry_after, shortest=min(pause, LONGEST_BACKOFF))

    def _first_delay(self, now: float) -> float:
        if self.poll_interval is not None or self._not_before is None:
            return 0.0
        return self._adaptive_delay(now)

    def _adaptive_delay(self, now: float) -> float:
        kind = self._kind or ("aleph" if self.model == "aleph" else "generate")
        usual = self._durations.usual(kind, self.speed)
        if self._not_before is None:
            # Nobody said when it was submitted, so it may be ready any time.
            age = max(usual.earliest, (now - self.started_at) * self.speed)
        else:
            # The clocks of two machines may differ.
            age = max(0.0, now - self._not_before) * self.speed
        return max(_SHORTEST_PAUSE, seconds_to_next_look(usual, age) / self.speed)

    def _learn(self, task: RunwayTask, now: float) -> None:
        """Learn how long it took, unless the poll before was long ago: then nobody saw when it was ready."""
        if self._not_before is None or self._looked_at is None:
            return
        kind = self._kind or _kind_of(task)
        usual = self._durations.usual(kind, self.speed)
        age, last = ((moment - self._not_before) * self.speed for moment in (now, self._looked_at))
        # There is no poll before it can be ready, so the first one counts from then on.
        since = usual.earliest if last < usual.earliest <= age else last
        gap, likely = age - since, max(since, usual.earliest)
        if gap <= _CLOSE * (usual.next_look(likely) - likely):
            # Somewhere in between; what the first poll finds may have been ready before it was expected.
            begin = max(last, since - gap / 2)
            self._durations.record(kind, random.uniform(begin, age), self.speed)

    def _tolerated_for(self, what: str, now: float) -> float:
        return now - self.since.setdefault(what, now)

    def _without_video(self, task: RunwayTask, now: float) -> WaitEnd | None:
        """Go on for a while with a task that has succeeded, but names no video yet."""
        if NO_VIDEO not in self.since:
            self.news = f"Runway task {self.runway_task_id}: {task.state}, but without a video so far"
            if task.completed_at is not None:
                self.since[NO_VIDEO] = min(now, task.completed_at.timestamp())
        if self._tolerated_for(NO_VIDEO, now) < GRACE / self.speed and now < self.end_time:
            return None
        try:
            task.result_url()
        except RunwayError as error:
            return WaitEnd(task=task, error=error)
        return WaitEnd(task=task)

    def _timeout(self, task: RunwayTask | None) -> WaitEnd:
        waited = self.end_time - self.started_at
        stood = f"was last seen {self.state}" if self.state else "was never seen"
        failed = ""
        if self._last_error:
            failed = f" The last poll failed: {self._last_error.message.removesuffix('.')}."
        further = goes_on(self.runway_task_id, was_seen=self.was_seen)
        return WaitEnd(
            task=task,
            error=RunwayTimeoutError(
                f"No video after {waited:.0f} s (deadline {_moment(self.end_time)}); "
                f"the task {stood}.{failed} {further}",
                runway_task_id=self.runway_task_id,
            ),
        )


def _moment(seconds: float) -> str:
    # A deadline may be any number.
    return datetime.fromtimestamp(min(seconds, 253_402_300_799.0), timezone.utc).strftime(
        "%Y-%m-%d %H:%M:%S UTC"
    )


def _kind_of(task: RunwayTask) -> str:
    if task.model == "aleph":
        return "aleph"
    return "extend" if task.parent_task_id else "generate"

"""When to ask for a task again, and when to stop: one pure object for the trigger, the sensor and the
synchronous wait.

It is handed the time and each answer, and does no I/O. A wait ends with the video, with an error that asking
again cannot mend, or at its deadline, an absolute time that survives restarts. Nothing else ends it: a video
that is already paid for is not given up because a look-up failed.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.exceptions import (
    RunwayConnectionNotFoundError,
    RunwayError,
    RunwayTaskNotFoundError,
    RunwayTimeoutError,
)
from airflow_provider_runway.waiting.arguments import SHORTEST_INTERVAL
from airflow_provider_runway.waiting.backoff import LONGEST_BACKOFF, backoff
from airflow_provider_runway.waiting.ending import WaitEnd, goes_on
from airflow_provider_runway.waiting.schedule import Durations, seconds_to_next_look

#: Seconds in which a new task may still be unknown to kie.ai's status routes.
GRACE = 90.0

#: Seconds for which a wait goes on though Airflow finds no such connection: it says so, too, while its API
#: server or the secrets backend is out of reach.
CONNECTION_GRACE = 600.0

#: What all waits of this process have learned.
DURATIONS = Durations()


class Poller:
    """
    Decides after each answer whether to go on, and when to look next.

    :param runway_task_id: The task waited for.
    :param model: ``runway`` or ``aleph``.
    :param end_time: The deadline in epoch seconds. Wall-clock, because the wait may go on in another process.
    :param started_at: When the task was submitted or, where that is not known, when the wait began; epoch
        seconds.
    :param poll_interval: Seconds between two looks, at least 1, kept to exactly; ``None`` follows the kind of
        task.
    :param kind: The kind of task, where the wait begins with its submission; ``None`` where it was submitted
        before, nobody knows when: then the first look comes at once and tells.
    :param durations: How long tasks take, and where to learn it.
    :param grace_from: From when on the grace of an unknown ID counts, in epoch seconds; ``None`` means from
        the first answer, since one stray answer must not end a wait that was taken up after a restart.
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
        grace_from: float | None = None,
        speed: float = 1.0,
    ) -> None:
        self.runway_task_id = runway_task_id
        self.model = model
        self.end_time = end_time
        self.started_at = started_at
        self.poll_interval = None if poll_interval is None else max(SHORTEST_INTERVAL, poll_interval)
        self.speed = speed
        self.state: TaskState | None = None
        self.failures = 0
        self.news: str | None = None
        self._last_error: RunwayError | None = None
        self._known_at = grace_from
        self._no_connection_since: float | None = None
        self._kind = kind
        self._durations = durations
        # Until then it was surely not being generated.
        self._not_before = started_at if kind else None
        self._looked_at: float | None = self._not_before
        self._planned: float | None = None

    def on_task(self, task: RunwayTask, now: float) -> WaitEnd | None:
        """
        Take the answer of a look-up; return how the wait ends, or ``None`` to go on.

        :param task: What kie.ai said.
        :param now: The time, epoch seconds.
        """
        self.news = None
        if self.failures:
            self.news = f"Runway task {self.runway_task_id} can be looked up again: {task.state}"
        elif task.state is not self.state:
            self.news = f"Runway task {self.runway_task_id}: {task.state}"
        self.state, self.failures, self._last_error, self._known_at = task.state, 0, None, now
        self._no_connection_since = None
        if self._not_before is None and task.created_at is not None:
            self._not_before = min(now, task.created_at.timestamp())
        if task.state.is_terminal:
            try:
                task.result_url()
            except RunwayError as error:
                return WaitEnd(task=task, error=error)
            self._learn(task, now)
            return WaitEnd(task=task)
        self._kind = self._kind or _kind_of(task)
        if task.state is not TaskState.GENERATING:
            self._not_before = now
        self._looked_at = now
        return self._timeout(task) if now >= self.end_time else None

    def on_error(self, error: RunwayError, now: float) -> WaitEnd | None:
        """
        Take the failure of a look-up; return how the wait ends, or ``None`` to go on.

        :param error: Why there is no answer.
        :param now: The time, epoch seconds.
        """
        self.news = None
        unknown_id = isinstance(error, RunwayTaskNotFoundError)
        self._known_at = now if self._known_at is None else self._known_at
        in_grace = unknown_id and now < self._known_at + GRACE / self.speed
        if not isinstance(error, RunwayConnectionNotFoundError):
            self._no_connection_since = None
        elif self._no_connection_since is None:
            self._no_connection_since = now
        elif now >= self._no_connection_since + CONNECTION_GRACE:
            return WaitEnd(error=error)
        if not (error.repeat_lookup or in_grace):
            return WaitEnd(error=error)
        if not self.failures and not unknown_id:
            self.news = f"Runway task {self.runway_task_id} cannot be looked up, still trying: {error}"
        self.failures += 1
        self._last_error = error
        return self._timeout(None) if now >= self.end_time else None

    def begin_anew(self) -> None:
        """Forget what was said of the ID so far, since it was asked for with another account's key."""
        self._known_at = None

    def next_delay(self, now: float) -> float:
        """
        Return the seconds until the next look, which is never after the deadline.

        :param now: The time, epoch seconds.
        """
        delay = self._delay(now)
        self._planned = now + delay
        return max(0.0, min(delay, self.end_time - now))

    def _delay(self, now: float) -> float:
        if self.state is None and self._last_error is None:
            return self._first_delay(now)
        if self.poll_interval is not None:
            # Counted from when this look was due, so that the time it took does not add up.
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
        return seconds_to_next_look(usual, age) / self.speed

    def _learn(self, task: RunwayTask, now: float) -> None:
        if self._not_before is None or self._looked_at is None:
            # It was ready at the first look: nobody saw when it became so.
            return
        kind = self._kind or _kind_of(task)
        pause = self._durations.usual(kind, self.speed).pause / self.speed
        # It became ready between the last look and this one; after a long pause, rather towards its end.
        ready_at = now - min(now - self._looked_at, 3 * pause) / 2
        self._durations.record(kind, (ready_at - self._not_before) * self.speed, self.speed)

    def _timeout(self, task: RunwayTask | None) -> WaitEnd:
        waited = self.end_time - self.started_at
        deadline = datetime.fromtimestamp(self.end_time, timezone.utc).isoformat(timespec="seconds")
        stood = f"was last seen {self.state}" if self.state else "was never seen"
        failed = f" The last look-up failed: {self._last_error}." if self._last_error else ""
        # Who knows its kind has submitted it.
        further = goes_on(self.runway_task_id, was_seen=self.state is not None or self._kind is not None)
        return WaitEnd(
            task=task,
            error=RunwayTimeoutError(
                f"No video after {waited:.0f} s (deadline {deadline}); the task {stood}.{failed} {further}",
                runway_task_id=self.runway_task_id,
            ),
        )


def _kind_of(task: RunwayTask) -> str:
    if task.model == "aleph":
        return "aleph"
    return "extend" if task.parent_task_id else "generate"

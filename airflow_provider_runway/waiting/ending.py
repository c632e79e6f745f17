"""How a wait ended, also as plain data for a trigger's event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_runway.api.tasks import RunwayTask
from airflow_provider_runway.exceptions import LOGS_URL, RunwayError, error_from_dict

#: Seconds after its own deadline in which a trigger is left to say so itself, before Airflow ends the
#: deferral.
DEFERRAL_MARGIN = 60.0

#: Seconds after a deferral in which a task must not go on in a worker: the scheduler may read the end of the
#: first worker after the task is queued again, and then fails it. Seen up to 5.4 s after the deferral.
RESUME_GUARD = 12.0


@dataclass(frozen=True)
class WaitEnd:
    """
    How a wait ended: with a task that has its video, or with an error.

    :param task: The task as it was last seen, if it was.
    :param error: Why there is no video; ``None`` for success.
    """

    task: RunwayTask | None = None
    error: RunwayError | None = None

    def result(self) -> RunwayTask:
        """
        Return the task that has its video.

        :raises RunwayError: why there is none.
        """
        if self.error is not None:
            raise self.error
        if self.task is None:
            raise RunwayError("The wait ended without a task and without a reason.")
        return self.task

    def to_event(self) -> dict[str, Any]:
        """Return it as plain data, the payload of a trigger's event."""
        return {
            "status": "success" if self.error is None else "error",
            "task": None if self.task is None else self.task.to_dict(),
            "error": None if self.error is None else self.error.to_dict(),
        }

    @classmethod
    def from_event(cls, event: dict[str, Any] | None) -> WaitEnd:
        """
        Read the payload of a trigger's event.

        :param event: The payload; one that cannot be read is an error of its own.
        """
        if not isinstance(event, dict) or not (event.get("task") or event.get("error")):
            return cls(error=RunwayError(f"The trigger ended with an event that says nothing: {event!r}"))
        task, error = event.get("task"), event.get("error")
        return cls(
            task=RunwayTask.from_dict(task) if task else None,
            error=error_from_dict(error) if error else None,
        )


def goes_on(runway_task_id: str, *, was_seen: bool) -> str:
    """
    Return what to tell of a task that nobody waits for any longer.

    :param runway_task_id: The Runway task ID.
    :param was_seen: Whether kie.ai has ever said that it has this task: at the submission or at a poll.
    """
    if not was_seen:
        return (
            f"This wait has not seen Runway task {runway_task_id} at kie.ai, so whether it is being made and "
            f"paid for is open. Its record, if any: {LOGS_URL}"
        )
    return (
        f"Runway task {runway_task_id} continues at kie.ai and is charged. To get its video, give this ID to "
        f"a RunwayTaskSensor or a RunwayDownloadOperator. Its record: {LOGS_URL}"
    )


def cannot_be_cancelled(runway_task_id: str, *, was_seen: bool = True) -> str:
    """
    Return what to tell a person who ends a task while its video is being made.

    :param runway_task_id: The Runway task ID.
    :param was_seen: Whether kie.ai has ever said that it has this task.
    """
    return f"kie.ai cannot cancel a generation. {goes_on(runway_task_id, was_seen=was_seen)}"

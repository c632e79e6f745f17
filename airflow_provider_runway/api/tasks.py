"""A Runway task: a generation that kie.ai has accepted, as its status says it stands."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
    RunwayVideoExpiredError,
)


class TaskState(str, Enum):
    """Where a Runway task stands. A state that kie.ai invents later reads as ``GENERATING``: it is no end."""

    WAITING = "waiting"
    QUEUEING = "queueing"
    GENERATING = "generating"
    SUCCESS = "success"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended."""
        return self in (TaskState.SUCCESS, TaskState.FAILED)

    def __str__(self) -> str:
        return self.value


#: The states of both generations of the API, in their spellings.
STATES = {
    "wait": TaskState.WAITING,
    "waiting": TaskState.WAITING,
    "queueing": TaskState.QUEUEING,
    "queuing": TaskState.QUEUEING,
    "generating": TaskState.GENERATING,
    "success": TaskState.SUCCESS,
    "fail": TaskState.FAILED,
}


def parse_state(value: Any) -> TaskState:
    """
    Return the state that a ``state`` field means; an unknown one means that the task still goes on.

    :param value: The field as it came.
    """
    if not isinstance(value, str):
        return TaskState.GENERATING
    return STATES.get(value.strip().lower(), TaskState.GENERATING)


@dataclass(frozen=True)
class RunwayTask:
    """
    What kie.ai says of a task.

    :param task_id: The Runway task ID.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param state: Where it stands.
    :param video_url: Public URL of the video, once there; kept for 14 days.
    :param image_url: Public URL of its picture.
    :param video_id: The vendor's ID of the video.
    :param parent_task_id: For an extension, the task that it continues.
    :param prompt: The prompt as kie.ai repeats it.
    :param error_code: The vendor's failure code, an int wherever it is numeric.
    :param error_message: The vendor's words for the failure.
    :param created_at: When the task was created (UTC), where said.
    :param completed_at: When it ended (UTC), where said.
    :param credits_consumed: What it cost in credits, where said.
    :param expired: Whether the video has been deleted.
    """

    task_id: str
    model: str
    state: TaskState
    video_url: str | None = None
    image_url: str | None = None
    video_id: str | None = None
    parent_task_id: str | None = None
    prompt: str | None = None
    error_code: int | str | None = None
    error_message: str | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    credits_consumed: float | None = None
    expired: bool = False

    def result_url(self) -> str:
        """
        Return the URL of the video of a task that has ended.

        :raises RunwayError: it has not ended yet.
        :raises RunwayTaskFailedError: the task failed; :class:`RunwayTaskRejectedError` where the same
            request would fail again.
        :raises RunwayVideoExpiredError: it succeeded, but the video is deleted or was never named.
        """
        if self.state is TaskState.FAILED:
            raise task_failure(self.task_id, self.error_code, self.error_message, self.credits_consumed)
        if not self.state.is_terminal:
            raise RunwayError(
                f"Runway task {self.task_id} is still {self.state}: it has no video yet.",
                runway_task_id=self.task_id,
            )
        if self.expired:
            raise RunwayVideoExpiredError(
                f"Runway task {self.task_id} succeeded, but kie.ai has deleted its video (it keeps one "
                f"for 14 days). The credits were spent; only a new generation brings it back. See {LOGS_URL}",
                runway_task_id=self.task_id,
            )
        if not self.video_url:
            raise RunwayVideoExpiredError(
                f"Runway task {self.task_id} is reported as a success, but kie.ai names no video URL. The "
                f"credits were spent; see its record at {LOGS_URL} and ask kie.ai's support for the video.",
                runway_task_id=self.task_id,
            )
        return self.video_url

    def to_dict(self) -> dict[str, Any]:
        """Return the task as plain JSON data; :meth:`from_dict` reads it back."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunwayTask:
        """
        Read a task back that :meth:`to_dict` wrote; what a later version of the package added is left out.

        :param data: The plain data.
        """
        known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        for name in ("created_at", "completed_at"):
            if known.get(name):
                known[name] = datetime.fromisoformat(known[name])
        return cls(**{**known, "state": TaskState(known["state"])})


#: Failure codes that blame the request: bad input, no such thing, invalid value, image not fetched, feature
#: disabled.
_REJECTION_CODES = (400, 404, 422, 451, 505)
_REJECTION_WORDS = (
    "moderat",
    "policy",
    "sensitive",
    "nsfw",
    "prohibited",
    "inappropriate",
    "safety",
    "violat",
    "invalid",
    "not supported",
    "unsupported",
)


def task_failure(
    runway_task_id: str | None,
    error_code: int | str | None,
    error_message: str | None,
    credits_consumed: float | None = None,
) -> RunwayTaskFailedError:
    """
    Return the error for a task that failed.

    :param runway_task_id: The task, where it is known.
    :param error_code: The task's failure code.
    :param error_message: The task's failure text.
    :param credits_consumed: What it cost in credits, where said.
    """
    rejected = is_rejection(error_code, error_message or "")
    named = "The generation" if runway_task_id is None else f"Runway task {runway_task_id}"
    code = "" if error_code is None else f" (code {error_code})"
    said = (error_message or "no reason given").rstrip(". ")
    help_text = (
        "The same request would fail again: change the prompt or the input."
        if rejected
        else "The trouble is on the vendor's side: a new generation may succeed."
    )
    spent = (
        "Whether credits were spent, its record says"
        if credits_consumed is None
        else f"{credits_consumed:g} credits were spent; its record"
    )
    kind = RunwayTaskRejectedError if rejected else RunwayTaskFailedError
    return kind(
        f"{named} failed{code}: {said}. {help_text} {spent}: {LOGS_URL}",
        error_code=error_code,
        error_message=error_message,
        runway_task_id=runway_task_id,
    )


def is_rejection(code: int | str | None, message: str) -> bool:
    """
    Return whether a failed task was refused for what was asked, so that the same request would fail again.

    kie.ai reports moderation and bad input with code 400, or with 500 or a code in words and a text that says
    so; where neither the code nor the text blames the request, the trouble counts as the vendor's own, and so
    it does where the text asks to try again later.

    :param code: The task's failure code.
    :param message: The task's failure text.
    """
    said = f"{code} {message}".lower()
    if any(word in said for word in _REJECTION_WORDS):
        return True
    return code in _REJECTION_CODES and "again later" not in said


def _plain(value: Any) -> Any:
    if isinstance(value, TaskState):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value

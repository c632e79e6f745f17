"""A Runway task: a generation that kie.ai has accepted, as its status says it stands."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_provider_runway.api import values
from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayError,
    RunwayTaskCreditsError,
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
    :param credits_consumed: What it cost in credits, where said: of a success alone.
    :param expired: Whether the video has been deleted.
    :param credits_reserved: What is set aside for it in credits, where said, while it goes on; after a
        failure nobody knows whether that was kept.
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
    credits_reserved: float | None = None

    def __post_init__(self) -> None:
        if self.state is not TaskState.SUCCESS and self.credits_consumed is not None:
            # kie.ai uses one field for both.
            object.__setattr__(self, "credits_reserved", self.credits_consumed)
            object.__setattr__(self, "credits_consumed", None)

    def result_url(self) -> str:
        """
        Return the URL of the video of a task that has ended.

        :raises RunwayError: it has not ended yet.
        :raises RunwayTaskFailedError: the task failed; :class:`RunwayTaskRejectedError` or
            :class:`RunwayTaskCreditsError` where the same request would fail again.
        :raises RunwayVideoExpiredError: it succeeded, but the video is deleted or was never named.
        """
        if self.state is TaskState.FAILED:
            raise task_failure(self.task_id, self.error_code, self.error_message, self.credits_reserved)
        if not self.state.is_terminal:
            raise RunwayError(
                f"There is no video yet: Runway task {self.task_id} is still {self.state}.",
                runway_task_id=self.task_id,
            )
        if self.expired:
            raise RunwayVideoExpiredError(
                f"kie.ai has deleted the video (it keeps one for 14 days), though Runway task {self.task_id} "
                f"succeeded. The credits were spent; only a new generation brings it back. See {LOGS_URL}",
                runway_task_id=self.task_id,
            )
        if not self.video_url:
            raise RunwayVideoExpiredError(
                f"kie.ai reports a success, but names no video URL: Runway task {self.task_id}. The "
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


#: kie.ai's words for an account without enough credits, whatever code they come with.
NO_CREDITS = re.compile(
    r"credits? insufficient|insufficient (credits?|balance)|not enough credits"
    r"|(balance|credits?) (isn.t|is not|aren.t|are not) enough|\btop up to continue",
    re.IGNORECASE,
)
#: Its words for a trouble that passes, whatever code they come with.
PASSES = re.compile(
    r"again later|limit for concurrent generations|due to network reasons|task id is blank", re.IGNORECASE
)
_MODERATED = re.compile(
    r"moderat(ed|ion|or)|policy|sensitive|nsfw|prohibited|inappropriate|safety|violat", re.IGNORECASE
)
_BAD_INPUT = re.compile(r"\b(invalid|not supported|unsupported)", re.IGNORECASE)


@dataclass(frozen=True)
class _Failure:
    kind: type[RunwayTaskFailedError]
    help_text: str
    words: re.Pattern[str]
    codes: Collection[int] = ()
    #: Codes with which the words say nothing.
    but_not: Collection[int] = ()

    def fits(self, code: int | str | None, message: str) -> bool:
        # A code can be in words, such as SAFETY.INPUT.TEXT.
        said = code not in self.but_not and self.words.search(f"{code} {message}")
        return code in self.codes or bool(said)


_CHANGE = "The same request would fail again: change the prompt or the input."
_VENDOR = _Failure(
    RunwayTaskFailedError, "The trouble is on the vendor's side: a new generation may succeed.", PASSES
)
#: Why a task failed: the first row whose codes or words fit (kie.ai's documentation of its callbacks, and
#: failures that were seen); where none does, the trouble counts as the vendor's own. Words that call it
#: momentary come before those of a rejection, since kie.ai gives both the code 400.
_FAILURES = (
    _Failure(
        RunwayTaskCreditsError,
        "A new generation would fail too: top the account up at https://kie.ai first.",
        NO_CREDITS,
        codes=(402, 433),
    ),
    _VENDOR,
    _Failure(RunwayTaskRejectedError, _CHANGE, _MODERATED, codes=(400, 404, 422, 451, 505)),
    # With a server's code, "invalid" is said of what the vendor's own services sent one another.
    _Failure(RunwayTaskRejectedError, _CHANGE, _BAD_INPUT, but_not=range(500, 600)),
)


def task_failure(
    runway_task_id: str | None,
    error_code: int | str | None,
    error_message: str | None,
    credits_reserved: float | None = None,
) -> RunwayTaskFailedError:
    """
    Return the error for a task that failed.

    :param runway_task_id: The task, where it is known.
    :param error_code: The task's failure code.
    :param error_message: The task's failure text.
    :param credits_reserved: What was set aside for it in credits, where said.
    """
    failure = next((row for row in _FAILURES if row.fits(error_code, error_message or "")), _VENDOR)
    code = "" if error_code is None else f" (code {error_code})"
    said = values.one_line(error_message or "no reason given").rstrip(". ")
    record = "Its record" if runway_task_id is None else f"The record of Runway task {runway_task_id}"
    reserved = f"{credits_reserved:g} credits were reserved for it. " if credits_reserved else ""
    return failure.kind(
        f"The generation failed: {said}{code}. {failure.help_text} {reserved}{record} says whether credits "
        f"were kept: {LOGS_URL}",
        error_code=error_code,
        error_message=error_message,
        runway_task_id=runway_task_id,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, TaskState):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value

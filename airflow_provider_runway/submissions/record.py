"""What is noted of one submission, and what is said of it while nobody knows whether it was accepted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import URL_FIELDS
from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwaySubmissionUnknownError,
    RunwayValidationError,
)

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest

#: Characters of a prompt that are kept.
EXCERPT = 80

HOW_TO_GO_ON = (
    f"Look for it at {LOGS_URL}. If it is there, give its task ID to a RunwayTaskSensor or a "
    "RunwayDownloadOperator; if it is not, clear this task to submit it again. With "
    "on_unknown_submission='resubmit', the operator takes the risk of paying twice."
)


@dataclass(frozen=True)
class Submission:
    """
    A request that was about to be sent, or was sent.

    :param digest: Tells requests apart; see :func:`digest_of`.
    :param prompt: The beginning of the prompt, for people.
    :param try_number: The try of the Airflow task that made it.
    :param max_tries: The Airflow task's own ``max_tries`` then. Only a clear changes it, not even a changed
        ``retries``.
    :param submitted_at: When, in epoch seconds.
    :param end_time: The deadline of the wait, in epoch seconds.
    :param runway_task_id: The Runway task ID; ``None`` while nobody knows it.
    :param resubmissions: How many Runway tasks this Airflow task has had before it since it was last cleared.
    :param recipient: The name of the callback URL that kie.ai was given, if it was given one.
    """

    digest: str
    prompt: str
    try_number: int
    max_tries: int
    submitted_at: float
    end_time: float
    runway_task_id: str | None = None
    resubmissions: int = 0
    recipient: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _CAN_BE[field.name](value):
                raise TypeError(f"{field.name}={value!r}")

    def has_prompt(self, prompt: str) -> bool:
        """
        Return whether a prompt can be the one that was sent, of which only the beginning is kept.

        :param prompt: The whole prompt, as kie.ai repeats it.
        """
        given, kept = prompt.strip(), self.prompt.strip()
        if len(self.prompt) < EXCERPT:
            return given == kept
        return bool(kept) and given.startswith(kept)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_moment(value: Any) -> bool:
    # Of the years that a calendar has.
    return isinstance(value, int | float) and 0 <= value < 1e11


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


_CAN_BE: dict[str, Callable[[Any], bool]] = {
    "digest": _is_text,
    "prompt": _is_text,
    "try_number": is_count,
    "max_tries": is_count,
    "submitted_at": _is_moment,
    "end_time": _is_moment,
    "runway_task_id": _is_text_or_none,
    "resubmissions": is_count,
    "recipient": _is_text_or_none,
}


def digest_of(request: RunwayRequest, runway_conn_id: str) -> str:
    """
    Return what tells two requests apart: every field that differs from its default, so that a release with a
    new field changes none, URLs without their query, and the account that pays.

    :param request: What to create.
    :param runway_conn_id: The connection's ID.
    """
    told = {}
    for field in fields(request):
        value = getattr(request, field.name)
        if value != field.default:
            # A signed address is signed anew each time.
            told[field.name] = value.partition("?")[0] if value and field.name in URL_FIELDS else value
    return _digest(request, told, runway_conn_id)


def digests_of(request: RunwayRequest, runway_conn_id: str) -> set[str]:
    """
    Return by what a submission of a request is recognised: its digest, and the one of the release that took
    every field as it is.

    :param request: What to create.
    :param runway_conn_id: The connection's ID.
    """
    return {digest_of(request, runway_conn_id), _digest(request, asdict(request), runway_conn_id)}


def _digest(request: RunwayRequest, told: dict[str, Any], runway_conn_id: str) -> str:
    material = [type(request).__name__, told, runway_conn_id]
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


def several_requests(earlier: str, prompt: str) -> RunwayValidationError:
    """
    Return the error for an Airflow task that asks for another video than before, in the same try.

    :param earlier: The prompt of before.
    :param prompt: The prompt now.
    """
    return RunwayValidationError(
        f"prompt={prompt[:EXCERPT]!r}: this try has already requested another video ({earlier[:EXCERPT]!r}). "
        "An Airflow task can resume only one submission, so its retry would pay for each of several again. "
        "Make each a task of its own, as expand(prompt=[...]) does. durable=False allows several, and each "
        "retry pays for them again."
    )


def unanswered(submission: Submission) -> RunwaySubmissionUnknownError:
    """
    Return the error for a submission of an earlier try that noted no response; it has it as ``submission``.

    :param submission: The submission.
    """
    moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(submission.submitted_at))
    error = RunwaySubmissionUnknownError(
        f"Try {submission.try_number} was about to submit the request for {submission.prompt!r} at {moment}, "
        "and ended before it noted a response: nobody can tell whether kie.ai accepted it and charged it. "
        f"{_not_called(submission)}The log of that try may name its Runway task ID. {HOW_TO_GO_ON}"
    )
    error.submission = submission
    return error


def unknown_for_good(submission: Submission) -> RunwaySubmissionUnknownError:
    """
    Return the error for a submission whose response was lost, and for which no callback arrived either.

    :param submission: The submission.
    """
    moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(submission.submitted_at))
    return RunwaySubmissionUnknownError(
        f"The response to the submission of {submission.prompt!r} at {moment} was lost: nobody can tell "
        f"whether kie.ai accepted it and charged it. {_not_called(submission)}{HOW_TO_GO_ON}"
    )


def _not_called(submission: Submission) -> str:
    if submission.recipient is None:
        return ""
    return "kie.ai has not called back about it in the time that such a video takes. "

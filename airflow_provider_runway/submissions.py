"""Remembers a submission so that a retry takes it up instead of paying again.

Before the creation an *intent* is written: the digest of the request, the try, the time. Right after it,
before anything else, the Runway task ID. A try that finds an intent without an ID cannot know whether kie.ai
took the request: nobody can, since kie.ai has neither an idempotency key nor a list of tasks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from airflow_provider_runway.exceptions import LOGS_URL, RunwayServerError, RunwaySubmissionUnknownError
from airflow_provider_runway.state import StateStore

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest

log = logging.getLogger(__name__)

_KEY = "runway_submission"
_EXCERPT = 80


@dataclass(frozen=True)
class Submission:
    """
    A creation that was about to be sent, or was sent.

    :param digest: Tells requests apart; see :func:`digest_of`.
    :param prompt: The beginning of the prompt, for people.
    :param try_number: The try of the Airflow task that made it.
    :param max_tries: The Airflow task's own ``max_tries`` then. Only a clear changes it, not even a changed
        ``retries``.
    :param submitted_at: When, in epoch seconds.
    :param end_time: The deadline of the wait, in epoch seconds.
    :param runway_task_id: The Runway task ID; ``None`` while nobody knows it.
    """

    digest: str
    prompt: str
    try_number: int
    max_tries: int
    submitted_at: float
    end_time: float
    runway_task_id: str | None = None


def digest_of(request: RunwayRequest, runway_conn_id: str) -> str:
    """
    Return what tells two requests apart: every field of them, and the account that pays.

    :param request: What to create.
    :param runway_conn_id: The connection's ID.
    """
    material = [type(request).__name__, asdict(request), runway_conn_id]
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


class SubmissionJournal:
    """
    The record of one Airflow task instance's submission.

    :param store: Where it is kept; ``None`` keeps nothing, and each try submits.
    :param request: What is to be created now.
    :param runway_conn_id: The connection's ID.
    :param try_number: The current try of the Airflow task.
    :param max_tries: The Airflow task's ``max_tries`` now.
    """

    def __init__(
        self,
        store: StateStore | None,
        *,
        request: RunwayRequest,
        runway_conn_id: str,
        try_number: int,
        max_tries: int,
    ) -> None:
        self._store = store
        self._digest = digest_of(request, runway_conn_id)
        self._prompt = request.prompt[:_EXCERPT]
        self._try_number = try_number
        self._max_tries = max_tries

    def earlier(self) -> Submission | None:
        """
        Return the submission of an earlier try that this try is to take up, if there is one.

        A clear by a person asks for a new video, and so does a request that has changed since.

        :raises RunwaySubmissionUnknownError: there is one, but without a Runway task ID.
        :raises RunwayServerError: the record cannot be read now.
        """
        if self._store is None:
            return None
        try:
            record = self._store.get(_KEY)
        except Exception as error:
            raise RunwayServerError(
                f"The record of earlier submissions cannot be read, so nothing is submitted: {error}"
            ) from error
        if record is None:
            return None
        try:
            known = Submission(**{field.name: record[field.name] for field in fields(Submission)})
        except KeyError as error:
            raise RunwaySubmissionUnknownError(
                f"The record of an earlier submission is damaged (no {error}): nobody can tell if a request "
                f"was sent. {_HOW_TO_GO_ON}"
            ) from error
        if known.max_tries != self._max_tries:
            log.info("This task was cleared since Runway task %s: submitting anew", known.runway_task_id)
            return None
        if known.digest != self._digest:
            log.info("The request has changed since Runway task %s: submitting anew", known.runway_task_id)
            return None
        if known.runway_task_id is None:
            moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(known.submitted_at))
            raise RunwaySubmissionUnknownError(
                f"Try {known.try_number} was about to submit the request for {known.prompt!r} at {moment}, "
                "and ended before it noted an answer: nobody can tell whether kie.ai took it and charged it. "
                f"{_HOW_TO_GO_ON}"
            )
        return known

    def intend(self, end_time: float) -> Submission:
        """
        Note that the request is about to be sent. Call :meth:`refused` or :meth:`accepted` next.

        :param end_time: The deadline of the wait, in epoch seconds.
        :raises RunwayServerError: it cannot be noted, so the request must not be sent.
        """
        submission = Submission(
            digest=self._digest,
            prompt=self._prompt,
            try_number=self._try_number,
            max_tries=self._max_tries,
            submitted_at=time.time(),
            end_time=end_time,
        )
        if self._store is not None:
            try:
                self._store.set(_KEY, asdict(submission))
            except Exception as error:
                raise RunwayServerError(
                    f"The submission cannot be noted, so nothing was sent and nothing was charged: {error}"
                ) from error
        return submission

    def refused(self) -> None:
        """Note that the request surely was not taken."""
        if self._store is None:
            return
        try:
            self._store.delete(_KEY)
        except Exception:
            log.exception("Cannot note that kie.ai refused the request: a retry will call its fate unknown")

    def accepted(self, submission: Submission, runway_task_id: str) -> Submission:
        """
        Note the Runway task ID, and return the submission with it. Never raises: the ID is paid for.

        :param submission: What :meth:`intend` returned.
        :param runway_task_id: The Runway task ID.
        """
        return self._keep(replace(submission, runway_task_id=runway_task_id))

    def extend(self, submission: Submission, timeout: float) -> Submission:
        """
        Return a submission to wait on for: until its own deadline or, where that has passed, a new one. Never
        raises.

        :param submission: The submission of an earlier try.
        :param timeout: Seconds of a wait.
        """
        now = time.time()
        return (
            submission
            if now < submission.end_time
            else self._keep(replace(submission, end_time=now + timeout))
        )

    def _keep(self, submission: Submission) -> Submission:
        for pause in (0.5, 2.0, None):
            if self._store is None:
                break
            try:
                self._store.set(_KEY, asdict(submission))
                break
            except Exception:
                log.exception("Cannot note Runway task %s; keep this ID", submission.runway_task_id)
                if pause is not None:
                    time.sleep(pause)
        return submission


_HOW_TO_GO_ON = (
    f"Look for it at {LOGS_URL}. If it is there, give its task ID to a RunwayTaskSensor or a "
    "RunwayDownloadOperator; if it is not, clear this task to submit it anew. With "
    "on_unknown_submission='resubmit' the operator takes the risk of paying twice by itself."
)

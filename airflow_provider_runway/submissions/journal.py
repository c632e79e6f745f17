"""Notes a submission so that a retry resumes it instead of paying again.

Before the request is sent, an *intent* is noted: the digest of the request, the try, the time. Right after
the response, before anything else, the Runway task ID. A try that finds an intent without an ID cannot know
whether kie.ai accepted the request: nobody can, since kie.ai has neither an idempotency key nor a list of
tasks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.exceptions import (
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayValidationError,
)
from airflow_provider_runway.submissions.record import (
    EXCERPT,
    HOW_TO_GO_ON,
    Submission,
    digest_of,
    digests_of,
    is_count,
    several_requests,
    unanswered,
)
from airflow_provider_runway.submissions.stores import StateStore

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest

log = logging.getLogger(__name__)

#: Key of a submission's record in the store.
SUBMISSION_KEY = "runway_submission"
_UPLOADS = "runway_uploads"
#: Seconds for which an upload is used again. kie.ai keeps it for 3 days, by one page for 24 hours only.
_UPLOAD_LIVES = 20 * 3600.0

#: Seconds between attempts to note what became of a request that was sent.
_PAUSES = (0.5, 2.0, 5.0, 10.0)


def count_resubmissions(store: StateStore, runway_task_id: str) -> int:
    """
    Return how many Runway tasks an Airflow task has had before this one, since it was last cleared.

    :param store: Where its record is kept.
    :param runway_task_id: The Runway task ID; another one's record says nothing, which counts as none.
    :raises RunwayServerError: the record cannot be read now.
    """
    record = _read(store) or {}
    return _count(record) if record.get("runway_task_id") == runway_task_id else 0


def noted(store: StateStore, max_tries: int) -> Submission | None:
    """
    Return the submission that an Airflow task has made since it was last cleared, whatever it was for.

    :param store: Where its record is kept.
    :param max_tries: The Airflow task's ``max_tries`` now.
    :raises RunwayServerError: the record cannot be read now.
    """
    try:
        known = Submission(**(_read(store) or {}))
    except TypeError:
        return None
    return known if known.max_tries == max_tries else None


def _count(record: dict[str, Any]) -> int:
    count = record.get("resubmissions")
    return count if isinstance(count, int) else 0


class SubmissionJournal:
    """
    The note of one Airflow task instance's submission.

    :param store: Where it is kept; ``None`` keeps nothing, and each try submits.
    :param request: What is to be created now.
    :param runway_conn_id: The connection's ID.
    :param try_number: The current try of the Airflow task.
    :param max_tries: The Airflow task's ``max_tries`` now.
    :param try_began_at: When the current try started, in epoch seconds.
    """

    def __init__(
        self,
        store: StateStore | None,
        *,
        request: RunwayRequest,
        runway_conn_id: str,
        try_number: int,
        max_tries: int,
        try_began_at: float = 0.0,
    ) -> None:
        self._store = store
        self._digest = digest_of(request, runway_conn_id)
        self._known_as = digests_of(request, runway_conn_id)
        self._prompt = request.prompt[:EXCERPT]
        self._try_number = try_number
        self._max_tries = max_tries
        self._try_began_at = try_began_at
        self._seen: dict[str, Any] | None = None
        self._before: dict[str, Any] | None = None

    def earlier(self) -> Submission | None:
        """
        Return the submission of an earlier try that this try is to resume, if there is one.

        A clear by a person asks for a new video, and so does a request that has changed since, where the fate
        of the earlier one is known.

        :raises RunwaySubmissionUnknownError: there is one, but without a Runway task ID; the error has it as
            ``submission``.
        :raises RunwayValidationError: this try has submitted another request already.
        :raises RunwayServerError: the record cannot be read now.
        """
        record = self._seen = self._read()
        if record is None:
            return None
        max_tries = record.get("max_tries")
        # What is no number is damaged, and no clear.
        if is_count(max_tries) and max_tries != self._max_tries:
            log.info(
                "This task was cleared since try %s (%s): submitting again",
                record.get("try_number"),
                _fate(record.get("runway_task_id")),
            )
            return None
        try:
            known = Submission(**record)
        except TypeError as error:
            raise RunwaySubmissionUnknownError(
                f"The note of an earlier submission is damaged ({error}): nobody can tell whether a request "
                f"was sent. {HOW_TO_GO_ON}"
            ) from error
        if known.runway_task_id is None:
            raise unanswered(known)
        if not self.is_for(known):
            # One of the same try that is older than it is of a DAG run that was deleted and made again.
            if known.try_number == self._try_number and known.submitted_at >= self._try_began_at:
                raise several_requests(known.prompt, self._prompt)
            log.warning(
                "The request has changed since try %d (%s): submitting again",
                known.try_number,
                _fate(known.runway_task_id),
            )
            return None
        return known

    def is_for(self, submission: Submission) -> bool:
        """
        Return whether a submission is one of the request that is to be created now.

        :param submission: The submission.
        """
        return submission.digest in self._known_as

    @property
    def digest(self) -> str:
        """What tells the request from others."""
        return self._digest

    @property
    def store(self) -> StateStore | None:
        """Where the record is kept."""
        return self._store

    def resume(self, submission: Submission) -> None:
        """
        Continue with a submission that this try has made before it was deferred.

        :param submission: The submission, which is what the record says.
        """
        self._seen = asdict(submission)

    def answered(self, submission: Submission) -> Submission | None:
        """
        Return a submission without an answer as another process has noted it since: with its Runway task ID.
        ``None`` where none has. Never raises.

        :param submission: The submission.
        """
        try:
            record = self._read()
            known = Submission(**record) if record is not None else None
        except Exception as error:
            log.warning("The note of the submission cannot be read: %s", error)
            return None
        if known is None or known.runway_task_id is None:
            return None
        if replace(known, runway_task_id=None) != submission:
            return None
        self._seen = record
        return known

    def intend(self, end_time: float, recipient: str | None = None) -> Submission:
        """
        Note that the request is about to be sent. Call :meth:`refused` or :meth:`accepted` next.

        :param end_time: The deadline of the wait, in epoch seconds.
        :param recipient: The name of the address at which kie.ai is to call back, if there is one.
        :raises RunwayServerError: it cannot be noted, so the request must not be sent.
        """
        submission = Submission(
            digest=self._digest,
            prompt=self._prompt,
            try_number=self._try_number,
            max_tries=self._max_tries,
            submitted_at=time.time(),
            end_time=end_time,
            resubmissions=self._resubmissions(),
            recipient=recipient,
        )
        if self._store is not None:
            if self._read() != self._seen:
                raise RunwayServerError(
                    "Another try of this task has submitted in the meantime, so this one sends nothing."
                )
            self._before, self._seen = self._seen, asdict(submission)
            try:
                self._store.set(SUBMISSION_KEY, self._seen)
            except Exception as error:
                # It may be written all the same.
                self._take_back("that nothing was sent")
                raise RunwayServerError(
                    f"The submission cannot be noted, so nothing was sent and nothing was charged: {error}"
                ) from error
        return submission

    def refused(self) -> None:
        """Note that the request was certainly not accepted. Never raises."""
        self._take_back("that kie.ai refused the request")

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

    def upload_of(self, version: str) -> str | None:
        """
        Return the URL of an earlier upload of a file, if it still lives. Never raises: an upload is free.

        :param version: Tells this version of the file from others.
        """
        entry = self._uploads().get(version)
        return entry["url"] if entry is not None and time.time() < entry["until"] else None

    def note_upload(self, version: str, url: str) -> None:
        """
        Note an upload, for a retry to use it. Never raises.

        :param version: Tells this version of the file from others.
        :param url: Its public URL.
        """
        if self._store is None:
            return
        now = time.time()
        living = {key: entry for key, entry in self._uploads().items() if now < entry["until"]}
        living[version] = {"url": url, "until": now + _UPLOAD_LIVES}
        try:
            self._store.set(_UPLOADS, {"files": living})
        except Exception as error:
            log.warning("The upload cannot be noted, so a retry would upload the file again: %s", error)

    def _uploads(self) -> dict[str, Any]:
        try:
            noted = (self._store.get(_UPLOADS) or {}) if self._store is not None else {}
            return {
                version: {"url": str(entry["url"]), "until": float(entry["until"])}
                for version, entry in (noted.get("files") or {}).items()
            }
        except Exception as error:
            log.warning("The notes of earlier uploads cannot be read: %s", error)
            return {}

    def _resubmissions(self) -> int:
        last = self._seen
        if last is None or last.get("max_tries") != self._max_tries:
            return 0
        return _count(last) + (last.get("runway_task_id") is not None)

    def _read(self) -> dict[str, Any] | None:
        return None if self._store is None else _read(self._store)

    def _take_back(self, why: str) -> None:
        """Put in place of the intent what was there before it."""
        store, intent, before = self._store, self._seen, self._before
        if store is None:
            return

        def write() -> None:
            if _record(store) != intent:
                return
            if before is None:
                store.delete(SUBMISSION_KEY)
            else:
                store.set(SUBMISSION_KEY, before)

        self._seen = before
        if not _persist(write, why):
            log.error("A retry will report this submission as unknown, although it was not accepted")

    def _keep(self, submission: Submission) -> Submission:
        store, what = self._store, f"Runway task {submission.runway_task_id}: keep this ID"
        if store is None:
            return submission

        noted, seen = asdict(submission), self._seen

        def write() -> None:
            if _record(store) in (seen, noted, None):
                store.set(SUBMISSION_KEY, noted)
            else:
                log.error("Another try of this task has submitted in the meantime. %s", what)

        if _persist(write, what):
            self._seen = noted
        return submission


def _read(store: StateStore) -> dict[str, Any] | None:
    try:
        return _record(store)
    except RunwayValidationError:
        # No retry helps.
        raise
    except Exception as error:
        raise RunwayServerError(
            f"The notes of earlier submissions cannot be read, so nothing is submitted: {error}"
        ) from error


def _record(store: StateStore) -> dict[str, Any] | None:
    record = store.get(SUBMISSION_KEY)
    if record is None:
        return None
    return {field.name: record[field.name] for field in fields(Submission) if field.name in record}


def _fate(runway_task_id: Any) -> str:
    if runway_task_id is None:
        return "nobody can tell whether kie.ai accepted that request"
    return f"Runway task {runway_task_id}, which is charged"


def _persist(write: Callable[[], None], what: str) -> bool:
    """Write, some times if need be; tell whether it was written."""
    for attempt, pause in enumerate((*_PAUSES, None)):
        try:
            write()
            return True
        except Exception as error:
            if attempt == 0:
                log.exception("Cannot note %s", what)
            else:
                log.error("Still cannot note %s (%s)", what, error)
            if pause is not None:
                time.sleep(pause)
    return False

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
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import URL_FIELDS
from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayValidationError,
)
from airflow_provider_runway.submissions.stores import StateStore

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest

log = logging.getLogger(__name__)

_KEY = "runway_submission"
_UPLOADS = "runway_uploads"
#: Seconds for which an upload is used again. kie.ai keeps it for 3 days, by one page for 24 hours only.
_UPLOAD_LIVES = 20 * 3600.0
_EXCERPT = 80

#: Seconds between attempts to note what became of a request that was sent.
_PAUSES = (0.5, 2.0, 5.0, 10.0)


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
    :param resubmissions: How many Runway tasks this Airflow task has had before it, since a person cleared it
        last.
    :param recipient: The name of the address that kie.ai was given to call back at, if it was.
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


def _is_count(value: Any) -> bool:
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
    "try_number": _is_count,
    "max_tries": _is_count,
    "submitted_at": _is_moment,
    "end_time": _is_moment,
    "runway_task_id": _is_text_or_none,
    "resubmissions": _is_count,
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


def _digest(request: RunwayRequest, told: dict[str, Any], runway_conn_id: str) -> str:
    material = [type(request).__name__, told, runway_conn_id]
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


def count_resubmissions(store: StateStore, runway_task_id: str) -> int:
    """
    Return how many Runway tasks an Airflow task has had before this one, since a person cleared it last.

    :param store: Where its record is kept.
    :param runway_task_id: The Runway task ID; another one's record says nothing, which counts as none.
    :raises RunwayServerError: the record cannot be read now.
    """
    record = _read(store) or {}
    return _count(record) if record.get("runway_task_id") == runway_task_id else 0


def _count(record: dict[str, Any]) -> int:
    count = record.get("resubmissions")
    return count if isinstance(count, int) else 0


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
        #: The submission of which nobody knows whether it was taken, once one has been found.
        self.unanswered: Submission | None = None
        # Of the release that took every field as it is.
        self._known_as = {self._digest, _digest(request, asdict(request), runway_conn_id)}
        self._prompt = request.prompt[:_EXCERPT]
        self._try_number = try_number
        self._max_tries = max_tries
        self._seen: dict[str, Any] | None = None
        self._before: dict[str, Any] | None = None

    def earlier(self) -> Submission | None:
        """
        Return the submission of an earlier try that this try is to take up, if there is one.

        A clear by a person asks for a new video, and so does a request that has changed since, where the fate
        of the earlier one is known.

        :raises RunwaySubmissionUnknownError: there is one, but without a Runway task ID.
        :raises RunwayServerError: the record cannot be read now.
        """
        record = self._seen = self._read()
        if record is None:
            return None
        max_tries = record.get("max_tries")
        # What is no number is damaged, and no clear.
        if _is_count(max_tries) and max_tries != self._max_tries:
            log.info(
                "This task was cleared since try %s (%s): submitting anew",
                record.get("try_number"),
                _fate(record.get("runway_task_id")),
            )
            return None
        try:
            known = Submission(**record)
        except TypeError as error:
            raise RunwaySubmissionUnknownError(
                f"The record of an earlier submission is damaged ({error}): nobody can tell if a request "
                f"was sent. {_HOW_TO_GO_ON}"
            ) from error
        if known.runway_task_id is None:
            self.unanswered = known
            moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(known.submitted_at))
            raise RunwaySubmissionUnknownError(
                f"Try {known.try_number} was about to submit the request for {known.prompt!r} at {moment}, "
                "and ended before it noted an answer: nobody can tell whether kie.ai took it and charged it. "
                f"{_not_called(known)}The log of that try may name its Runway task ID. {_HOW_TO_GO_ON}"
            )
        if known.digest not in self._known_as:
            log.warning(
                "The request has changed since try %d (%s): submitting anew",
                known.try_number,
                _fate(known.runway_task_id),
            )
            return None
        return known

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
        Go on with a submission that this try has made before it gave its worker back.

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
            log.warning("The record of the submission cannot be read: %s", error)
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
                self._store.set(_KEY, self._seen)
            except Exception as error:
                # It may be written all the same.
                self._take_back("that nothing was sent")
                raise RunwayServerError(
                    f"The submission cannot be noted, so nothing was sent and nothing was charged: {error}"
                ) from error
        return submission

    def refused(self) -> None:
        """Note that the request surely was not taken. Never raises."""
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
            log.warning("The upload cannot be noted, so a retry would upload again: %s", error)

    def _uploads(self) -> dict[str, Any]:
        try:
            noted = (self._store.get(_UPLOADS) or {}) if self._store is not None else {}
            return {
                version: {"url": str(entry["url"]), "until": float(entry["until"])}
                for version, entry in (noted.get("files") or {}).items()
            }
        except Exception as error:
            log.warning("Earlier uploads cannot be read: %s", error)
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
                store.delete(_KEY)
            else:
                store.set(_KEY, before)

        self._seen = before
        if not _persist(write, why):
            log.error("A retry will call the fate of this request unknown, though it was not taken")

    def _keep(self, submission: Submission) -> Submission:
        store, what = self._store, f"Runway task {submission.runway_task_id}: keep this ID"
        if store is None:
            return submission

        noted, seen = asdict(submission), self._seen

        def write() -> None:
            if _record(store) in (seen, noted, None):
                store.set(_KEY, noted)
            else:
                log.error("Another try of this task has submitted in the meantime. %s", what)

        if _persist(write, what):
            self._seen = noted
        return submission


def unknown_for_good(submission: Submission) -> RunwaySubmissionUnknownError:
    """
    Return the error for a submission whose answer was lost, and which kie.ai has not called about either.

    :param submission: The submission.
    """
    moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(submission.submitted_at))
    return RunwaySubmissionUnknownError(
        f"The answer to the submission of {submission.prompt!r} at {moment} was lost: nobody can tell "
        f"whether kie.ai took it and charged it. {_not_called(submission)}{_HOW_TO_GO_ON}"
    )


def _not_called(submission: Submission) -> str:
    if submission.recipient is None:
        return ""
    return "kie.ai has not called back about it for as long as such a video takes. "


def _read(store: StateStore) -> dict[str, Any] | None:
    try:
        return _record(store)
    except RunwayValidationError:
        # No retry helps.
        raise
    except Exception as error:
        raise RunwayServerError(
            f"The record of earlier submissions cannot be read, so nothing is submitted: {error}"
        ) from error


def _record(store: StateStore) -> dict[str, Any] | None:
    record = store.get(_KEY)
    if record is None:
        return None
    return {field.name: record[field.name] for field in fields(Submission) if field.name in record}


def _fate(runway_task_id: Any) -> str:
    if runway_task_id is None:
        return "nobody can tell whether kie.ai took that request"
    return f"Runway task {runway_task_id}, which is charged"


def _persist(write: Callable[[], None], what: str) -> bool:
    """Write, some times if need be; tell whether it was written."""
    for pause in (*_PAUSES, None):
        try:
            write()
            return True
        except Exception:
            log.exception("Cannot note %s", what)
            if pause is not None:
                time.sleep(pause)
    return False


_HOW_TO_GO_ON = (
    f"Look for it at {LOGS_URL}. If it is there, give its task ID to a RunwayTaskSensor or a "
    "RunwayDownloadOperator; if it is not, clear this task to submit it anew. With "
    "on_unknown_submission='resubmit' the operator takes the risk of paying twice by itself."
)

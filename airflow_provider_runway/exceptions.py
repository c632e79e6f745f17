"""What can go wrong with a paid video, and which of it an Airflow retry can help.

An error that a retry cannot help is also an :class:`AirflowFailException`, so that Airflow fails the task at
once instead of spending its retries (and, for a submission, perhaps money) on it.
"""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_runway import DOCS_URL
from airflow_provider_runway.compat import AirflowException, AirflowFailException
from airflow_provider_runway.compat import AirflowSensorTimeout as _AirflowSensorTimeout

#: Where kie.ai shows its customers what became of each task.
LOGS_URL = "https://kie.ai/logs"

#: The page with an entry for each class of this module, under its name.
_ENTRIES = f"{DOCS_URL}errors.html#"
_REFERENCE = re.compile(rf" ?More: {re.escape(_ENTRIES)}\w+")


class RunwayError(AirflowException):
    """
    Base of all errors of this package. The text of each ends with the address of its entry in the docs.

    :param message: What was asked, what happened, whether credits were spent, and what to do.
    :param code: The code that kie.ai answered with (an HTTP status where it sent no envelope), if any.
    :param runway_task_id: The Runway task it is about, if there is one.
    :param retry_after: Seconds that the server asked to wait before the next request, if it did.
    """

    #: Whether asking for the same status again can get a better answer.
    repeat_lookup = False
    #: Whether the same creation can be sent again at once because it surely was not taken.
    repeat_creation = False
    #: Whether nobody can tell if a creation that was answered so was taken and charged.
    creation_unknown = False

    def __init__(
        self,
        message: str = "",
        *,
        code: int | str | None = None,
        runway_task_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        # What is told again, as part of another error's text, does not bring its own address along.
        super().__init__(_REFERENCE.sub("", message))
        self.code = code
        self.runway_task_id = runway_task_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{_closed(self.message)} More: {self.entry()}" if self.message else ""

    @property
    def message(self) -> str:
        """The text without the address at its end: for what goes on behind it, and for another error."""
        return str(self.args[0]) if self.args else ""

    @classmethod
    def entry(cls) -> str:
        """Return the address of this error's entry in the docs: what it means, and what to do."""
        documented = next(kind for kind in cls.__mro__ if kind.__module__ == __name__)
        return f"{_ENTRIES}{documented.__name__.lower()}"

    def explain(self, *, after: str = "", runway_task_id: str | None = None) -> RunwayError:
        """
        Add to the text, and return the same error. The reason stays in front: Airflow's UI cuts a long line.

        :param after: Whole sentences: what was asked, what was charged, what to do.
        :param runway_task_id: The Runway task it is about.
        """
        self.args = (f"{_closed(self.message)} {after}".strip(),)
        self.runway_task_id = self.runway_task_id or runway_task_id
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data for a trigger's event; :func:`error_from_dict` reads it back."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "code": self.code,
            "runway_task_id": self.runway_task_id,
            "retry_after": self.retry_after,
        }


class RunwayRequestError(RunwayError, AirflowFailException):
    """
    The request itself is refused: codes 400, 404, 422, 451 and 505, and a 500 that misses a value. Sending it
    again changes nothing.
    """


class RunwayValidationError(RunwayRequestError, ValueError):
    """A value breaks a rule of the API; found before any request was sent, so nothing was charged."""


class RunwayCallbackError(RunwayError, ValueError):
    """A callback is none of kie.ai's: malformed, too large, or not signed with the account's webhook key."""


class RunwayAuthenticationError(RunwayError, AirflowFailException):
    """The API key is missing, malformed or rejected: codes 401 and 403."""


class RunwayCreditsError(RunwayError, AirflowFailException):
    """The account has too few credits (402, or words to that effect) or this key reached its cap (433)."""


class RunwayRateLimitError(RunwayError):
    """Too many requests (429). The request was not queued and not charged; a later one is safe."""

    repeat_lookup = True
    repeat_creation = True


class RunwayServerError(RunwayError):
    """kie.ai's own trouble: 408, 455 or 5xx in an envelope; for a status request also no readable answer."""

    repeat_lookup = True


class RunwayMaintenanceError(RunwayServerError):
    """kie.ai is under maintenance (455): nothing was taken, so a creation can be sent again later."""

    repeat_creation = True


class RunwayUpstreamSilentError(RunwayServerError):
    """
    The service behind kie.ai did not answer for 10 minutes (408), or a gateway answered for it (502 to 504,
    520 to 524): nobody knows whether it took a creation.
    """

    creation_unknown = True


class RunwayConnectionNotFoundError(RunwayServerError):
    """
    Airflow finds no such connection. It says the same while its API server or the secrets backend is out of
    reach, so this may pass; nothing was sent.
    """


class RunwayNotConnectedError(RunwayServerError):
    """No connection came about, so the request surely was not sent: a creation can be repeated."""

    repeat_creation = True


class RunwayUnreadableAnswerError(RunwayServerError):
    """No answer, a broken one, or one that is not kie.ai's (a gateway's page): nobody knows what it did."""

    creation_unknown = True


class RunwaySubmissionUnknownError(RunwayError, AirflowFailException):
    """A creation got no readable answer: it may or may not have been taken and charged. Never repeated."""

    #: The record of it, where an earlier try has left one.
    submission: Any = None


class RunwayTaskFailedError(RunwayError):
    """
    The Runway task ended in failure, for a reason of the vendor's own: a new one may succeed.

    :param error_code: The task's own failure code (an int wherever it is numeric).
    :param error_message: The reason in kie.ai's words.
    """

    def __init__(
        self,
        message: str = "",
        *,
        error_code: int | str | None = None,
        error_message: str | None = None,
        code: int | str | None = None,
        runway_task_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message,
            code=code if code is not None else error_code,
            runway_task_id=runway_task_id,
            retry_after=retry_after,
        )
        self.error_code = error_code
        self.error_message = error_message

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, with the task's own code and words."""
        return {**super().to_dict(), "error_code": self.error_code, "error_message": self.error_message}


class RunwayTaskRejectedError(RunwayTaskFailedError, AirflowFailException):
    """The Runway task failed for what was asked (moderation, bad input): the same again fails again."""


class RunwayTaskCreditsError(RunwayTaskFailedError, RunwayCreditsError):
    """The Runway task failed for want of credits: a new one fails too, until the account is topped up."""


class RunwayResubmissionsError(RunwayTaskFailedError, AirflowFailException):
    """The Runway task failed, and was paid for anew as often as the operator's ``resubmissions`` allow."""


class RunwayTaskNotFoundError(RunwayError, AirflowFailException):
    """kie.ai knows no task of this ID (any more)."""


class RunwayVideoExpiredError(RunwayError, AirflowFailException):
    """The task succeeded but its video is deleted, or kie.ai never named one."""


class RunwayStorageError(RunwayError):
    """
    The storage did not take a video, or cannot be read: a full disk, no rights, no answer. kie.ai still has
    it.
    """


class RunwayTimeoutError(RunwayError):
    """The wait reached its own deadline. A generation that kie.ai knows goes on there and is charged."""


class RunwaySensorTimeoutError(RunwayTimeoutError, _AirflowSensorTimeout):
    """The sensor's ``timeout``: as with every Airflow sensor it is not retried, and ``soft_fail`` skips."""


def error_from_dict(data: dict[str, Any]) -> RunwayError:
    """
    Read an error back that :meth:`RunwayError.to_dict` wrote in another process.

    :param data: The plain data; an unknown kind of error becomes a plain :class:`RunwayError`.
    """
    known = {cls.__name__: cls for cls in _all_kinds(RunwayError)}
    cls = known.get(str(data.get("error")), RunwayError)
    details = {key: data.get(key) for key in ("code", "runway_task_id", "retry_after")}
    if issubclass(cls, RunwayTaskFailedError):
        details |= {key: data.get(key) for key in ("error_code", "error_message")}
    return cls(str(data.get("message") or ""), **details)


def _closed(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _all_kinds(cls: type[RunwayError]) -> list[type[RunwayError]]:
    return [cls, *(kind for sub in cls.__subclasses__() for kind in _all_kinds(sub))]

"""Both generations of the API behind one interface, and what an answer means: an ID, a task, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from airflow_provider_runway.api import dedicated, market, values
from airflow_provider_runway.api.envelope import Call, read_envelope
from airflow_provider_runway.api.requests import RunwayRequest, check_task_id
from airflow_provider_runway.api.tasks import RunwayTask
from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayError,
    RunwayRequestError,
    RunwayTaskNotFoundError,
    RunwayUnreadableAnswerError,
    RunwayValidationError,
)

CREDITS_PATH = "/api/v1/chat/credit"
DOWNLOAD_URL_PATH = "/api/v1/common/download-url"
UPLOAD_PATH = "/api/file-stream-upload"

MODELS = ("runway", "aleph")


class Dialect(Protocol):
    """One generation of the API: it writes the requests and reads the tasks back."""

    def creation(self, request: RunwayRequest, callback_url: str | None = None) -> tuple[str, dict[str, Any]]:
        """Return path and JSON body of a creation."""

    def lookup(self, model: str) -> str:
        """Return the path of a status look-up."""

    def read_task(self, data: dict[str, Any], runway_task_id: str, model: str) -> RunwayTask:
        """Read the ``data`` of a status answer."""


DIALECTS: dict[str, Dialect] = {"dedicated": dedicated, "market": market}


class Search:
    """
    Asks for a task in one generation of the API after the other: a connection's ``api`` can be changed while
    videos are on their way, and an ID is known only to the generation that made it.

    :param api: The connection's generation, which is asked first.
    :param found_in: The generation that knew the task before, if one did: then it alone is asked.
    """

    def __init__(self, api: str, found_in: str | None = None) -> None:
        self._apis = (found_in,) if found_in else (api, *(other for other in DIALECTS if other != api))
        self._errors: list[RunwayError] = []

    def __iter__(self) -> Iterator[str]:
        """Yield the generations to ask, for as long as the ones before do not know the task, or are gone."""
        for api in self._apis:
            if all(isinstance(error, RunwayTaskNotFoundError) or _is_gone(error) for error in self._errors):
                yield api

    def failed(self, error: RunwayError) -> None:
        """
        Take the failure of a look-up.

        :param error: Why the generation that was yielded last gave no task.
        """
        self._errors.append(error)

    def result(self) -> RunwayError:
        """Return why no task was found."""
        if not self._errors:
            return RunwayTaskNotFoundError("nobody was asked")
        first, last = self._errors[0], self._errors[-1]
        gone = next((error for error in self._errors if _is_gone(error)), None)
        unknown = next((error for error in self._errors if isinstance(error, RunwayTaskNotFoundError)), None)
        if gone and unknown:
            # The one that is gone may be the one that made the task, and be back after a deployment: a video
            # that is paid for is not given up on the word of the other one.
            return gone.explain(
                after=f"The other generation of the API, {self._apis[self._errors.index(unknown)]!r}, does "
                "not know the task."
            )
        if _is_gone(first) and not _is_gone(last):
            return last.explain(
                after=f"The other generation of the API, {self._apis[0]!r}, is not there (HTTP 404): check "
                "the host of the connection, and its extra 'api'."
            )
        # That the other one is out of order says nothing of the task; that it is not there, or does not like
        # the request, leaves what the first one said.
        return last if last.repeat_lookup else first


def _is_gone(error: RunwayError) -> bool:
    """Return whether a look-up failed because kie.ai does not have the path of a generation of the API."""
    # In an envelope, the same code says that there is no such task.
    return isinstance(error, RunwayRequestError) and error.code == 404


def check_lookup(runway_task_id: Any, model: Any) -> None:
    """
    Check what a status is to be asked for, before anything is sent.

    :param runway_task_id: The Runway task ID.
    :param model: ``runway`` or ``aleph``.
    :raises RunwayValidationError: a value that cannot be right.
    """
    check_task_id("runway_task_id", runway_task_id)
    if model not in MODELS:
        raise RunwayValidationError(f"model={model!r}: must be one of 'runway' (generate, extend), 'aleph'")


def read_created(status: int, body: bytes | str, retry_after: str | None = None) -> str:
    """
    Return the Runway task ID from the answer to a creation.

    :param status: The HTTP status.
    :param body: The body as it came.
    :param retry_after: The ``Retry-After`` header, if there was one.
    :raises RunwayError: the kind that the answer stands for; :class:`RunwayUnreadableAnswerError` where it
        says neither that the task was taken nor that it was refused.
    """
    data = read_envelope(status, body, retry_after=retry_after, call=Call.CREATION)
    runway_task_id = values.identifier(values.mapping(data).get("taskId"))
    if runway_task_id is None:
        raise RunwayUnreadableAnswerError(
            "kie.ai says that it accepted the request, but names no task ID", code=200
        )
    return runway_task_id


def read_task(
    dialect: Dialect,
    status: int,
    body: bytes | str,
    retry_after: str | None = None,
    *,
    runway_task_id: str,
    model: str,
) -> RunwayTask:
    """
    Return the task from the answer to a status look-up.

    :param dialect: The generation that was asked.
    :param status: The HTTP status.
    :param body: The body as it came.
    :param runway_task_id: The task that was asked for.
    :param model: ``runway`` or ``aleph``.
    :param retry_after: The ``Retry-After`` header, if there was one.
    :raises RunwayTaskNotFoundError: nobody knows the ID: a new task is not visible at once, so a caller gives
        it a grace.
    :raises RunwayError: the kind that the answer stands for.
    """
    try:
        data = read_envelope(status, body, retry_after=retry_after, call=Call.LOOKUP)
    except RunwayTaskNotFoundError as error:
        # The market routes answer 422 "recordInfo is null" for an unknown ID, and just after a creation.
        raise not_found(runway_task_id, f"it answered {error.message}") from error
    if data in (None, {}, "", "null", "{}"):
        raise not_found(runway_task_id, "it answered without data")
    record = values.mapping(data)
    if not record:
        raise RunwayUnreadableAnswerError("the status came without an object in 'data'", code=200)
    return dialect.read_task(record, runway_task_id, model)


def not_found(runway_task_id: str, answered: str) -> RunwayTaskNotFoundError:
    """
    Return the error for an ID that nobody knows.

    :param runway_task_id: The ID.
    :param answered: What kie.ai said.
    """
    return RunwayTaskNotFoundError(
        f"kie.ai knows no such Runway task: {answered}. Check the ID, {runway_task_id}, the account of the "
        "API key, and the 'model': a task is known only to the route of the model that made it, and Aleph "
        f"has one of its own. Its record, if any: {LOGS_URL}",
        runway_task_id=runway_task_id,
    )


def explain_lookup(error: RunwayError, runway_task_id: str) -> RunwayError:
    """
    Return the error of a look-up with the task that it was about in its text.

    :param error: Why the look-up failed.
    :param runway_task_id: The task that was asked for.
    """
    if error.runway_task_id:
        return error
    return error.explain(
        after=f"That was a status request for Runway task {runway_task_id}.", runway_task_id=runway_task_id
    )


def read_credits(status: int, body: bytes | str, retry_after: str | None = None) -> float:
    """Return the account's remaining credits. Parameters and errors are those of :func:`read_created`."""
    credits = values.number(read_envelope(status, body, retry_after=retry_after))
    if credits is None:
        raise RunwayUnreadableAnswerError("the answer names no number of credits", code=200)
    return credits


def read_download_url(status: int, body: bytes | str, retry_after: str | None = None) -> str:
    """Return a URL that is good for 20 minutes. Parameters and errors are those of :func:`read_created`."""
    url = values.url(read_envelope(status, body, retry_after=retry_after))
    if url is None:
        raise RunwayUnreadableAnswerError("the answer names no download URL", code=200)
    return url


def read_upload(status: int, body: bytes | str, retry_after: str | None = None) -> str:
    """Return the public URL of an uploaded file. Parameters and errors are those of :func:`read_created`."""
    data = read_envelope(status, body, retry_after=retry_after)
    url = values.url(values.mapping(data).get("downloadUrl"))
    if url is None:
        raise RunwayUnreadableAnswerError("the answer names no URL of the uploaded file", code=200)
    return url

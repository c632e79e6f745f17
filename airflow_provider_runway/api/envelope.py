"""The envelope ``{code, msg, data}`` of every answer, and the one table of what its codes mean.

kie.ai usually reports errors as HTTP 200 with a body code; real HTTP errors are 429, 403, 404 and 5xx. Where
a body is an envelope, it has the last word, whatever the HTTP status.
"""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_runway.api import values
from airflow_provider_runway.api.tasks import task_failure
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayCreditsError,
    RunwayError,
    RunwayMaintenanceError,
    RunwayRateLimitError,
    RunwayRequestError,
    RunwayServerError,
    RunwayTaskFailedError,
    RunwayUnreadableAnswerError,
    RunwayUpstreamSilentError,
)

#: Each code's kind of error (kie.ai's documentation of its codes). Whether a look-up or a creation may be
#: repeated, and whether a creation's fate is unknown, are properties of the kind: ``repeat_lookup``,
#: ``repeat_creation`` and ``creation_unknown``.
CODES: dict[int, tuple[type[RunwayError], str]] = {
    400: (RunwayRequestError, "kie.ai calls the request malformed"),
    401: (RunwayAuthenticationError, "the API key is missing or wrong; check the password of the connection"),
    402: (RunwayCreditsError, "the account has not enough credits; top it up at https://kie.ai"),
    403: (RunwayAuthenticationError, "access is refused; check the API key and what it may do"),
    404: (RunwayRequestError, "there is no such thing at kie.ai; check the host of the connection"),
    408: (RunwayUpstreamSilentError, "the generation service behind kie.ai did not answer"),
    422: (RunwayRequestError, "kie.ai calls a value invalid"),
    429: (RunwayRateLimitError, "too many requests; this one was not queued and not charged"),
    433: (RunwayCreditsError, "this API key has reached its usage cap; raise it at https://kie.ai"),
    451: (RunwayRequestError, "kie.ai could not fetch the image; its URL must be public"),
    455: (RunwayMaintenanceError, "kie.ai is under maintenance"),
    500: (RunwayServerError, "kie.ai reports an error of its own"),
    501: (RunwayTaskFailedError, "the generation failed"),
    505: (RunwayRequestError, "kie.ai has disabled this feature"),
}


def read_envelope(
    status: int, body: bytes | str, *, retry_after: str | None = None, is_lookup: bool = False
) -> Any:
    """
    Return the ``data`` of an answer.

    :param status: The HTTP status.
    :param body: The body as it came.
    :param retry_after: The ``Retry-After`` header, if there was one.
    :param is_lookup: Whether the status of a task was asked for.
    :raises RunwayError: the kind of error that the code stands for; :class:`RunwayUnreadableAnswerError`
        where the answer is not one of kie.ai's.
    """
    pause = parse_retry_after(retry_after)
    envelope = _parse(body, status)
    if envelope is None:
        if _is_refusal(status, is_lookup):
            raise error_for_code(status, _excerpt(body), retry_after=pause)
        raise RunwayUnreadableAnswerError(
            f"HTTP {status} with a body that is not an answer of kie.ai: {_excerpt(body)!r}",
            code=status,
            retry_after=pause,
        )
    code, message, data = envelope
    if code == 200:
        return data
    if not 400 <= code < 600:
        raise RunwayUnreadableAnswerError(
            f"an answer with the code {code}, which is not one of kie.ai's: {_excerpt(message)!r}",
            code=code,
            retry_after=pause,
        )
    raise error_for_code(code, message, retry_after=pause)


def error_for_code(code: int, message: str, *, retry_after: float | None = None) -> RunwayError:
    """
    Return the error that a code stands for.

    :param code: A body code of kie.ai from 400 to 599, or an HTTP status that came without an envelope.
    :param message: kie.ai's own words.
    :param retry_after: Seconds that the server asked to wait.
    """
    said = _excerpt(message)
    if code in CODES:
        kind, meaning = CODES[code]
    elif 400 <= code < 500:
        kind, meaning = RunwayRequestError, "the request is refused"
    else:
        kind, meaning = RunwayServerError, "kie.ai reports an error of its own"
    if kind is RunwayTaskFailedError:
        return task_failure(None, code, said)
    return kind(f"code {code}: {said!r} ({meaning})", code=code, retry_after=retry_after)


def parse_retry_after(value: str | None) -> float | None:
    """
    Return the seconds from now that a ``Retry-After`` header asks for, or ``None`` where it names none.

    :param value: The header's value: seconds, or an HTTP date.
    """
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,6}(\.[0-9]{1,6})?\s*", value, re.ASCII):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _is_refusal(status: int, is_lookup: bool) -> bool:
    """Return whether an HTTP status says, without an envelope, that the request was not carried out."""
    # A gateway's page tells of a creation that it did not reach kie.ai, but nothing of a task that may be
    # there, nor of the key: kie.ai rejects one in an envelope.
    return status == 429 or (400 <= status < 500 and status not in (408, 499) and not is_lookup)


def _parse(body: bytes | str, status: int) -> tuple[int, str, Any] | None:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(envelope, dict):
        return None
    code = values.number(envelope.get("code"))
    if code is None or not code.is_integer():
        return None
    if status >= 400 and not {"msg", "data"} & envelope.keys():
        # A gateway's error can be JSON with a code, too.
        return None
    return int(code), values.text(envelope.get("msg")) or "", envelope.get("data")


def _excerpt(body: bytes | str) -> str:
    text = body[:2000].decode("utf-8", "replace") if isinstance(body, bytes) else body[:2000]
    text = " ".join(values.clean(text).split())
    return text if len(text) <= 300 else f"{text[:300]}…"

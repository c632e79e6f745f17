"""The envelope ``{code, msg, data}`` of every answer, and the one table of what its codes and words mean.

kie.ai usually reports errors as HTTP 200 with a body code; real HTTP errors are 429, 403, 404 and 5xx. Where
a body is an envelope, it has the last word, whatever the HTTP status. The code is not always the meaning: the
same one stands for different things, and the words tell which.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from airflow_provider_runway.api import values
from airflow_provider_runway.api.tasks import NO_CREDITS, PASSES, task_failure
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayCreditsError,
    RunwayError,
    RunwayMaintenanceError,
    RunwayRateLimitError,
    RunwayRequestError,
    RunwayServerError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayUnreadableAnswerError,
    RunwayUpstreamSilentError,
)


class Call(Enum):
    """What was asked of kie.ai."""

    CREATION = "a creation"
    LOOKUP = "the status of a task"
    OTHER = "anything else"


@dataclass(frozen=True)
class Meaning:
    """
    What some of the answers that are no success mean.

    :param codes: Their codes: of the envelope or, where there is none, of HTTP.
    :param kind: Their kind of error. Whether a look-up or a creation may be repeated, and whether a
        creation's fate is unknown, are properties of it: ``repeat_lookup``, ``repeat_creation`` and
        ``creation_unknown``.
    :param text: What that is and what to do.
    :param words: What their text says; ``None`` means anything.
    :param calls: What they answer.
    :param bare: Whether they come without an envelope.
    """

    codes: Collection[int]
    kind: type[RunwayError]
    text: str
    words: re.Pattern[str] | None = None
    calls: Collection[Call] = tuple(Call)
    bare: bool = False

    def fits(self, code: int, said: str, *, call: Call, is_bare: bool) -> bool:
        """Return whether an answer is one of these."""
        return (
            code in self.codes
            and call in self.calls
            and (is_bare or not self.bare)
            and (self.words is None or self.words.search(said) is not None)
        )


_1010 = re.compile(r"error code: 1010")
_USER_AGENT = (
    "the edge in front of kie.ai refused the request for its User-Agent: check what a proxy does to that "
    "header; it says nothing about the API key"
)
# Spring, which answers where no program of kie.ai does.
_NO_PATH = re.compile(r'^\{(?=.*"timestamp")(?=.*"status")(?=.*"error")(?=.*"path")')
_CHECK_HOST = "kie.ai has no such path; check the host of the connection"
_MISSING = re.compile(r"\bis required\b|\bmissing required\b", re.IGNORECASE)
_OF_A_TASK = (Call.CREATION, Call.LOOKUP)
_NO_LOOKUP = (Call.CREATION, Call.OTHER)

#: What an answer means is said by the first row that fits (kie.ai's documentation of its codes, and answers
#: that were seen). The words of an answer to a look-up say nothing about its task, so only its code counts.
MEANINGS = (
    Meaning((403,), RunwayUnreadableAnswerError, _USER_AGENT, words=_1010, calls=(Call.LOOKUP,), bare=True),
    Meaning((403,), RunwayAuthenticationError, _USER_AGENT, words=_1010, bare=True),
    Meaning(
        (404,),
        RunwayRequestError,
        f"{_CHECK_HOST}, and its extra 'api': one generation of the API may be retired",
        words=_NO_PATH,
        calls=_OF_A_TASK,
        bare=True,
    ),
    Meaning((404,), RunwayRequestError, _CHECK_HOST, words=_NO_PATH, bare=True),
    Meaning((404, 422), RunwayTaskNotFoundError, "there is no record of it", calls=(Call.LOOKUP,)),
    Meaning(
        (400, 422, 500),
        RunwayCreditsError,
        "the account has not enough credits; top it up at https://kie.ai",
        words=NO_CREDITS,
        calls=_NO_LOOKUP,
    ),
    Meaning(
        (400, 422),
        RunwayServerError,
        "kie.ai reports a trouble that passes",
        words=PASSES,
        calls=_NO_LOOKUP,
    ),
    Meaning((500,), RunwayRequestError, "kie.ai misses a value", words=_MISSING, calls=_NO_LOOKUP),
    Meaning((400,), RunwayRequestError, "kie.ai calls the request malformed"),
    Meaning(
        (401,),
        RunwayAuthenticationError,
        "the API key is missing or wrong; check the password of the connection",
    ),
    Meaning((402,), RunwayCreditsError, "the account has not enough credits; top it up at https://kie.ai"),
    Meaning((403,), RunwayAuthenticationError, "access is refused; check the API key and what it may do"),
    Meaning((404,), RunwayRequestError, "there is no such thing at kie.ai; check the host of the connection"),
    Meaning((408,), RunwayUpstreamSilentError, "the generation service behind kie.ai did not answer"),
    Meaning((422,), RunwayRequestError, "kie.ai calls a value invalid"),
    Meaning((429,), RunwayRateLimitError, "too many requests; this one was not queued and not charged"),
    Meaning((433,), RunwayCreditsError, "this API key has reached its usage cap; raise it at https://kie.ai"),
    Meaning((451,), RunwayRequestError, "kie.ai could not fetch the image; its URL must be public"),
    Meaning((455,), RunwayMaintenanceError, "kie.ai is under maintenance"),
    Meaning((501,), RunwayTaskFailedError, "the generation failed", calls=_OF_A_TASK),
    Meaning(
        (502, 503, 504, *range(520, 525)),
        RunwayUpstreamSilentError,
        "a gateway answered in the place of kie.ai's service",
    ),
    Meaning((505,), RunwayRequestError, "kie.ai has disabled this feature"),
    Meaning(range(400, 500), RunwayRequestError, "the request is refused"),
    Meaning(range(500, 600), RunwayServerError, "kie.ai reports an error of its own"),
)


def read_envelope(
    status: int, body: bytes | str, *, retry_after: str | None = None, call: Call = Call.OTHER
) -> Any:
    """
    Return the ``data`` of an answer.

    :param status: The HTTP status.
    :param body: The body as it came.
    :param retry_after: The ``Retry-After`` header, if there was one.
    :param call: What was asked for.
    :raises RunwayError: the kind of error that the code stands for; :class:`RunwayUnreadableAnswerError`
        where the answer is not one of kie.ai's.
    """
    pause = parse_retry_after(retry_after)
    envelope = _parse(body, status)
    if envelope is None:
        code, said = status, _excerpt(body)
        meaning = _meaning(code, said, call=call, is_bare=True)
        if meaning is None or not (meaning.bare or _is_refusal(status, call)):
            raise RunwayUnreadableAnswerError(
                f"HTTP {status} with a body that is not an answer of kie.ai: {said!r}",
                code=status,
                retry_after=pause,
            )
    else:
        code, message, data = envelope
        if code == 200:
            return data
        said = _excerpt(message)
        meaning = _meaning(code, said, call=call, is_bare=False)
        if meaning is None:
            raise RunwayUnreadableAnswerError(
                f"an answer with the code {code}, which is not one of kie.ai's: {said!r}",
                code=code,
                retry_after=pause,
            )
    if meaning.kind is RunwayTaskFailedError:
        raise task_failure(None, code, said)
    said_by = "HTTP" if envelope is None else "code"
    raise meaning.kind(f"{said_by} {code}: {said!r} ({meaning.text})", code=code, retry_after=pause)


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


def _meaning(code: int, said: str, *, call: Call, is_bare: bool) -> Meaning | None:
    return next((row for row in MEANINGS if row.fits(code, said, call=call, is_bare=is_bare)), None)


def _is_refusal(status: int, call: Call) -> bool:
    """Return whether an HTTP status says, without an envelope, that the request was not carried out."""
    # A gateway's page tells of a creation that it did not reach kie.ai, but nothing of a task that may be
    # there, nor of the key: kie.ai rejects one in an envelope.
    return status == 429 or (400 <= status < 500 and status not in (408, 499) and call is not Call.LOOKUP)


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
    text = values.one_line(text)
    return text if len(text) <= 300 else f"{text[:300]}…"

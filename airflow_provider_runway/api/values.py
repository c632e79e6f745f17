"""Reads the values of kie.ai's answers in every form: null, "", missing, int or text, ISO or epoch, nested
JSON.

Every reader is total: whatever it is given, it returns a value of its type or ``None``.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

#: In which kie.ai writes calendar times that name no zone: seen beside a Date header, eight hours ahead.
_KIE_ZONE = timezone(timedelta(hours=8))
_CANNOT_BE_STORED = re.compile("[\x00\ud800-\udfff]")
_STEERS_TERMINALS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(text: str) -> str:
    """Return the text without what no database column and no log file takes (NUL, lone surrogates)."""
    return _CANNOT_BE_STORED.sub("�", text)


def one_line(text: str) -> str:
    """Return the text as one line for errors and logs: without control characters and lone surrogates."""
    return _STEERS_TERMINALS.sub("�", " ".join(text.split()))


def mapping(value: Any) -> dict[str, Any]:
    """Return an object, decoded from JSON text (also from JSON within JSON); anything else is empty."""
    value = _decoded(value)
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """Return a list, decoded from JSON text; any other single value is a list of one."""
    value = _decoded(value)
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str | None:
    """Return a text that says something (neither blank nor ``"null"``); an integer becomes its digits."""
    if isinstance(value, str):
        return clean(value) if value.strip() not in ("", "null") else None
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_integer and abs(value) < 10**30 else None


def identifier(value: Any) -> str | None:
    """Return a Runway task ID: a text without white space and control characters."""
    candidate = text(value)
    return candidate if candidate and candidate.isprintable() and " " not in candidate else None


def url(value: Any) -> str | None:
    """Return an absolute http(s) URL that every HTTP client can take."""
    candidate = identifier(value)
    if candidate is None:
        return None
    try:
        parts = urlsplit(candidate)
        _ = parts.port
    except ValueError:
        return None
    return candidate if parts.scheme in ("http", "https") and parts.hostname else None


def number(value: Any) -> float | None:
    """Return a finite number, given as such or as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def failure_code(value: Any) -> int | str | None:
    """Return a failure code: an int where it is numeric, else the text; ``None`` for no failure (0, too)."""
    code = number(value)
    if code is not None:
        return int(code) or None
    return text(value)


def flag(value: Any) -> bool:
    """Return whether a flag is set: ``1``, ``"1"``, ``true`` or ``"true"``."""
    return value is True or number(value) == 1 or (isinstance(value, str) and value.strip().lower() == "true")


def is_calendar_time(value: Any) -> bool:
    """Return whether a time is written as a date rather than as an epoch."""
    return isinstance(value, str) and number(value) is None and instant(value) is not None


def instant(value: Any) -> datetime | None:
    """
    Return a moment in UTC: from epoch seconds or milliseconds (number or text), or a calendar time, which is
    in UTC+8 where it names no zone.
    """
    epoch = number(value)
    if epoch is not None:
        # Seconds reach 10^11 in the year 5138; milliseconds passed it in 1973.
        seconds = epoch / 1000 if abs(epoch) >= 1e11 else epoch
        try:
            return datetime.fromtimestamp(seconds, timezone.utc) if seconds > 0 else None
        except (ValueError, OverflowError, OSError):
            return None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        return moment.replace(tzinfo=moment.tzinfo or _KIE_ZONE).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _decoded(value: Any) -> Any:
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value

"""Makes of what a DAG author left in XComs what JSON can say, whatever its type is."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

_LONGEST_TEXT = 10_000
_LARGEST = 2**53


def text(value: Any) -> str | None:
    """Return a text that is not empty, cut where it is very long; ``None`` for anything else."""
    if not isinstance(value, str) or not value:
        return None
    # Half of a surrogate pair cannot be sent.
    return value[:_LONGEST_TEXT].encode(errors="replace").decode()


def number(value: Any) -> float | int | None:
    """
    Return a number that is not negative and that a browser can read; ``None`` for anything else.

    :param value: The number, or a text that is one: Airflow's own model stores numbers as JSON in a text.
    """
    if isinstance(value, str) and re.fullmatch(r"\d{1,16}(\.\d{1,16})?", value, re.ASCII):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= _LARGEST else None


def whole(value: Any) -> int | None:
    """Return a whole number, out of a text too, as templates make it; ``None`` for anything else."""
    found = number(value.strip() if isinstance(value, str) else value)
    return int(found) if found is not None and found == int(found) else None


def mapping(value: Any) -> dict[str, Any]:
    """Return a dictionary; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def moment(value: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    if value is None:
        return None
    aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).isoformat(timespec="milliseconds")

"""Makes of what a DAG author left in XComs what JSON can say, whatever its type is."""

from __future__ import annotations

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
    """Return a number that is not negative and that a browser can read; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= _LARGEST else None


def whole(value: Any) -> int | None:
    """Return a whole number, out of a text too, as templates make it; ``None`` for anything else."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    found = number(value)
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

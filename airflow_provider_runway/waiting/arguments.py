"""Reads what people write for a wait: durations."""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_runway.exceptions import RunwayValidationError

#: Seconds between two polls at least, whatever interval is chosen.
SHORTEST_INTERVAL = 1.0


def seconds(field: str, value: float | timedelta | None, *, at_least: float = 0.0) -> float | None:
    """
    Return a duration in seconds.

    :param field: The argument's name, for the error.
    :param value: Seconds, or a ``timedelta``.
    :param at_least: What a shorter one is taken for, in seconds.
    :raises RunwayValidationError: a value that is neither, or not positive.
    """
    if value is None:
        return None
    result = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(result, bool) or not isinstance(result, int | float) or not 0 < result < float("inf"):
        raise RunwayValidationError(
            f"{field}={value!r}: must be a positive number of seconds, or a timedelta."
        )
    return max(at_least, float(result))

"""How long to pause after a failure: exponential, with jitter, and never less than the server asked for."""

from __future__ import annotations

import random

#: Longest pause in seconds after a failed poll, unless the server asks for a longer one.
LONGEST_BACKOFF = 60.0


def pause_before_creation(refusals: int, retry_after: float | None) -> float:
    """
    Return the seconds until a creation that was refused for now is sent again.

    Drawn from a range that doubles, up to a minute: what was refused together must not come back together.

    :param refusals: How many there were in a row, from 1.
    :param retry_after: Seconds that the server asked to wait, if it did.
    """
    spread = min(LONGEST_BACKOFF, 10.0 * 2 ** min(refusals - 1, 10))
    return (1.0 if retry_after is None else retry_after) + random.uniform(0.0, spread)


def backoff(failures: int, retry_after: float | None, *, shortest: float = 1.0) -> float:
    """
    Return the seconds to wait after a failure: exponential, with jitter, and never less than the server asked
    for.

    :param failures: How many there were in a row, from 1.
    :param retry_after: Seconds that the server asked to wait, if it did.
    :param shortest: Lower bound of the first pause in seconds.
    """
    pause = min(LONGEST_BACKOFF, max(1.0, shortest) * 2 ** min(failures - 1, 10))
    jittered = random.uniform(0.75 * pause, 1.25 * pause)
    return jittered if retry_after is None else max(jittered, retry_after + random.uniform(0.0, 1.0))

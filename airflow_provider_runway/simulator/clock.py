"""The simulator's clock: the wall's, which a test can put forward instead of waiting."""

from __future__ import annotations

import time


class Clock:
    """Unix seconds, ``advanced`` by some.

    :param advanced: seconds before the wall clock.
    """

    def __init__(self, advanced: float = 0.0) -> None:
        self.advanced = advanced

    def now(self) -> float:
        """Return the simulated time in Unix seconds."""
        return time.time() + self.advanced

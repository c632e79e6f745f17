"""How long each kind of task usually takes, and from that, when a look is worth its request.

No look before a video can be ready, dense around the time it usually is, wider after that, up to a bound.
What is known beforehand is replaced by what this process has seen: a service that is slower today is asked
later today.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

#: How many recent tasks of a kind count.
_MEMORY = 32
#: From how many on they replace what was known beforehand.
_ENOUGH = 5
#: How many times as fast or as slow as known beforehand a task is taken to be at most.
_FARTHEST = 4.0
#: Looks over the time in which a task usually ends.
_LOOKS = 6


@dataclass(frozen=True)
class Usual:
    """
    When tasks of a kind end, in seconds from the start of their generation.

    :param earliest: Hardly one ends before.
    :param latest: Hardly one ends after.
    :param longest_pause: The widest that looks at a late one get apart, in seconds.
    """

    earliest: float
    latest: float
    longest_pause: float = 15.0

    @property
    def pause(self) -> float:
        """Seconds between two looks in the time in which the end is likely."""
        return min(self.longest_pause, max(2.0, (self.latest - self.earliest) / _LOOKS))


#: A generation of 5 s in 720p was seen to take 31 to 41 s; Aleph takes 2 to 15 minutes (kie.ai's
#: documentation). Of the others nothing is known beforehand but that they cost more, or are made in the same
#: way.
KNOWN_BEFOREHAND = {
    "generate-5s-720p": Usual(30.0, 45.0),
    "generate-10s-720p": Usual(35.0, 90.0),
    "generate-5s-1080p": Usual(35.0, 90.0),
    "generate": Usual(30.0, 45.0),
    "extend": Usual(30.0, 60.0),
    "aleph": Usual(110.0, 900.0, longest_pause=20.0),
}


class Durations:
    """What this process knows of how long tasks take."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, float], deque[float]] = {}

    def record(self, kind: str, seconds: float, speed: float = 1.0) -> None:
        """
        Learn from a task that has its video.

        :param kind: The kind of task, one of :data:`KNOWN_BEFOREHAND`.
        :param seconds: How long it was generated, or would have been by the real service.
        :param speed: How many times as fast the one is that was asked: a simulator says nothing of another.
        """
        before = KNOWN_BEFOREHAND.get(kind, KNOWN_BEFOREHAND["generate"])
        bounded = min(max(seconds, before.earliest / _FARTHEST), before.latest * _FARTHEST)
        self._seen.setdefault((kind, speed), deque(maxlen=_MEMORY)).append(bounded)

    def usual(self, kind: str, speed: float = 1.0) -> Usual:
        """
        Return when tasks of a kind usually end.

        :param kind: The kind of task; an unknown one counts as ``generate``.
        :param speed: How many times as fast the one is that is asked.
        """
        before = KNOWN_BEFOREHAND.get(kind, KNOWN_BEFOREHAND["generate"])
        seen = sorted(self._seen.get((kind, speed), ()))
        if len(seen) < _ENOUGH:
            return before
        # One straggler in twenty must not widen the pauses for all.
        cut = len(seen) // 20
        return Usual(seen[cut] * 0.99, seen[-1 - cut] * 1.01, before.longest_pause)


def seconds_to_next_look(usual: Usual, generated_for: float) -> float:
    """
    Return how long to wait before the next look at a task that was not ready just now.

    :param usual: When such tasks end.
    :param generated_for: For how many seconds at most it has been generated so far.
    """
    first_look = usual.earliest + usual.pause
    if generated_for < usual.earliest:
        pause = first_look - generated_for
    else:
        late = max(0.0, generated_for - usual.latest)
        pause = min(usual.longest_pause, usual.pause + late / 4)
    # Tasks that were submitted together are not to be looked at together.
    return pause + random.uniform(0.0, 0.1) * usual.pause

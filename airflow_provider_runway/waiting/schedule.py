"""How long each kind of task usually takes, and from that, when a poll is worth its request.

Polling is inspecting for an end that nobody announces. Polls and delay together cost least where polls get
denser with the square root of the hazard, the chance that a task that is not ready yet gets ready now. So
there is no poll before a video can be ready, and stragglers are polled ever less often. Where this process
sees the ends of what is known beforehand, they move: a service that is slower today is asked later today.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

#: Seconds of delay that one request is worth, at a task that takes :data:`_SHORT` seconds.
DELAY_PER_LOOK = 0.54
_SHORT = 40.0
#: Where a task takes longer, a second matters less: by this power of how many times as long.
_MATTERS_LESS = 0.4
#: Seconds between two polls at least: less is lost in what Airflow itself takes to go on.
_SHORTEST_PAUSE = 2.0
#: How many recent tasks of a kind count.
_MEMORY = 64
#: From how many on they replace what was known beforehand.
_ENOUGH = 5
#: How many times as fast or as slow as known beforehand a task is taken to be at most.
_FARTHEST = 4.0


@dataclass(frozen=True)
class Usual:
    """
    When tasks of a kind end, in seconds from the start of their generation.

    :param eighths: When none, one eighth, two eighths and so on have ended; hardly one ends after the last.
    """

    eighths: tuple[float, ...]

    @property
    def earliest(self) -> float:
        """Hardly one ends before, in seconds."""
        return self.eighths[0]

    @property
    def latest(self) -> float:
        """Hardly one ends after, in seconds."""
        return self.eighths[-1]

    def next_look(self, age: float, step: float = 1.0) -> float:
        """
        Return the age at which a task is worth the next poll.

        :param age: For how long it has been generated without being ready, in seconds.
        :param step: How much of a poll to go on by; other than 1 for jitter.
        """
        ends, bins = self.eighths, len(self.eighths) - 1
        middle = ends[bins // 2]
        # Density of polls: the root of hazard / scale. The hazard of an eighth grows as fewer are left.
        scale = 2 * DELAY_PER_LOOK * (middle / _SHORT) ** _MATTERS_LESS
        start = now = max(age, ends[0])
        left = step
        found = None
        for index, (begin, end) in enumerate(pairwise(ends)):
            if now >= end:
                continue
            width = bins * (end - begin)
            rest = (bins - index) / bins - (now - begin) / width
            looks_a_root = 2 * sqrt(width / scale)
            looks = looks_a_root * (sqrt(rest) - sqrt((bins - index - 1) / bins))
            if left <= looks:
                found = begin + width * ((bins - index) / bins - (sqrt(rest) - left / looks_a_root) ** 2)
                break
            left, now = left - looks, end
        if found is None:
            found = _straggler(middle, now, left, scale)
        if start >= ends[-2]:
            # One straggler among those that were seen is not to widen the pauses for all.
            found = min(found, _straggler(middle, start, step, scale))
        return max(found, start + _SHORTEST_PAUSE)


def _straggler(middle: float, now: float, step: float, scale: float) -> float:
    """Of those that are later than the middle one by some time, half are still missing after twice that."""
    return middle + (sqrt(max(0.0, now - middle)) + step * sqrt(scale) / 2) ** 2


def _even(earliest: float, latest: float) -> Usual:
    return Usual(tuple(earliest + (latest - earliest) * part / 8 for part in range(9)))


#: A generation of 5 s in 720p was seen to take 31 to 41 s; Aleph takes 2 to 15 minutes (kie.ai's
#: documentation), most of it less than 6. Of the others nothing is known beforehand but that they cost more,
#: or are made in the same way.
KNOWN_BEFOREHAND = {
    "generate-5s-720p": _even(30.0, 45.0),
    "generate-10s-720p": _even(35.0, 90.0),
    "generate-5s-1080p": _even(35.0, 90.0),
    "generate": _even(30.0, 45.0),
    "extend": _even(30.0, 60.0),
    "aleph": Usual((110.0, 160.0, 190.0, 215.0, 240.0, 280.0, 330.0, 430.0, 900.0)),
}


class Durations:
    """What this process knows of how long tasks take."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, float], deque[float]] = {}
        self._usual: dict[tuple[str, float], Usual] = {}

    def record(self, kind: str, seconds: float, speed: float = 1.0) -> None:
        """
        Learn from a task that has its video.

        :param kind: The kind of task, one of :data:`KNOWN_BEFOREHAND`.
        :param seconds: How long it was generated, or would have been by the real service.
        :param speed: How many times as fast the one is that was asked: a simulator says nothing of another.
        """
        before = _known_beforehand(kind)
        bounded = min(max(seconds, before.earliest / _FARTHEST), before.latest * _FARTHEST)
        self._seen.setdefault((kind, speed), deque(maxlen=_MEMORY)).append(bounded)
        self._usual.pop((kind, speed), None)

    def usual(self, kind: str, speed: float = 1.0) -> Usual:
        """
        Return when tasks of a kind usually end.

        :param kind: The kind of task; an unknown one counts as ``generate``.
        :param speed: How many times as fast the one is that is asked.
        """
        before = _known_beforehand(kind)
        seen = self._seen.get((kind, speed), ())
        if len(seen) < _ENOUGH:
            return before
        if (kind, speed) not in self._usual:
            self._usual[kind, speed] = _moved(before, sorted(seen))
        return self._usual[kind, speed]


def long_done(kind: str | None) -> float:
    """
    Return after how many seconds a task surely has ended, in all but the oddest cases.

    :param kind: The kind of task; an unknown one counts as ``generate``.
    """
    return 1.2 * _known_beforehand(kind or "generate").latest + 20.0


def _known_beforehand(kind: str) -> Usual:
    return KNOWN_BEFOREHAND.get(kind, KNOWN_BEFOREHAND["generate"])


def _moved(before: Usual, seen: list[float]) -> Usual:
    """Return what was known with its first and its seventh eighth where they were seen."""
    first, last = (_quantile(seen, part) for part in (1 / 8, 7 / 8))
    stretch = max(0.01, (last - first) / (before.eighths[-2] - before.eighths[1]))
    lowest = before.earliest / _FARTHEST
    moved = (first + (moment - before.eighths[1]) * stretch for moment in before.eighths)
    return Usual(tuple(max(lowest + index * 0.01, moment) for index, moment in enumerate(moved)))


def _quantile(ordered: list[float], part: float) -> float:
    place = part * (len(ordered) + 1) - 1
    index = min(max(int(place), 0), len(ordered) - 2)
    return ordered[index] + (ordered[index + 1] - ordered[index]) * (place - index)


def seconds_to_next_look(usual: Usual, generated_for: float) -> float:
    """
    Return how long to wait before the next poll of a task that was not ready just now.

    :param usual: When such tasks end.
    :param generated_for: For how many seconds at most it has been generated so far.
    """
    # Tasks that were submitted together are not to be polled together.
    return usual.next_look(generated_for, random.uniform(0.95, 1.05)) - generated_for

"""What is asked for, and which blow falls when: all of it follows from the number of tasks and the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DAG_ID = "chaos"
#: The Airflow tasks that store their videos, too.
STORING = ("deferred", "in_worker")

#: Share of the videos that each way of waiting gets.
SHARES = {"deferred": 0.6, "in_worker": 0.15, "submitted": 0.25}

#: Kinds of kills with their weights.
KILLS = {
    "task process": 8,
    "worker": 8,
    "triggerer": 7,
    "simulator": 4,
    "scheduler with its workers": 2,
    "scheduler alone": 2,
    "API server": 2,
}

#: The same with the CeleryExecutor. A worker is a machine: it dies with all its tasks.
CELERY_KILLS = {
    "task process": 8,
    "worker": 6,
    "triggerer": 5,
    "simulator": 3,
    "scheduler": 4,
    "API server": 4,
    "PostgreSQL": 2,
    "Redis": 3,
    "S3 server": 3,
    "worker cut off": 2,
}

CREATION = "/api/v1/runway/generate"
LOOKUP = "/api/v1/runway/record-detail"
RESULT = "/results/"

#: Faults with their weights. Those that carry a creation out and lose the answer are what `unknown` is for.
FAULTS: list[tuple[int, dict[str, Any]]] = [
    (5, {"kind": "slow", "path": CREATION, "count": 4, "seconds": 3}),
    (3, {"kind": "drop_after", "path": CREATION}),
    (2, {"kind": "drop_before", "path": CREATION}),
    (1, {"kind": "html", "path": CREATION, "status": 502}),
    (1, {"kind": "html", "path": CREATION, "status": 504, "carried_out": True}),
    (1, {"kind": "garbage", "path": CREATION, "carried_out": True}),
    (2, {"kind": "body_code", "path": CREATION, "code": 500, "count": 2}),
    (1, {"kind": "body_code", "path": CREATION, "code": 455, "count": 2}),
    (2, {"kind": "http_error", "path": CREATION, "status": 429, "count": 3, "headers": {"Retry-After": "2"}}),
    (2, {"kind": "upstream_failure", "path": CREATION}),
    (3, {"kind": "http_error", "path": LOOKUP, "status": 503, "count": 4}),
    (2, {"kind": "drop_after", "path": LOOKUP, "count": 3}),
    (2, {"kind": "garbage", "path": LOOKUP, "count": 3}),
    (2, {"kind": "http_error", "path": LOOKUP, "status": 429, "count": 3}),
    (1, {"kind": "slow", "path": LOOKUP, "count": 3, "seconds": 4}),
    # So that kills fall while videos are stored.
    (4, {"kind": "slow", "path": RESULT, "count": 4, "seconds": 4}),
    (3, {"kind": "truncated_download", "path": RESULT, "count": 3}),
    (1, {"kind": "http_error", "path": RESULT, "status": 503, "count": 2}),
    (1, {"kind": "http_error", "path": RESULT, "status": 403}),
]


def prompts(tasks: int) -> dict[str, list[str]]:
    """Return a prompt for each video, none of them twice, by the Airflow task that asks for it.

    :param tasks: how many videos, at least 3
    """
    counts = {name: max(1, round(tasks * share)) for name, share in SHARES.items()}
    counts["deferred"] += tasks - sum(counts.values())
    return {name: [f"chaos {name} {number:04d}" for number in range(n)] for name, n in counts.items()}


@dataclass(frozen=True)
class Blow:
    """A kill and when it falls.

    :param pause: seconds after the one before
    :param kind: one of those of the deployment
    :param chance: from 0 to 1, chooses among several victims
    """

    pause: float
    kind: str
    chance: float


def blows(number: int, seed: int, mean_pause: float, weights: Mapping[str, int] = KILLS) -> list[Blow]:
    """Return the kills in their order. As many as there are kinds hold each kind at least once.

    :param number: how many
    :param seed: decides all of them
    :param mean_pause: mean seconds from one to the next
    :param weights: the kinds with their weights
    """
    chance = random.Random(seed)
    kinds = list(weights)[:number]
    kinds += chance.choices(list(weights), weights=list(weights.values()), k=number - len(kinds))
    chance.shuffle(kinds)
    return [Blow(chance.uniform(0.4, 1.6) * mean_pause, kind, chance.random()) for kind in kinds]


def faults(seed: int) -> Iterator[dict[str, Any]]:
    """Yield faults for ever.

    :param seed: decides all of them
    """
    chance = random.Random(seed + 1)
    weights = [weight for weight, _ in FAULTS]
    while True:
        yield dict(chance.choices([fault for _, fault in FAULTS], weights=weights)[0])

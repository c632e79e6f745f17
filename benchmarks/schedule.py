"""Requests per video and delay of the default schedule beside fixed intervals, simulated: a table and a plot.

python -m benchmarks.schedule docs/images/schedule.png
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.waiting.poller import Poller
from airflow_provider_runway.waiting.schedule import Durations
from benchmarks.tables import table

INTERVALS = (5.0, 10.0, 30.0, 60.0)
VIDEOS = 4000

Draw = Callable[[random.Random], float]

#: What kind of task, and how many seconds it takes.
WORLDS: dict[str, tuple[str, Draw]] = {
    "5 s, 720p: 30 to 45 s": ("generate-5s-720p", lambda r: r.uniform(30, 45)),
    "the same on a slow day: 60 to 90 s": ("generate-5s-720p", lambda r: r.uniform(60, 90)),
    "Aleph: 2 to 15 min, mostly 4": (
        "aleph",
        lambda r: min(900.0, max(120.0, r.lognormvariate(5.48, 0.5))),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What one way to poll cost and brought."""

    polls: float
    delay_p50: float
    delay_p95: float


def simulate(kind: str, draw: Draw, interval: float | None) -> Outcome:
    """
    Wait for many videos, one after another, and return the polls for one and the delay after it was ready.

    :param kind: The kind of task.
    :param draw: Draws how long a task takes, in seconds.
    :param interval: Seconds between two polls; ``None`` is the default schedule.
    """
    numbers = random.Random(11)
    random.seed(13)
    model = "aleph" if kind == "aleph" else "runway"
    durations = Durations()
    polls, delays = [], []
    for _ in range(VIDEOS):
        ready_at = draw(numbers)
        poller = Poller(
            runway_task_id="1",
            model=model,
            end_time=1e9,
            started_at=0.0,
            poll_interval=interval,
            kind=kind,
            durations=durations,
        )
        # A deferral takes some seconds before its first poll.
        now, count, is_ready = numbers.uniform(2, 6) if interval else 0.0, 0, False
        while not is_ready:
            now += poller.next_delay(now)
            count += 1
            is_ready = now >= ready_at
            state = TaskState.SUCCESS if is_ready else TaskState.GENERATING
            url = "https://example.com/video.mp4" if is_ready else None
            poller.on_task(RunwayTask("1", model, state, video_url=url), now)
        polls.append(count)
        delays.append(now - ready_at)
    delays.sort()
    return Outcome(mean(polls), median(delays), delays[int(len(delays) * 0.95)])


def outcomes() -> dict[str, dict[str, Outcome]]:
    """Return, for each kind of task, what each way to poll cost and brought."""
    return {
        world: {
            "default schedule": simulate(kind, draw, None),
            **{f"every {interval:.0f} s": simulate(kind, draw, interval) for interval in INTERVALS},
        }
        for world, (kind, draw) in WORLDS.items()
    }


def tables(found: dict[str, dict[str, Outcome]]) -> str:
    """Return them as one Markdown table."""
    rows = [
        [world, way, f"{outcome.polls:.1f}", f"{outcome.delay_p50:.1f} s", f"{outcome.delay_p95:.1f} s"]
        for world, ways in found.items()
        for way, outcome in ways.items()
    ]
    head = ["tasks", "polling", "requests per video", "delay p50", "delay p95"]
    return f"### When to poll ({VIDEOS:,} simulated videos each)\n\n" + table(head, rows)


def plot(found: dict[str, dict[str, Outcome]], path: Path) -> None:
    """Draw them: down and to the left is better."""
    import matplotlib  # type: ignore[import-not-found,unused-ignore]

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(13, 4.8), layout="constrained")
    for axis, (world, ways) in zip(axes, found.items(), strict=True):
        fixed = [(way, outcome) for way, outcome in ways.items() if way != "default schedule"]
        axis.plot(
            [outcome.polls for _, outcome in fixed],
            [outcome.delay_p50 for _, outcome in fixed],
            "o--",
            color="#8a8f98",
            label="fixed interval",
        )
        for way, outcome in fixed:
            axis.annotate(
                way,
                (outcome.polls, outcome.delay_p50),
                xytext=(7, 4),
                textcoords="offset points",
                color="#555b64",
                fontsize=9,
            )
        ours = ways["default schedule"]
        axis.plot(ours.polls, ours.delay_p50, "D", color="#0b7a75", markersize=9, label="default schedule")
        axis.annotate(
            f"default: {ours.polls:.1f} polls, {ours.delay_p50:.1f} s",
            (ours.polls, ours.delay_p50),
            xytext=(9, -14),
            textcoords="offset points",
            color="#0b7a75",
            fontsize=9,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
        axis.set_title(world, fontsize=11)
        axis.set_xlabel("requests per video")
        axis.set_yscale("log")
        axis.set_yticks([1, 2, 5, 10, 20, 30], labels=["1", "2", "5", "10", "20", "30"])
        axis.minorticks_off()
        axis.set_ylim(0.4, 60)
        axis.set_xlim(0, max(outcome.polls for outcome in ways.values()) * 1.25)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("median delay after the video is ready (s)")
    axes[0].legend(loc="upper right", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    results = outcomes()
    print(tables(results))
    if len(sys.argv) > 1:
        plot(results, Path(sys.argv[1]))

"""Waiting: this package beside other providers' triggers and a bare loop, all asking servers of one kind."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.local_server import LocalServer
from benchmarks.processes import environment, run_module
from benchmarks.tables import Found, table


@dataclass(frozen=True)
class Entry:
    """
    A row: a side and how often it polls.

    :param floor: The title of the bare loop that polls when this one does.
    :param light: Whether it can be measured together with others, since none of them keeps a core busy.
    """

    title: str
    side: str
    interval: float | None
    floor: str
    light: bool = True
    https_only: bool = False


FLOOR = "floor: bare loop, every 5 s"
FLOOR_OPERATOR = "floor: bare loop, when the operator polls"
FLOOR_SENSOR = "floor: bare loop, when the sensor polls"
OURS = "ours, every 5 s"
OPERATOR = "ours, default schedule (operator)"
SENSOR = "ours, default schedule (sensor)"
PEER = "`HttpEventTrigger`, every 5 s"

ENTRIES = [
    Entry(FLOOR, "floor", 5.0, FLOOR),
    Entry(OURS, "ours", 5.0, FLOOR),
    Entry(FLOOR_OPERATOR, "floor", None, FLOOR_OPERATOR),
    Entry(OPERATOR, "ours", None, FLOOR_OPERATOR),
    Entry(FLOOR_SENSOR, "floor_sensor", None, FLOOR_SENSOR),
    Entry(SENSOR, "ours_sensor", None, FLOOR_SENSOR),
    Entry(PEER, "http", 5.0, FLOOR, light=False),
    Entry("`DbtCloudRunJobTrigger`, every 5 s", "dbt", 5.0, FLOOR, light=False, https_only=True),
]

HEAD = [
    "implementation",
    "CPU per poll ÷ floor",
    "the same, once all have started",
    "CPU per poll ÷ `HttpEventTrigger`",
    "CPU per task ÷ `HttpEventTrigger`",
    "polls per task",
    "delay p50",
    "delay p95",
    "memory per wait",
    "longest stall while starting (CPU)",
    "longest stall afterwards (CPU)",
    "connections",
    "finished",
]


@dataclass(frozen=True)
class Load:
    """
    What all sides have to do.

    :param tasks: How many wait at once.
    :param https: Whether the server speaks HTTPS.
    :param start_over: Seconds over which the starts are spread evenly; 0 means all at once.
    :param together: Whether the light sides are measured at the same time, each with a server of its own.
    :param rounds: How often the light sides are measured; the median counts.
    :param leave_out: Titles of rows that are not measured.
    :param ready_after: Between how many seconds the tasks are ready, uniformly.
    :param patience: Seconds after which waits that have not ended are given up.
    """

    tasks: int
    https: bool
    start_over: float
    together: bool
    rounds: int = 1
    leave_out: tuple[str, ...] = ()
    ready_after: tuple[float, float] = (30.0, 45.0)
    patience: float = 150.0

    @property
    def entries(self) -> list[Entry]:
        """The rows."""
        fitting = [entry for entry in ENTRIES if self.https or not entry.https_only]
        return [entry for entry in fitting if entry.title not in self.leave_out]

    @property
    def heading(self) -> str:
        """The heading of the table."""
        return f"### {self.tasks:,} waiting tasks, {'HTTPS' if self.https else 'HTTP'}"

    @property
    def conditions(self) -> str:
        """How it was measured, in sentences."""
        spread = (
            f"In every row, the waits start evenly over {self.start_over:g} s"
            if self.start_over
            else "In every row, all waits start at once, as after a triggerer restart"
        )
        how = ". The rows are measured one after another."
        if self.together:
            how = (
                ". The floors and ours are measured at the same time, each with its own server, so that "
                "other load on the machine affects all of them alike; the other providers are measured "
                "one after another."
            )
        rounds = f" Medians of {self.rounds} rounds (other providers: one)." if self.rounds > 1 else ""
        return spread + how + rounds


def run(load: Load, keep: Callable[[str], None] = lambda _: None) -> Found:
    """
    Measure all sides and return the table.

    :param load: What they have to do.
    :param keep: Is given the table as far as it is known.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    light = [entry for entry in load.entries if entry.light and load.together]
    groups = [light] * load.rounds if light else []
    groups += [[entry] for entry in load.entries if entry not in light]
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-") as name:
        for group in groups:
            with ThreadPoolExecutor(len(group)) as pool:
                for entry, measured in zip(
                    group,
                    pool.map(lambda entry: _measure(entry, load, Path(name)), group),
                    strict=True,
                ):
                    results.setdefault(entry.title, []).append(measured)
                    print(f"  {entry.title}: {_short(measured)}", file=sys.stderr, flush=True)
            keep(found_in(results, load).text)
    return found_in(results, load)


def _measure(entry: Entry, load: Load, folder: Path) -> dict[str, Any]:
    own = folder / entry.title.encode().hex()[:80]
    own.mkdir(exist_ok=True)
    with LocalServer(own, https=load.https) as server:
        more = {"SSL_CERT_FILE": str(server.authority)} if server.authority else {}
        measured = run_module(
            "benchmarks.waiter",
            {
                "side": entry.side,
                "interval": entry.interval,
                "tasks": load.tasks,
                "host": server.host,
                "scheme": server.scheme,
                "authority": str(server.authority) if server.authority else None,
                "ready_after": load.ready_after,
                "start_over": load.start_over,
                "patience": load.patience,
            },
            environment(own, **more),
            timeout=load.patience + 120,
        )
        return {**measured, "server": server.counters()}


def _short(result: dict[str, Any]) -> dict[str, Any]:
    seen = {name: value for name, value in result["server"].items() if name != "polls_by_second"}
    return {**result, "server": seen}


def _per_poll(result: dict[str, Any]) -> float:
    return float(result["cpu"] / max(1, result["server"]["polls"]))


def _per_task(result: dict[str, Any]) -> float:
    return float(result["cpu"] / max(1, result["finished"]))


def _settled_per_poll(result: dict[str, Any]) -> float | None:
    settled = result["settled"]
    if not settled:
        return None
    by_second = result["server"]["polls_by_second"].items()
    polls = sum(count for second, count in by_second if settled["from"] <= int(second) < settled["to"])
    # The default schedule has no polls in that time, or a few strays.
    return float(settled["cpu"] / polls) if polls >= result["finished"] else None


def found_in(results: dict[str, list[dict[str, Any]]], load: Load) -> Found:
    def middle(title: str, value: Callable[[dict[str, Any]], float]) -> float:
        return median(value(result) for result in results[title])

    def ratio(title: str, base: str, value: Callable[[dict[str, Any]], float | None]) -> str:
        if base not in results:
            return ""
        # Side by side: those that were measured in the same round.
        pairs = zip(results[title], results[base], strict=False)
        found = [(value(one), value(other)) for one, other in pairs]
        numbers = [one / other for one, other in found if one is not None and other]
        return f"{median(numbers):.2f}" if numbers else ""

    rows, facts = [], {}
    for entry in load.entries:
        title = entry.title
        if title not in results:
            continue
        cells = [
            ratio(title, entry.floor, _per_poll),
            ratio(title, entry.floor, _settled_per_poll),
            ratio(title, PEER, _per_poll),
            ratio(title, PEER, _per_task),
            f"{middle(title, lambda r: r['server']['polls'] / max(1, r['finished'])):.1f}",
            f"{middle(title, lambda r: r['delay_p50'] or 0):.2f} s",
            f"{middle(title, lambda r: r['delay_p95'] or 0):.2f} s",
            f"{middle(title, lambda r: r['memory'] / load.tasks / 1024):.1f} KiB",
            f"{middle(title, lambda r: r['start_stall']['wall']) * 1000:.0f} "
            f"({middle(title, lambda r: r['start_stall']['cpu']) * 1000:.0f}) ms",
            f"{middle(title, lambda r: r['stall']['wall']) * 1000:.0f} "
            f"({middle(title, lambda r: r['stall']['cpu']) * 1000:.0f}) ms",
            f"{middle(title, lambda r: r['server']['connections']):.0f}",
            f"{middle(title, lambda r: r['finished']):.0f}",
        ]
        rows.append([title, *cells])
        scheme = "https" if load.https else "http"
        facts[f"{title}, {load.tasks}, {scheme}, poll ÷ floor"] = cells[0]
        facts[f"{title}, {load.tasks}, {scheme}, task ÷ peer"] = cells[3]
    return Found(f"{load.heading}\n\n{load.conditions}\n\n{table(HEAD, rows)}", facts)

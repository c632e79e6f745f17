"""Waiting: this package beside other providers' triggers and a bare loop, all asking one server."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.local_server import LocalServer
from benchmarks.processes import environment, run_module
from benchmarks.tables import table


@dataclass(frozen=True)
class Entry:
    """A row: a side at an interval."""

    title: str
    side: str
    interval: float | None
    https_only: bool = False


ENTRIES = [
    Entry("floor: bare loop, one session, every 5 s", "floor", 5.0),
    Entry("ours, every 5 s", "ours", 5.0),
    Entry("ours, default schedule (operator)", "ours", None),
    Entry("ours, default schedule (sensor)", "ours_sensor", None),
    Entry("`HttpEventTrigger`, every 5 s", "http", 5.0),
    Entry("`DbtCloudRunJobTrigger`, every 5 s", "dbt", 5.0, https_only=True),
]


def run(
    *,
    https: bool,
    tasks: int,
    rounds: int = 1,
    ready_after: tuple[float, float] = (30.0, 45.0),
    patience: float = 240.0,
    entries: list[Entry] | None = None,
) -> str:
    """
    Measure all sides in turn and return the tables.

    :param https: Whether the server speaks HTTPS.
    :param tasks: How many wait at once.
    :param rounds: How often each side is measured; the median counts.
    :param ready_after: Between how many seconds the tasks are ready, uniformly.
    :param patience: Seconds after which waits that have not ended are given up.
    :param entries: The rows; ``None`` means all.
    """
    chosen = [entry for entry in entries or ENTRIES if https or not entry.https_only]
    results: dict[str, list[dict[str, Any]]] = {entry.title: [] for entry in chosen}
    with (
        tempfile.TemporaryDirectory(prefix="runway-benchmark-") as name,
        LocalServer(Path(name), https=https) as server,
    ):
        more = {"SSL_CERT_FILE": str(server.authority)} if server.authority else {}
        env = environment(Path(name), **more)
        for _ in range(rounds):
            for entry in chosen:
                server.counters()
                measured = run_module(
                    "benchmarks.waiter",
                    {
                        "side": entry.side,
                        "interval": entry.interval,
                        "tasks": tasks,
                        "host": server.host,
                        "scheme": server.scheme,
                        "authority": str(server.authority) if server.authority else None,
                        "ready_after": ready_after,
                        "patience": patience,
                    },
                    env,
                    timeout=patience + 120,
                )
                results[entry.title].append({**measured, "server": server.counters()})
                print(f"  {entry.title}: {results[entry.title][-1]}", file=sys.stderr, flush=True)
    return _tables(results, tasks=tasks, https=https)


def _tables(results: dict[str, list[dict[str, Any]]], *, tasks: int, https: bool) -> str:
    floor, *_ = results
    peer = next((title for title in results if "HttpEventTrigger" in title), None)

    def middle(title: str, value: Any) -> float:
        return median(value(result) for result in results[title])

    def cpu_per_look(result: dict[str, Any]) -> float:
        return float(result["cpu"] / max(1, result["server"]["looks"]))

    def cpu_per_task(result: dict[str, Any]) -> float:
        return float(result["cpu"] / max(1, result["finished"]))

    rows = []
    for title in results:
        look, task = middle(title, cpu_per_look), middle(title, cpu_per_task)
        rows.append(
            [
                title,
                f"{look / middle(floor, cpu_per_look):.2f}",
                f"{look / middle(peer, cpu_per_look):.2f}" if peer else "",
                f"{task / middle(peer, cpu_per_task):.2f}" if peer else "",
                f"{middle(title, lambda r: r['server']['looks'] / max(1, r['finished'])):.1f}",
                f"{middle(title, lambda r: r['delay_p50'] or 0):.2f} s",
                f"{middle(title, lambda r: r['delay_p95'] or 0):.2f} s",
                f"{middle(title, lambda r: r['memory'] / tasks / 1024):.1f} KiB",
                f"{middle(title, lambda r: r['start_stall']['wall']) * 1000:.0f} "
                f"({middle(title, lambda r: r['start_stall']['cpu']) * 1000:.0f}) ms",
                f"{middle(title, lambda r: r['stall']['wall']) * 1000:.0f} "
                f"({middle(title, lambda r: r['stall']['cpu']) * 1000:.0f}) ms",
                f"{middle(title, lambda r: r['server']['connections']):.0f}",
                f"{middle(title, lambda r: r['finished']):.0f}",
            ]
        )
    return f"### {tasks:,} waiting tasks, {'HTTPS' if https else 'HTTP'}\n\n" + table(
        [
            "side",
            "CPU per look ÷ floor",
            "CPU per look ÷ `HttpEventTrigger`",
            "CPU per task ÷ `HttpEventTrigger`",
            "looks per task",
            "delay p50",
            "delay p95",
            "memory per waiter",
            "longest stall while starting (of it CPU)",
            "longest stall then (of it CPU)",
            "connections",
            "finished",
        ],
        rows,
    )

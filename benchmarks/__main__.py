"""Run the benchmark and print its tables: ``python -m benchmarks [--quick] [--only PART] [--write-docs]``."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import calling, in_airflow, parsing, storing, waiting
from benchmarks.processes import REPOSITORY
from benchmarks.tables import Found, table
from tests.harness.documents import write_between

PAGE = REPOSITORY / "docs" / "performance.md"
PLOT = REPOSITORY / "docs" / "images" / "schedule.png"
OUTPUT = REPOSITORY / ".benchmark.md"
#: What is between a heading, sentences and a table.
BLANK = "\n\n"

Keep = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """
    A part of the benchmark.

    :param name: Its passage in the page is ``benchmark NAME``.
    :param run: Measures; is given what keeps a result that is not yet whole.
    """

    name: str
    run: Callable[[Keep], Found]


def parts(*, quick: bool) -> list[Part]:
    """Return all parts, in the order in which they are measured: what others do not disturb comes first."""
    from benchmarks import downloading

    if quick:
        loads = [waiting.Load(20, True, 1.0, True, rounds=2, ready_after=(2.0, 4.0), patience=60.0)]
    else:
        # In HTTP and of 10,000, what was learned with 1,000 in HTTPS is not measured again.
        floors = (waiting.FLOOR_OPERATOR, waiting.FLOOR_SENSOR)
        loads = [
            waiting.Load(1_000, True, 5.0, True, rounds=2),
            waiting.Load(1_000, False, 5.0, True),
            waiting.Load(10_000, True, 0.0, False, leave_out=floors),
            waiting.Load(10_000, False, 0.0, False, leave_out=(*floors, waiting.SENSOR)),
        ]
    return [
        Part("schedule", _schedule),
        Part("parsing", lambda _: parsing.run(repetitions=2 if quick else 8)),
        Part(
            "download", lambda _: downloading.run(mebibytes=64 if quick else 1024, rounds=1 if quick else 4)
        ),
        *(
            Part(
                f"waiting {load.tasks:,} {'HTTPS' if load.https else 'HTTP'}",
                lambda keep, load=load: waiting.run(load, keep),  # type: ignore[misc]
            )
            for load in loads
        ),
        Part(
            "airflow",
            lambda keep: in_airflow.run(
                tasks=4 if quick else 200, patience=200.0 if quick else 300.0, keep=keep
            ),
        ),
        Part(
            "storing",
            lambda keep: storing.run(
                videos=3 if quick else 200, patience=200.0 if quick else 900.0, keep=keep
            ),
        ),
        Part(
            "callbacks",
            lambda keep: calling.run(
                videos=12 if quick else 200,
                patience=300.0 if quick else 900.0,
                keep=keep,
            ),
        ),
    ]


def _schedule(_: Keep) -> Found:
    from benchmarks import schedule

    found = schedule.outcomes()
    first = next(iter(found.values()))
    facts = {
        f"{who}, {what}": f"{getattr(first[way], name):.1f}"
        for who, way in (("ours", "default schedule"), ("fixed", "every 5 s"))
        for what, name in (("polls", "polls"), ("delay", "delay_p50"))
    }
    each = f"{schedule.VIDEOS:,} simulated videos each."
    return Found(f"### When to poll\n\n{each}\n\n{schedule.tables(found).split(BLANK, 1)[1]}", facts)


def summary(facts: dict[str, str]) -> str:
    """
    Return the table that says all of it in a few lines.

    :param facts: What the parts have found.
    """
    https = "1000, https"

    def fact(name: str) -> str:
        return facts.get(name) or "?"

    poll_ours, poll_peer = (fact(f"{title}, {https}, poll ÷ floor") for title in (waiting.OURS, waiting.PEER))
    default = [fact(f"{title}, {https}, poll ÷ floor") for title in (waiting.OPERATOR, waiting.SENSOR)]
    task = [fact(f"{title}, {https}, task ÷ peer") for title in (waiting.OPERATOR, waiting.SENSOR)]
    rows = [
        [
            "CPU per poll, 1,000 waits over HTTPS, every 5 s",
            f"{poll_ours} × a bare loop over `aiohttp`",
            f"`HttpEventTrigger`: {poll_peer} ×",
        ],
        [
            "the same, default schedule (operator, sensor)",
            f"{' and '.join(default)} × a bare loop that polls at the same moments",
            "",
        ],
        [
            "CPU per finished task, default schedule (operator, sensor)",
            f"{' and '.join(task)} × `HttpEventTrigger`",
            "every 5 s",
        ],
        [
            "polls per video that takes 30 to 45 s, and median delay",
            f"{fact('ours, polls')}, and {fact('ours, delay')} s",
            f"every 5 s: {fact('fixed, polls')}, and {fact('fixed, delay')} s",
        ],
        [
            "worker processes for 200 waits: sensor, mapped sensor, operator",
            ", ".join(fact(f"{way.title}, starts") for way in in_airflow.WAYS[:3]),
            f"`HttpSensor`: {fact(f'{in_airflow.PEER}, starts')} deferrable, "
            f"{fact(f'{in_airflow.PEER_RESCHEDULE}, starts')} rescheduled",
        ],
        [
            "median time from the end at kie.ai to the end of the task, and status requests: with callbacks",
            f"{fact(f'{calling.CALLED}, over')}, and {fact(f'{calling.CALLED}, status requests')}",
            "polling only, default schedule and every 5 s: "
            + "; ".join(
                f"{fact(f'{title}, over')}, and {fact(f'{title}, status requests')}"
                for title in (calling.DEFAULT, calling.FIXED)
            ),
        ],
        [
            "worker starts and worker seconds from prompt to file: one task, three tasks",
            ", ".join(
                f"{fact(f'{way.title}, starts per video')} and {fact(f'{way.title}, seconds per video')}"
                for way in storing.WAYS[:2]
            ),
            "HTTP provider: "
            f"{fact(f'{storing.PEER}, starts per video')} and {fact(f'{storing.PEER}, seconds per video')}",
        ],
        [
            "importing operators and sensor",
            f"{fact(parsing.OURS)} on top of `airflow.sdk`",
            f"HTTP provider: {fact(parsing.PEER)}",
        ],
        ["download", f"{fact('throughput')} × `curl`'s throughput, {fact('memory')} more memory", ""],
    ]
    return table(["what", "this package", "compared with"], rows).replace("--:", "---")


def session(began: float) -> str:
    """
    Return a sentence about when and with what all of it was measured.

    :param began: When, in epoch seconds.
    """
    names = (
        "apache-airflow",
        "apache-airflow-providers-http",
        "apache-airflow-providers-dbt-cloud",
        "aiohttp",
    )
    installed = {name: next(iter(importlib.metadata.distributions(name=name)), None) for name in names}
    start = time.strftime("%Y-%m-%d %H:%M", time.gmtime(began))
    return (
        f"All tables were measured in one session of {(time.time() - began) / 60:.0f} minutes, "
        f"started {start} UTC: "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}, "
        + ", ".join(f"{name} {found.version}" for name, found in installed.items() if found)
        + "."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: to see that it works")
    parser.add_argument(
        "--only", action="append", metavar="PART", help="parts whose names begin so; can be given again"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="the tables go there as they come, unfinished ones too"
    )
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="put each whole table into docs/performance.md, and at the end the summary",
    )
    options = parser.parse_args()
    if options.write_docs and options.quick:
        parser.error("--quick is for a try, not for the documentation")
    began = time.time()
    chosen = [
        part
        for part in parts(quick=options.quick)
        if not options.only or part.name.startswith(tuple(options.only))
    ]
    if not chosen:
        parser.error(f"--only: there are {', '.join(part.name for part in parts(quick=options.quick))}")
    if options.write_docs:
        write_between(PAGE, "benchmark session", "The tables were not all measured in one session.")
    whole: list[str] = []
    failed: list[str] = []
    facts: dict[str, str] = {}

    so_far = [""]

    def keep(text: str) -> None:
        so_far[0] = text
        options.output.write_text("\n".join([*whole, text]), encoding="utf-8")

    # Airflow is imported here as well, and must not touch the user's own.
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-home-") as home:
        os.environ["AIRFLOW_HOME"] = home
        for part in chosen:
            print(f"{time.time() - began:5.0f} s  {part.name} ...", file=sys.stderr, flush=True)
            try:
                found = part.run(keep)
            except Exception:
                # What it has measured so far is kept, and so are the parts after it.
                traceback.print_exc()
                failed.append(part.name)
                whole.append(f"{so_far[0]}\n{part.name} failed.\n")
                keep("")
                continue
            whole.append(found.text)
            facts |= found.facts
            keep("")
            if options.write_docs:
                text = found.text.partition(BLANK)[2]
                # The four tables about waiting share a section of the page, each other part has its own.
                with_heading = part.name.startswith("waiting")
                write_between(PAGE, f"benchmark {part.name}", found.text if with_heading else text)
        if options.write_docs and "schedule" in [part.name for part in chosen]:
            _plot()
    if not options.only and not failed:
        whole = [session(began) + "\n", summary(facts), *whole]
        keep("")
        if options.write_docs:
            write_between(PAGE, "benchmark session", session(began))
            write_between(PAGE, "benchmark summary", summary(facts))
    print("\n".join(whole))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


def _plot() -> None:
    from benchmarks import schedule

    schedule.plot(schedule.outcomes(), PLOT)


if __name__ == "__main__":
    main()

"""Run the benchmark and print its tables: ``python -m benchmarks [--quick] [--only PART]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

PARTS = ("schedule", "parsing", "download", "waiting", "airflow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: to see that it works")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; can be given again")
    parser.add_argument("--output", type=Path, help="write the tables there, too")
    options = parser.parse_args()
    # Airflow is imported here as well, and must not touch the user's own.
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-home-") as home:
        os.environ["AIRFLOW_HOME"] = home
        found = [f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}\n"]
        for part, run in _parts(quick=options.quick):
            if not options.only or part in options.only:
                print(f"{part} ...", file=sys.stderr, flush=True)
                found.append(run())
                if options.output:
                    options.output.write_text("\n".join(found))
    print("\n".join(found))


def _parts(*, quick: bool) -> list[tuple[str, Callable[[], str]]]:
    from benchmarks import downloading, in_airflow, parsing, schedule, waiting

    if quick:
        waits = [lambda: waiting.run(https=True, tasks=20, ready_after=(2.0, 4.0), patience=60.0)]
    else:
        waits = [
            partial(waiting.run, https=https, tasks=tasks)
            for tasks in (1_000, 10_000)
            for https in (True, False)
        ]
    return [
        ("schedule", lambda: schedule.tables(schedule.outcomes())),
        ("parsing", lambda: parsing.run(repetitions=2 if quick else 15)),
        (
            "download",
            lambda: downloading.run(mebibytes=64 if quick else 1024, rounds=1 if quick else 6),
        ),
        *(("waiting", wait) for wait in waits),
        (
            "airflow",
            lambda: in_airflow.run(sensors=4 if quick else 200, patience=300.0 if quick else 1800.0),
        ),
    ]


if __name__ == "__main__":
    main()

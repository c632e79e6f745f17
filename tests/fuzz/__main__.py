"""Goes on fuzzing for as long as one likes: ``make fuzz FLAGS="--minutes 30"``; exit code 1 at a finding."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

home = tempfile.mkdtemp(prefix="runway-fuzz-airflow-")
os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402

from airflow_provider_runway.compat import HAS_TABS  # noqa: E402
from tests.fuzz.targets import APP_TARGETS, TARGETS, Target  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Examples of one target before it is the next one's turn.
_ROUND = 500
#: Seconds that one example may take.
_LONGEST = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long (2)")
    parser.add_argument("--only", default="", help="targets whose name has this in it")
    chosen = parser.parse_args()
    # Not of interest: what is refused is logged, thousands of times.
    logging.disable(logging.CRITICAL)
    targets = [
        target for target in [*TARGETS, *(APP_TARGETS if HAS_TABS else ())] if chosen.only in target.name
    ]
    end = time.monotonic() + 60 * chosen.minutes
    tried = {target.name: 0 for target in targets}
    slowest = {target.name: 0.0 for target in targets}
    findings = 0
    while targets and time.monotonic() < end:
        for target in list(targets):
            try:
                fuzz(target, tried, slowest, end)
            except Exception as error:
                print(f"\n{target.name}:", *traceback.format_exception(error)[-3:], sep="\n")
                findings += 1
                targets.remove(target)
    print("\n| read | examples | slowest |\n|---|---:|---:|")
    for name, count in tried.items():
        print(f"| {name} | {count:,} | {slowest[name] * 1000:.0f} ms |")
    print(f"\n{sum(tried.values()):,} examples, {findings} findings.")
    return 1 if findings or not tried else 0


def fuzz(target: Target, tried: dict[str, int], slowest: dict[str, float], end: float) -> None:
    """
    Try one target for a round.

    :param tried: Counts its examples.
    :param slowest: Keeps the seconds of its slowest example.
    :param end: When to stop, by the monotonic clock.
    :raises Exception: what came out that must not; its notes tell for which example.
    """

    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn=target.draw)
    def check(drawn: Any) -> None:
        if time.monotonic() > end:
            return
        began = time.perf_counter()
        with no_longer_than(_LONGEST):
            target.check(drawn)
        tried[target.name] += 1
        slowest[target.name] = max(slowest[target.name], time.perf_counter() - began)

    check()


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raise in what takes longer."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"it took longer than {seconds} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    try:
        code = main()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)

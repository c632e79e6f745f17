"""Counts the mistakes that the tests notice: ``make mutation``, or a part: ``FLAGS="--sample 300"``.

Those that nobody notices are either in ``unnoticed.txt``, with the reason why they change nothing that
matters, or told at the end: then the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.util
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType

import pytest

from tests.harness.documents import write_between
from tests.mutation.mistakes import Mistake, mistakes_in

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
NAME = "airflow_provider_runway"
#: What is tried on a mistake: quick tests first, then, if they have noticed nothing, those that take longer.
TESTS = {
    "api": [
        ["tests/unit/api", "--ignore=tests/unit/api/test_properties.py"],
        ["tests/unit/api/test_properties.py", "tests/unit/test_fuzz.py", "tests/unit/test_exceptions.py"],
        ["tests/integration/test_hook.py", "tests/integration/test_generations.py"],
    ],
    "waiting": [
        ["tests/unit/test_polling.py", "tests/unit/test_schedule.py"],
        ["tests/integration/test_trigger.py", "tests/integration/test_operators.py"],
        ["tests/integration/test_sensor.py", "tests/integration/durable/test_waits.py"],
    ],
    "submissions": [
        ["tests/unit/test_submissions.py", "tests/unit/test_state.py", "tests/unit/test_tokens.py"],
        ["tests/integration/durable/test_retries.py", "tests/integration/durable/test_calls.py"],
        ["tests/integration/durable/test_clears.py", "tests/integration/durable/test_resubmissions.py"],
    ],
}
#: Seconds after which tests of each of these stages are taken to go on for ever, which people notice.
LONGEST = (120.0, 400.0, 400.0)
#: What the processes leave behind; each has a folder of its own.
SCRATCH = tempfile.mkdtemp(prefix="runway-mutation-")


class Loader(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Gives one module its source with the mistake."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self._module, self._path, self._source = module, path, source

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Find the module, and no other."""
        if name != self._module:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=self)

    def get_source(self, name: str) -> str:
        """Return its source."""
        return self._source

    def get_code(self, name: str) -> CodeType:
        """Return its code."""
        return compile(self._source, str(self._path), "exec", dont_inherit=True)


@dataclass
class Running:
    """A mistake that is being tried."""

    mistake: Mistake
    stage: int
    since: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutation", description=__doc__)
    parser.add_argument("folders", nargs="*", default=[], help=f"of the package ({', '.join(TESTS)})")
    parser.add_argument("--sample", type=int, help="how many mistakes, chosen by chance; all without it")
    parser.add_argument("--seed", type=int, default=1, help="of that choice (1)")
    parser.add_argument("--only", default="", help="those with this in their description")
    parser.add_argument("--stages", type=int, default=3, help="1: the quick tests alone (3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/testing.md")
    chosen = parser.parse_args()
    for stages in TESTS.values():
        del stages[chosen.stages :]
    mistakes = [one for folder in chosen.folders or TESTS for one in all_in(folder) if chosen.only in one.key]
    of_all = len(mistakes)
    if chosen.sample is not None and chosen.sample < of_all:
        mistakes = random.Random(chosen.seed).sample(mistakes, chosen.sample)
    warm_up()
    began = time.monotonic()
    right = [one for one in without_mistake() if one.module.split("/")[0] in (chosen.folders or TESTS)]
    if try_all([replace(one, source="raise AssertionError") for one in right], chosen.jobs):
        raise SystemExit("A module that cannot be imported is not noticed: the mistakes are not made.")
    if len(try_all(right, chosen.jobs)) < len(right):
        raise SystemExit("Without any mistake, tests fail.")
    endless: list[Mistake] = []
    unnoticed = try_all(mistakes, chosen.jobs, endless)
    for mistake in endless:
        print(f"Noticed because the tests went on for ever: {mistake.key}")
    is_whole = of_all == len(mistakes) and not chosen.folders
    code = report(mistakes, unnoticed, of_all, time.monotonic() - began, is_whole=is_whole)
    if chosen.write_docs:
        which = "All" if is_whole else f"{len(mistakes):,}, chosen by chance,"
        said = f"{which} of {of_all:,} mistakes were tried."
        text = "\n".join((said, "", *rows(mistakes, unnoticed)))
        write_between(REPOSITORY / "docs" / "testing.md", "mutation", text)
    return code


def all_in(folder: str) -> list[Mistake]:
    """Return all mistakes of a folder of the package."""
    return [
        mistake
        for path in sorted((REPOSITORY / NAME / folder).glob("*.py"))
        for mistake in mistakes_in(f"{folder}/{path.name}", path.read_text(encoding="utf-8"))
    ]


def without_mistake() -> list[Mistake]:
    """Return one module of each folder as it is, which all tests have to take for right."""
    found = {}
    for folder in TESTS:
        for path in (REPOSITORY / NAME / folder).glob("*.py"):
            found[folder] = Mistake(f"{folder}/{path.name}", "", "", 1, path.read_text(encoding="utf-8"))
    return list(found.values())


def warm_up() -> None:
    """Import what all trials need, once."""
    silent = os.open(os.devnull, os.O_WRONLY)
    out = os.dup(1)
    os.dup2(silent, 1)
    paths = [name for stages in TESTS.values() for stage in stages for name in stage if ".py" in name]
    code = pytest.main(["--collect-only", "-q", *(name for name in paths if not name.startswith("--"))])
    os.dup2(out, 1)
    if code != pytest.ExitCode.OK:
        raise SystemExit("The tests cannot be collected.")


def try_all(mistakes: list[Mistake], jobs: int, endless: list[Mistake] | None = None) -> list[Mistake]:
    """
    Try mistakes, several at once, and return those that no test has noticed.

    :param endless: Gets those with which the tests had to be stopped.
    """
    waiting = [Running(mistake, 0, 0.0) for mistake in reversed(mistakes)]
    running: dict[int, Running] = {}
    unnoticed: list[Mistake] = []
    done = 0
    while waiting or running:
        while waiting and len(running) < jobs:
            one = waiting.pop()
            one.since = time.monotonic()
            running[start(one.mistake, TESTS[one.mistake.module.split("/")[0]][one.stage])] = one
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            for child, one in running.items():
                if time.monotonic() - one.since > LONGEST[one.stage]:
                    os.killpg(child, signal.SIGKILL)
            time.sleep(0.02)
            continue
        one = running.pop(pid)
        shutil.rmtree(os.path.join(SCRATCH, str(pid)), ignore_errors=True)
        stages = TESTS[one.mistake.module.split("/")[0]]
        if status == 0 and one.stage + 1 < len(stages):
            waiting.append(Running(one.mistake, one.stage + 1, 0.0))
            continue
        done += 1
        if status == 0:
            unnoticed.append(one.mistake)
        if os.WIFSIGNALED(status) and endless is not None:
            endless.append(one.mistake)
        if done % 100 == 0:
            print(f"{done} of {len(mistakes)} tried, {len(unnoticed)} unnoticed", flush=True)
    return unnoticed


def start(mistake: Mistake, tests: list[str]) -> int:
    """Run tests on a mistake in a process of its own, whose exit code is 0 where they have not noticed it."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        tempfile.tempdir = os.path.join(SCRATCH, str(os.getpid()))
        os.mkdir(tempfile.tempdir)
        for name in list(sys.modules):
            if f"{name}.".startswith((f"{NAME}.", "tests.")):
                del sys.modules[name]
        module = f"{NAME}.{mistake.module.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")
        sys.meta_path.insert(0, Loader(module, REPOSITORY / NAME / mistake.module, mistake.source))
        # pytest would load the package by itself, for its plugin's sake, where it rewrites assertions.
        plain = ["--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
        code = int(pytest.main(["-x", "-q", *plain, *tests]))
    finally:
        os._exit(code)


def report(
    mistakes: list[Mistake], unnoticed: list[Mistake], of_all: int, seconds: float, *, is_whole: bool
) -> int:
    """Print the table and what nobody has noticed and nobody has explained; return the exit code."""
    explained = known()
    print("", *rows(mistakes, unnoticed), sep="\n")
    print(f"\n{len(mistakes)} of {of_all} mistakes in {seconds / 60:.0f} min.")
    new = sorted(mistake.key for mistake in unnoticed if mistake.key not in explained)
    for key in new:
        print(f"UNNOTICED: {key}")
    gone = explained - {mistake.key for mistake in unnoticed} if is_whole else set()
    for key in sorted(gone):
        print(f"In unnoticed.txt, but noticed or not there any more: {key}")
    return 1 if new or gone else 0


def rows(mistakes: list[Mistake], unnoticed: list[Mistake]) -> list[str]:
    """Return the lines of the table: how many mistakes of each module were noticed."""
    explained = known()
    tried = Counter(mistake.module for mistake in mistakes)
    equal = Counter(mistake.module for mistake in unnoticed if mistake.key in explained)
    missed = Counter(mistake.module for mistake in unnoticed if mistake.key not in explained)
    return [
        "| module | mistakes | noticed | change nothing | missed | share |",
        "|---|---:|---:|---:|---:|---:|",
        *(row(module, tried[module], equal[module], missed[module]) for module in tried),
        row("**all**", tried.total(), equal.total(), missed.total()),
    ]


def row(name: str, tried: int, equal: int, missed: int) -> str:
    """Return a row of the table; what changes nothing cannot be noticed."""
    noticed = tried - equal - missed
    share = 100 * noticed / (tried - equal) if tried > equal else 100.0
    return f"| {name} | {tried} | {noticed} | {equal} | {missed} | {share:.1f} % |"


def known() -> set[str]:
    """Return the mistakes that are known to change nothing that matters."""
    lines = (HERE / "unnoticed.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    try:
        exit_code = main()
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
    sys.exit(exit_code)

"""What is tried in each environment, and how its outcome is read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.cells import Cell, all_cells, interpreter
from tests.pins.renew import REPOSITORY

FOLDER = REPOSITORY / ".matrix"

#: Tests of a running Airflow: the complete story, and waits that outlive their triggerer.
STORIES = ("three_videos", "death_of_the_triggerer")
#: Each snippet of the README and the docs.
_TESTS = {
    "unit": ["tests/unit", "-n", "2"],
    "integration": ["tests/integration", "-m", "not slow", "-n", "4", "--dist", "loadfile"],
    "slow": ["tests/integration", "-m", "slow", "-n", "4", "--dist", "loadfile"],
    "system": ["tests/system/test_complete_story.py", "-k", " or ".join(STORIES)],
}
#: By name, in the order in which they are made, after the installation.
CHECKS = ("pip check", *_TESTS)
INSTALL = "install"
#: What is tried after a failure in a running Airflow: whether that runs a task of its own.
ALONE = "alone"
#: What the table counts as tests.
COUNTED = ("unit", "integration", "slow")
#: What takes long.
LONG = ("slow", "system")


@dataclass(frozen=True)
class Outcome:
    """
    How a check ended.

    :param good: Whether nothing failed.
    :param passed: How many tests passed, 0 where it is none.
    :param said: Its last line.
    """

    good: bool
    passed: int
    said: str


def checks_of(cell: Cell) -> list[str]:
    """
    Return the checks that are made in an environment.

    What takes long is tried with the first Python of each Airflow and day that this machine has.

    :param cell: The environment.
    """
    return [check for check in CHECKS if check not in LONG or is_first(cell)]


def is_first(cell: Cell) -> bool:
    """
    Return whether an environment is that of the lowest Python here for its Airflow.

    :param cell: The environment.
    """
    alike = [other for other in all_cells() if (other.airflow, other.column) == (cell.airflow, cell.column)]
    return cell == next((other for other in alike if interpreter(other.python)), None)


def try_it(check: str, cell: Cell) -> Outcome:
    """
    Make a check in an environment; all that it prints goes to a file beside that.

    :param check: One of :data:`CHECKS`, :data:`INSTALL`, which comes first, or :data:`ALONE`.
    :param cell: The environment.
    """
    environment = FOLDER / cell.name
    python = environment / "bin" / "python"
    if check == INSTALL:
        found = interpreter(cell.python)
        assert found, cell.python
        command = [found, str(REPOSITORY / "tests/pins/install.py"), str(environment), str(cell.pins)]
    elif check == "pip check":
        command = [str(python), "-m", "pip", "check"]
    elif check == ALONE:
        command = [str(python), "-m", "tests.matrix.alone"]
    else:
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *_TESTS[check]]
    log = FOLDER / f"{cell.name}-{check.replace(' ', '-')}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as output:
        code = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=_clean_environment(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    lines = log.read_text(errors="replace").strip().splitlines()
    passed = passed_in(lines)
    # Where all tests are skipped, nothing was tried.
    return Outcome(code == 0 and (passed > 0 or check not in _TESTS), passed, lines[-1] if lines else "")


def failures(found: Mapping[str, Outcome]) -> list[str]:
    """
    Return the checks that this package failed.

    :param found: The outcomes in one environment, by check.
    """
    failed = [check for check, outcome in found.items() if not outcome.good]
    return [check for check in failed if check not in {"system", ALONE}] if is_dead(found) else failed


def is_dead(found: Mapping[str, Outcome]) -> bool:
    """
    Return whether Airflow itself runs no task in an environment.

    :param found: The outcomes there, by check.
    """
    return ALONE in found and not found[ALONE].good


def passed_in(lines: list[str]) -> int:
    """
    Return how many tests passed, by pytest's last line.

    :param lines: What it printed.
    """
    found = re.search(r"\b(\d+) passed", lines[-1]) if lines else None
    return int(found[1]) if found else 0


def _clean_environment(environment: Path) -> dict[str, str]:
    # An Airflow that the user's shell is set up for must not reach into this one.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW")) and name not in {"PYTHONPATH", "PYTHONHOME"}
    }
    loopback = ["localhost", "127.0.0.1", "::1"]
    proxied = ",".join(filter(None, [kept.get("no_proxy") or kept.get("NO_PROXY"), *loopback]))
    home = {"AIRFLOW_HOME": str(environment / "airflow-home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return {**kept, **home, "no_proxy": proxied, "NO_PROXY": proxied}


def fingerprint() -> str:
    """
    Return what the outcomes are of: the package, its tests and examples, as they are now.

    The documentation is no part of it, since the table is written into it; its snippets are tried with the
    newest Airflow at each change.
    """
    paths = ["airflow_provider_runway", "tests", "example_dags", "pyproject.toml"]
    trees = [_git("rev-parse", f"HEAD:{path}") for path in paths]
    changed = _git("status", "--porcelain", "--", *paths)
    return _git(
        "hash-object", "--stdin", given="\n".join([*trees, changed, _git("diff", "HEAD", "--", *paths)])
    )


def _git(*arguments: str, given: str = "") -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout.strip()

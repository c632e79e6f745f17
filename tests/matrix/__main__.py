"""Test on every supported Airflow and Python, and print the table: ``python -m tests.matrix [--write-docs]``.

What has been tried is noted in ``.matrix`` and not tried again as long as the package and its tests stay as
they are, so that an interrupted run goes on where it was, and two runs of different Airflows can share a
machine.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import sys
import time
from dataclasses import asdict

from tests.harness.documents import write_between
from tests.matrix.cells import COLUMNS, Cell, all_cells, interpreter
from tests.matrix.checks import (
    ALONE,
    CHECKS,
    FOLDER,
    INSTALL,
    Outcome,
    checks_of,
    failures,
    fingerprint,
    is_first,
    try_it,
)
from tests.matrix.table import table
from tests.pins.renew import RELEASES, REPOSITORY

_NOTES = FOLDER / "outcomes.json"


def main() -> int:
    """Make the checks that were asked for, print the table, and return the exit code."""
    asked = _arguments()
    of = fingerprint()
    noted = _read(of)
    ends = time.monotonic() + asked.minutes * 60
    for cell in all_cells():
        todo = _todo(cell, asked, noted) if interpreter(cell.python) else []
        checks = [INSTALL, *todo] if todo else []
        for check in todo:
            noted.get(cell.name, {}).pop(check, None)
        for check in checks:
            if time.monotonic() > ends:
                break
            print(f"{time.strftime('%H:%M')}  {cell.name}: {check}", flush=True, file=sys.stderr)
            outcome = try_it(check, cell)
            print(f"       {outcome.said}", flush=True, file=sys.stderr)
            noted.setdefault(cell.name, {})[check] = outcome
            _note(of, cell.name, noted[cell.name])
            if check == INSTALL and not outcome.good:
                break
            if check == "system" and not outcome.good:
                checks.append(ALONE)
        if todo and not asked.keep:
            shutil.rmtree(FOLDER / cell.name, ignore_errors=True)
    noted = _read(of)
    text = table(noted)
    print(text)
    failed = [f"{name} {check}" for name, found in noted.items() for check in failures(found)]
    for name in failed:
        print(f"FAILED: {name}; see .matrix/{name.replace(' ', '-')}.log", file=sys.stderr)
    left_out = [f"{cell.name} {check}" for cell in _to_be_tried() for check in _todo(cell, asked, noted)]
    for name in left_out:
        print(f"NOT RUN: {name}", file=sys.stderr)
    if asked.write_docs and not failed and not left_out:
        for page in ("README.md", "docs/versions.md"):
            write_between(REPOSITORY / page, "matrix", text)
    return 1 if failed or left_out else 0


def _to_be_tried() -> list[Cell]:
    """Return the environments of the Pythons that are here, and all of an Airflow that none of them runs."""
    here = [cell for cell in all_cells() if interpreter(cell.python)]
    served = {cell.airflow for cell in here}
    return [cell for cell in all_cells() if cell in here or cell.airflow not in served]


def _todo(cell: Cell, asked: argparse.Namespace, noted: dict[str, dict[str, Outcome]]) -> list[str]:
    """Return the checks of a cell that were asked for and are not done: not made yet, or failed."""
    if not (cell.airflow in asked.airflow and cell.column in asked.column):
        return []
    if asked.python not in (None, cell.python) or (asked.first_python and not is_first(cell)):
        return []
    found = noted.get(cell.name, {})
    failed = failures(found)
    done = [check for check in found if check not in failed]
    return [check for check in checks_of(cell) if check in asked.check and check not in done]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--airflow", nargs="+", choices=RELEASES, default=list(RELEASES), help="only these")
    parser.add_argument("--python", metavar="3.12", help="only this one")
    parser.add_argument("--first-python", action="store_true", help="only the lowest that is here for each")
    parser.add_argument("--column", nargs="+", choices=COLUMNS, default=list(COLUMNS), help="only these days")
    parser.add_argument("--check", nargs="+", choices=CHECKS, default=list(CHECKS), help="only these")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing new after so many")
    parser.add_argument("--keep", action="store_true", help="leave the environments; each is 0.7 GB")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="write the table into the README and docs/versions.md, if all of it was run and passed",
    )
    return parser.parse_args()


def _read(of: str) -> dict[str, dict[str, Outcome]]:
    try:
        noted = json.loads(_NOTES.read_text())
    except (OSError, ValueError):
        return {}
    if noted["of"] != of:
        return {}
    return {
        name: {check: Outcome(**outcome) for check, outcome in found.items()}
        for name, found in noted["outcomes"].items()
    }


def _note(of: str, cell: str, found: dict[str, Outcome]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        # Another run may have noted others meanwhile.
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcomes = {
            name: {check: asdict(outcome) for check, outcome in checks.items()}
            for name, checks in {**_read(of), cell: found}.items()
        }
        _NOTES.write_text(json.dumps({"of": of, "outcomes": outcomes}, indent=1))


if __name__ == "__main__":
    sys.exit(main())

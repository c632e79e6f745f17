"""The outcomes as a table in Markdown, which says of each environment what was tried, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from tests.matrix.cells import COLUMNS, Cell, all_cells, interpreter
from tests.matrix.checks import COUNTED, Outcome

_HEAD = {"released": "with the packages of its release's day", "today": "with today's packages"}


def table(noted: Mapping[str, Mapping[str, Outcome]]) -> str:
    """
    Return the table.

    :param noted: By the name of the environment and that of the check.
    """
    rows = [
        f"| Airflow | Python | {' | '.join(_HEAD[column] for column in COLUMNS)} |",
        "| --- | --- | --- | --- |",
    ]
    for cell in all_cells():
        if cell.column != COLUMNS[0]:
            continue
        said = [_said(Cell(cell.airflow, cell.python, column), noted) for column in COLUMNS]
        rows.append(f"| {cell.airflow_release()} | {cell.python} | {' | '.join(said)} |")
    return "\n".join(rows)


def _said(cell: Cell, noted: Mapping[str, Mapping[str, Outcome]]) -> str:
    found = noted.get(cell.name, {})
    failed = [check for check, outcome in found.items() if not outcome.good]
    if failed:
        return f"**fails**: {', '.join(failed)}"
    tests = [f"{found[check].passed:,} {check}" for check in COUNTED if check in found]
    if not tests:
        return "not run" if interpreter(cell.python) else "not run: no such Python there"
    running = [
        said for check, said in (("pip check", "`pip check`"), ("system", "a real Airflow")) if check in found
    ]
    return f"passed: {', '.join(tests + running)}"

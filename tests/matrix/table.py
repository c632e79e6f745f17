"""The outcomes as a table in Markdown, which says of each environment what was tried, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from tests.matrix.cells import COLUMNS, Cell, all_cells, interpreter
from tests.matrix.checks import COUNTED, INSTALL, Outcome, checks_of, failures, is_dead

_HEAD = {"released": "with the packages of its release's day", "today": "with today's packages"}
_NO_PYTHON = "not run: no such Python there"
#: How checks are called that count no tests.
_NAMES = {"pip check": "`pip check`", "system": "a real Airflow"}


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


def whole(page: str) -> bool:
    """
    Return whether a page has a table of which all has passed but what there was no Python for.

    :param page: The text of the page, in Markdown.
    """
    passage = page.partition("<!-- matrix -->")[2].partition("<!-- end of matrix -->")[0]
    cells = [cell.strip() for line in passage.strip().splitlines()[2:] for cell in line.split("|")[3:5]]
    return bool(cells) and all(
        cell == _NO_PYTHON or (cell.startswith("passed: ") and "not run" not in cell) for cell in cells
    )


def _said(cell: Cell, noted: Mapping[str, Mapping[str, Outcome]]) -> str:
    found = noted.get(cell.name, {})
    if failed := failures(found):
        return f"**fails**: {', '.join(failed)}"
    if not set(found) - {INSTALL}:
        return "not run" if interpreter(cell.python) else _NO_PYTHON
    said = [f"{found[check].passed:,} {check}" for check in COUNTED if check in found]
    said += [name for check, name in _NAMES.items() if check in found and found[check].good]
    dead = "; this Airflow runs no task with them, not even one of its own" if is_dead(found) else ""
    left = [check for check in checks_of(cell) if check not in found]
    missing = f"; not run: {', '.join(left)}" if left else ""
    return f"passed: {', '.join(said)}{dead}{missing}"

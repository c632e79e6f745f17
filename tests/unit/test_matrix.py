from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.matrix import __main__ as matrix
from tests.matrix import checks
from tests.matrix.cells import Cell, all_cells, interpreter
from tests.matrix.checks import CHECKS, Outcome, checks_of, failures, passed_in, try_it
from tests.matrix.table import table, whole
from tests.pages import PAGES

PASSED = Outcome(good=True, passed=12, said="12 passed in 1.00s")
FAILED = Outcome(good=False, passed=11, said="1 failed, 11 passed in 1.00s")


TABLES = ("README.md", "docs/versions.md")
CELL = Cell("3.1", "3.11", "released")


def row(airflow: str, python: str, **noted: dict[str, Outcome]) -> str:
    """Return a row of the table that was made of these outcomes."""
    lines = table(noted and {f"{airflow}-{column}-{python}": found for column, found in noted.items()})
    return next(
        line for line in lines.splitlines() if line.startswith(f"| {airflow}.") and f"| {python} |" in line
    )


def test_what_was_not_tried_is_not_called_passed() -> None:
    assert "passed" not in table({})
    assert row("3.1", "3.12", released={"install": PASSED}).endswith("| not run | not run |")
    said = row("3.1", "3.12", released={"install": PASSED, "unit": PASSED})
    assert said.endswith("| passed: 12 unit; not run: pip check, integration | not run |")
    said = row("3.1", "3.12", released=dict.fromkeys(("pip check", "unit", "integration"), PASSED))
    assert said.endswith("| passed: 12 unit, 12 integration, `pip check` | not run |")


def test_a_failure_is_named_whatever_else_passed() -> None:
    said = row("3.1", "3.11", today={"pip check": PASSED, "unit": PASSED, "integration": FAILED})
    assert said.endswith("| not run | **fails**: integration |")


def test_an_airflow_that_runs_no_task_of_its_own_is_no_failure_of_the_package_but_said() -> None:
    found = {"unit": PASSED, "system": FAILED, "alone": FAILED}
    assert failures(found) == []
    said = row("3.0", "3.12", today=found)
    assert "passed: 12 unit; this Airflow runs no task with them" in said
    assert "a real Airflow" not in said


def test_what_fails_in_an_airflow_that_runs_tasks_of_its_own_is_a_failure() -> None:
    assert failures({"system": FAILED, "alone": PASSED}) == ["system"]
    assert failures({"integration": FAILED, "system": FAILED, "alone": FAILED}) == ["integration"]


def test_the_count_is_that_of_pytests_last_line() -> None:
    assert (
        passed_in(["5 passed in an example", "= 2 failed, 1769 passed, 3 skipped in 512.86s (0:08:32) ="])
        == 1769
    )
    assert passed_in(["no tests ran in 0.01s"]) == 0
    assert passed_in([]) == 0


def test_each_airflow_is_tested_with_the_packages_of_both_days() -> None:
    cells = list(all_cells())
    assert {cell.airflow for cell in cells} == {"2.11", "3.0", "3.1", "3.2", "3.3"}
    assert all(cell.pins.exists() for cell in cells)
    assert {cell.python for cell in cells if cell.airflow == "2.11"} == {"3.10", "3.11", "3.12"}
    assert "3.10" not in {cell.python for cell in cells if cell.airflow != "2.11"}


def test_a_whole_airflow_is_started_once_for_each_release_and_day() -> None:
    started = [cell for cell in all_cells() if "system" in checks_of(cell)]
    there = {(cell.airflow, cell.column) for cell in all_cells() if interpreter(cell.python)}
    assert sorted((cell.airflow, cell.column) for cell in started) == sorted(there)
    assert all(set(CHECKS) - {"slow", "system"} <= set(checks_of(cell)) for cell in all_cells())


@pytest.mark.parametrize(
    ("printed", "good"),
    [("3 passed in 0.1s", True), ("3 skipped in 0.1s", False), ("1 failed, 2 passed in 0.1s", False)],
)
def test_tests_that_are_all_skipped_have_not_passed(
    printed: str, good: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(command: list[str], **named: object) -> subprocess.CompletedProcess[str]:
        script = f"print({printed!r}); raise SystemExit({int('failed' in printed)})"
        return real_run([sys.executable, "-c", script], **named)  # type: ignore[call-overload,no-any-return]

    real_run = subprocess.run
    monkeypatch.setattr(checks, "FOLDER", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    assert try_it("unit", CELL).good == good


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is tried, in an environment that is there at once; of the unit tests, the first run fails."""
    tried: list[str] = []

    def try_instead(check: str, cell: Cell) -> Outcome:
        tried.append(check)
        return FAILED if check == "unit" and tried.count("unit") == 1 else PASSED

    monkeypatch.setattr(matrix, "FOLDER", tmp_path)
    monkeypatch.setattr(matrix, "_NOTES", tmp_path / "outcomes.json")
    monkeypatch.setattr(matrix, "fingerprint", lambda: "as it is")
    monkeypatch.setattr(matrix, "try_it", try_instead)
    asked = ["--airflow", "3.1", "--python", "3.11", "--column", "released"]
    monkeypatch.setattr(sys, "argv", ["matrix", *asked])
    return tried


@pytest.mark.skipif(interpreter("3.11") is None, reason="there is no such Python")
def test_what_failed_is_tried_again_and_what_passed_is_not(told: list[str]) -> None:
    assert matrix.main() == 1
    assert told == ["install", *checks_of(CELL)]
    told[:] = ["unit"]
    assert matrix.main() == 0
    assert told == ["unit", "install", "unit"]


@pytest.mark.skipif(interpreter("3.11") is None, reason="there is no such Python")
def test_what_was_asked_for_and_not_run_is_named_and_no_success(
    told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--minutes", "0"])
    assert matrix.main() == 1
    assert told == []
    assert f"NOT RUN: {CELL.name} unit" in capsys.readouterr().err
    monkeypatch.setattr(matrix, "interpreter", lambda python: None)
    assert matrix.main() == 1


def test_the_readme_and_its_page_have_the_same_table_and_nothing_in_it_fails() -> None:
    passages = {PAGES[page].split("<!-- matrix -->")[1].split("<!-- end")[0].strip() for page in TABLES}
    assert len(passages) == 1
    assert "fails" not in passages.pop()


TOLD = "| 3.3.2 | 3.11 | passed: 12 unit | passed: 12 unit |"


@pytest.mark.parametrize(
    ("lines", "is_whole"),
    [
        ([], False),
        ([TOLD], True),
        ([TOLD, TOLD.replace("passed", "**fails**", 1)], False),
        ([TOLD, "| 3.3.2 | 3.12 | passed: 12 unit | not run |"], False),
        ([TOLD, "| 3.3.2 | 3.12 | passed: 12 unit; not run: integration | passed: 12 unit |"], False),
        ([TOLD, "| 3.3.2 | 3.14 | not run: no such Python there | not run: no such Python there |"], True),
    ],
)
def test_a_table_is_whole_if_all_of_it_has_passed_that_this_machine_could_run(
    lines: list[str], is_whole: bool
) -> None:
    head = ["| Airflow | Python | a | b |", "| --- | --- | --- | --- |"]
    page = "\n".join(
        ["before", "<!-- matrix -->", "", *(head + lines if lines else []), "<!-- end of matrix -->"]
    )
    assert whole(page) == is_whole

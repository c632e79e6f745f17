from __future__ import annotations

from tests.matrix.cells import all_cells
from tests.matrix.checks import Outcome, failures, passed_in
from tests.matrix.table import table

PASSED = Outcome(good=True, passed=12, said="12 passed in 1.00s")
FAILED = Outcome(good=False, passed=11, said="1 failed, 11 passed in 1.00s")


def row(airflow: str, python: str, **noted: dict[str, Outcome]) -> str:
    """Return a row of the table that was made of these outcomes."""
    lines = table(noted and {f"{airflow}-{column}-{python}": found for column, found in noted.items()})
    return next(
        line for line in lines.splitlines() if line.startswith(f"| {airflow}.") and f"| {python} |" in line
    )


def test_what_was_not_tried_is_not_called_passed() -> None:
    assert "passed" not in table({})
    assert row("3.1", "3.11", released={"unit": PASSED}).endswith("| passed: 12 unit | not run |")


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

from __future__ import annotations

import ast
import importlib.metadata
import re
from pathlib import Path

import pytest

from airflow_provider_runway import compat
from tests.pages import REPOSITORY
from tests.pins.install import PYTHONS

PAGE = (REPOSITORY / "docs" / "versions.md").read_text()

METADATA = (REPOSITORY / "pyproject.toml").read_text()

#: What a switch of compat.py is called on the page.
ROWS = {
    "HAS_TASK_STATE_STORE": "Airflow's own task state",
    "RUNS_TASKS_IN_TRIGGERER": "in the triggerer, without a worker",
    "HAS_RETRY_POLICIES": "`RunwayRetryPolicy`",
    "READS_FORM_FROM_PROVIDER_INFO": "the connection form",
    "HAS_TABS": "the tabs",
    "CAN_BE_CALLED": "[callbacks]",
}
#: What depends on a version by where a name is imported from alone.
WATCHER = "a [watcher]"


def switches() -> dict[str, str]:
    """Return since which Airflow each switch of compat.py is on."""
    tree = ast.parse(Path(compat.__file__).read_text())
    compared = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Compare)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {
        name: ".".join(map(str, ast.literal_eval(value.comparators[0]))) for name, value in compared.items()
    }


def rows() -> dict[str, str]:
    """Return what the page's table says of each capability: since when."""
    # The page has another table of versions, that of what was tested.
    table = PAGE.partition("| feature |")[2].partition("\n\n")[0]
    return {
        what.strip(): since for what, since in re.findall(r"^\| (.+?) \| (\d\.\d+) \|", table, re.MULTILINE)
    }


def test_the_page_tells_of_every_difference_and_of_nothing_else() -> None:
    said = rows()
    of_switches = {
        name: [since for what, since in said.items() if words in what] for name, words in ROWS.items()
    }
    assert of_switches == {name: [since] for name, since in switches().items()}
    assert len(said) == len(ROWS) + 1
    assert [since for what, since in said.items() if what.startswith(WATCHER)] == ["3.0"]


@pytest.mark.parametrize("airflow", ["2.11", "3.0", "3.1", "3.2", "3.3"])
def test_the_page_and_the_metadata_name_the_pythons_that_are_tested(airflow: str) -> None:
    (_, lowest), (_, limit) = PYTHONS[f"airflow-{airflow}"]
    named = set(re.findall(r"Programming Language :: Python :: (3\.\d+)", METADATA))
    assert {f"3.{minor}" for minor in range(lowest, limit)} <= named
    rows = dict(re.findall(r"^\| (\d\.\d+) \| (3\.\d+ to 3\.\d+)", PAGE, re.MULTILINE))
    # Allowed by Airflow and by this package, and not tried: the page says so below its table.
    tried = range(lowest, min(limit, 14))
    assert rows[airflow] == f"3.{tried[0]} to 3.{tried[-1]}"


def test_the_page_names_the_lowest_versions_that_the_metadata_does() -> None:
    needed = " ".join(importlib.metadata.requires("airflow-provider-runway") or [])
    floors = dict(re.findall(r"([\w-]+)>=([\d.]+)", needed))
    assert floors["apache-airflow"].startswith("2.11.")
    assert "Airflow 2.11 to 3.3" in PAGE
    assert f"({floors['apache-airflow-providers-http']} or later)" in PAGE
    assert f"({floors['requests']} or later)" in PAGE

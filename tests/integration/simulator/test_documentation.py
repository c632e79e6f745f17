"""The page about the simulator: what it shows a user to write works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_provider_runway.simulator import Settings
from airflow_provider_runway.simulator.faults import KINDS
from tests.integration.simulator.test_fixture import ENVIRONMENT, PLUGIN

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


def snippets() -> dict[str, str]:
    """Return the page's Python files by the path in their first line."""
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))


def test_the_users_own_dag_is_tested_as_the_page_shows(tmp_path: Path) -> None:
    pytest.importorskip("airflow.sdk", reason="the page's DAG is written for Airflow 3")
    assert set(snippets()) == {"dags/paper_boat.py", "tests/test_paper_boat.py"}
    for name, source in snippets().items():
        target = tmp_path / name
        target.parent.mkdir()
        target.write_text(source)
    environment = {
        **{name: value for name, value in ENVIRONMENT.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
    }

    def run(*module: str) -> str:
        command = [sys.executable, "-m", *module]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=280, env=environment, cwd=tmp_path, check=False
        )
        return ended.stdout + ended.stderr

    migrated = run("airflow", "db", "migrate")
    assert (tmp_path / "home" / "airflow.db").exists(), migrated
    output = run("pytest", "-p", PLUGIN, "-q", "--rootdir", os.fspath(tmp_path), "tests")
    assert "3 passed" in output, output


def test_every_setting_is_on_the_page() -> None:
    options = {f"--{field.name.replace('_', '-')}" for field in fields(Settings)}
    options = options - {"--api-keys", "--render"} | {"--api-key", "--no-render"}
    assert {option for option in options if f"`{option}" not in PAGE} == set()


def test_every_fault_is_on_the_page() -> None:
    assert {kind for kind in KINDS if f"`{kind}`" not in PAGE} == set()

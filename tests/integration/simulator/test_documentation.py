"""The page about the simulator: what it shows a user to write works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.hooks.connection import RunwaySettings
from airflow_provider_runway.simulator import Settings
from airflow_provider_runway.simulator.faults import KINDS
from tests.integration.simulator.test_fixture import ENVIRONMENT, PLUGIN

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


def snippets() -> dict[str, str]:
    """Return the page's Python files by the path in their first line."""
    return dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.slow
def test_the_users_own_dag_is_tested_as_the_page_shows(tmp_path: Path) -> None:
    pytest.importorskip("airflow.sdk", reason="the page's DAG is written for Airflow 3")
    assert set(snippets()) == {"dags/paper_boat.py", "tests/conftest.py", "tests/test_paper_boat.py"}
    for name, source in snippets().items():
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(source)
    # Nothing of an Airflow but what the page itself sets up.
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("AIRFLOW")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-q", "--rootdir", os.fspath(tmp_path), "tests"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**environment, "HOME": str(tmp_path)},
        cwd=tmp_path,
        check=False,
    )
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_other_snippets_work_too(tmp_path: Path) -> None:
    named = set(snippets().values())
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    settings, used = [block for block in blocks if block.partition("\n")[2] not in named]
    (tmp_path / "test_settings.py").write_text(
        f"{settings}\n\ndef test_it(runway_simulator):\n"
        "    assert (runway_simulator.balance, runway_simulator.settings.render) == (24.0, True)\n"
    )
    (tmp_path / "used.py").write_text(used)
    run: dict[str, Any] = {
        "capture_output": True,
        "text": True,
        "timeout": 280,
        "env": ENVIRONMENT,
        "cwd": tmp_path,
    }
    tested = subprocess.run([sys.executable, "-m", "pytest", "-p", PLUGIN, "-q", "."], **run)
    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr
    started = subprocess.run([sys.executable, "used.py"], **run)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", started.stdout), started.stderr


def test_the_pages_key_spoils_no_answer() -> None:
    (key,) = re.findall(r'"password": "([^"]+)"', PAGE)
    answer = PAGE.encode()
    assert RunwaySettings("runway_default", key).redact(answer) == answer


def test_every_setting_is_on_the_page() -> None:
    options = {f"--{field.name.replace('_', '-')}" for field in fields(Settings)}
    options = options - {"--api-keys", "--render"} | {"--api-key", "--no-render"}
    assert {option for option in options if f"`{option}" not in PAGE} == set()


def test_every_fault_is_on_the_page() -> None:
    assert {kind for kind in KINDS if f"`{kind}`" not in PAGE} == set()

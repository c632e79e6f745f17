"""The fixture ``runway_simulator`` as a user's own tests get it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    # Named by hand below: it is found by its entry point only where the package is installed.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
PLUGIN = "airflow_provider_runway.simulator.pytest_plugin"
HEAVY = ["aiohttp", "airflow", "av", "PIL", "requests", "sqlite3"]


def run_tests(folder: Path, source: str) -> str:
    (folder / "test_users_own.py").write_text(source)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-q", "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT,
        cwd=folder,
        check=False,
    )
    return ended.stdout + ended.stderr


def test_it_leads_the_default_connection_to_a_simulator(tmp_path: Path) -> None:
    output = run_tests(
        tmp_path,
        """
import json, os, urllib.request

def test_connection(runway_simulator):
    connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
    assert connection["conn_type"] == "runway"
    assert connection["host"] == runway_simulator.url
    request = urllib.request.Request(
        connection["host"] + "/api/v1/chat/credit",
        headers={"Authorization": "Bearer " + connection["password"], "User-Agent": "test"},
    )
    assert json.load(urllib.request.urlopen(request))["data"] == 5916.25
    assert runway_simulator.creations == []

def test_afterwards():
    assert "AIRFLOW_CONN_RUNWAY_DEFAULT" not in os.environ
""",
    )
    assert "2 passed" in output, output


def test_its_settings_can_be_overridden(tmp_path: Path) -> None:
    output = run_tests(
        tmp_path,
        """
import pytest

@pytest.fixture
def runway_simulator_settings():
    return {"balance": 10.0}

def test_balance(runway_simulator):
    assert runway_simulator.balance == 10.0
""",
    )
    assert "1 passed" in output, output


def test_loading_the_plugin_costs_a_foreign_test_run_next_to_nothing() -> None:
    code = (
        f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(*(set(sys.modules) - before))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=True
    )
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert not loaded & set(HEAVY)


def test_the_simulator_is_free_of_airflow() -> None:
    code = (
        "import sys, airflow_provider_runway.simulator.__main__,"
        " airflow_provider_runway.simulator.rendering; print(*sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=True
    )
    modules = ended.stdout.split()
    assert "aiohttp" in modules
    assert "airflow" not in modules
    assert not [name for name in modules if name.startswith("airflow_provider_runway.api")]

"""The fixture ``runway_simulator`` as a user's own tests get it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateAlephVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.exceptions import RunwayError
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    # Named by hand below: it is found by its entry point only where the package is installed.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
PLUGIN = "airflow_provider_runway.simulator.pytest_plugin"
HEAVY = ["aiohttp", "airflow", "av", "PIL", "requests", "sqlite3"]


def run_tests(folder: Path, source: str, **environment: str) -> str:
    (folder / "test_users_own.py").write_text(source)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "-q", "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**ENVIRONMENT, **environment},
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


BACKEND = """
from airflow.models.connection import Connection
from airflow.secrets import BaseSecretsBackend

class Backend(BaseSecretsBackend):
    def get_connection(self, conn_id, team_name=None):
        if conn_id == "{conn_id}":
            return Connection(conn_id=conn_id, conn_type="runway", password="0123456789abcdef")
        return None
"""


def run_with_backend(folder: Path, conn_id: str) -> str:
    (folder / "users_own_backend.py").write_text(BACKEND.replace("{conn_id}", conn_id))
    return run_tests(
        folder,
        "def test_it(runway_simulator):\n    print('it came to the test')\n",
        PYTHONPATH=os.pathsep.join([str(folder), ENVIRONMENT["PYTHONPATH"]]),
        AIRFLOW__SECRETS__BACKEND="users_own_backend.Backend",
    )


def test_a_secrets_backend_that_leads_to_kie_ai_ends_the_test_before_anything_is_paid(
    tmp_path: Path,
) -> None:
    output = run_with_backend(tmp_path, "runway_default")
    assert "1 error" in output, output
    assert "leads to https://api.kie.ai" in output
    assert "A secrets backend has it" in output
    assert "it came to the test" not in output
    assert "0123456789abcdef" not in output


def test_a_secrets_backend_without_the_connection_is_no_hindrance(tmp_path: Path) -> None:
    output = run_with_backend(tmp_path, "another")
    assert "1 passed" in output, output


def test_a_prompt_and_an_error_come_back_as_they_are(runway_simulator: Simulator) -> None:
    prompt = "A flight simulator at dusk, for a key of runway_default"
    hook = RunwayHook(patience=0)
    assert hook.get_task(hook.submit(GenerateVideo(prompt))).prompt == prompt
    runway_simulator.add_fault("body_code", code=400, msg="the simulator says no")
    with pytest.raises(RunwayError, match="the simulator says no"):
        hook.get_credits()


REQUESTS: list[RunwayRequest] = [
    GenerateVideo("A paper boat"),
    GenerateAlephVideo("Ink", "https://files.example.com/a.mp4"),
]


# At the pace of the schedule for the real service, the first of these waits takes half a minute.
@pytest.mark.timeout(20)
@pytest.mark.parametrize("request_", REQUESTS, ids=["generate", "aleph"])
def test_a_wait_without_an_interval_is_as_fast_as_the_simulator(
    runway_simulator: Simulator, request_: RunwayRequest
) -> None:
    hook = RunwayHook()
    submitted_at = time.time()
    task_id = hook.submit(request_)
    task = hook.wait_for_task(task_id, model=request_.model, started_at=submitted_at, kind=request_.kind)
    assert task.video_url
    assert runway_simulator.tasks[0]["lookups"] < 20


@pytest.mark.timeout(20)
def test_a_sensor_without_an_interval_is_as_fast_as_the_simulator(
    runway_simulator: Simulator, context: Any
) -> None:
    task_id = RunwayHook().submit(REQUESTS[0])
    sensor = RunwayTaskSensor(task_id="wait", runway_task_id=task_id, deferrable=False)
    assert sensor.execute(context).endswith(".mp4")
    assert runway_simulator.tasks[0]["state"] == "success"


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("runway_simulator")
def test_a_trigger_without_an_interval_is_as_fast_as_the_simulator() -> None:
    trigger = RunwayTaskTrigger(
        runway_task_id=RunwayHook().submit(REQUESTS[0]),
        runway_conn_id="runway_default",
        started_at=time.time(),
        end_time=time.time() + 3600,
    )

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(events())
    assert event["status"] == "success"


def test_no_test_learns_durations_from_another(tmp_path: Path) -> None:
    output = run_tests(
        tmp_path,
        """
import pytest
from airflow_provider_runway.waiting.poller import DURATIONS
from airflow_provider_runway.waiting.schedule import KNOWN_BEFOREHAND

@pytest.mark.parametrize("turn", [1, 2])
def test_learning(runway_simulator, turn):
    assert DURATIONS.usual("generate") == KNOWN_BEFOREHAND["generate"]
    for _ in range(10):
        DURATIONS.record("generate", 0.01)
    assert DURATIONS.usual("generate") != KNOWN_BEFOREHAND["generate"]

def test_afterwards():
    assert DURATIONS.usual("generate") == KNOWN_BEFOREHAND["generate"]
""",
    )
    assert "3 passed" in output, output


def test_a_proxy_of_the_environment_is_not_used(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        # Bound but not listening, so that nothing else can answer there.
        closed.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert RunwayHook(patience=0).get_credits() == runway_simulator.balance


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

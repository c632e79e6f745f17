"""``python -m airflow_provider_runway.simulator``: a process that can be killed and remembers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import TEXT_TO_VIDEO, Client

COMMAND = [sys.executable, "-m", "airflow_provider_runway.simulator"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
Start = Callable[..., tuple["subprocess.Popen[str]", Client]]


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], Client]:
        process = subprocess.Popen(
            [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"kie\.ai simulator listening on (http://\S+)\n", line)
        assert found, (line, process.stderr.read() if process.stderr and not line else "")
        return process, Client(found[1])

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_a_killed_simulator_comes_back_knowing_tasks_money_and_uploads(start: Start, tmp_path: Path) -> None:
    options = ("--state-file", str(tmp_path / "state.sqlite"), "--balance", "100", "--no-render")
    process, client = start("--port", "0", *options)
    port = client.url.rpartition(":")[2]
    task_id, market_id = client.create(), client.create_on_market()
    client.control("POST", f"tasks/{market_id}", json={"state": "fail", "message": "told so"})
    upload = client.upload("a.txt", b"text")
    before = client.control("GET", "stats").json()
    process.kill()
    process.wait(30)

    _, client = start("--port", port, *options)
    after = client.control("GET", "stats").json()
    assert after["creations"] == before["creations"]
    assert client.detail(task_id)["taskId"] == task_id
    assert client.credits() == 76.0
    client.control("POST", "clock", json={"advance": 60})
    assert client.detail(task_id)["state"] == "success"
    assert client.record_info(market_id)["data"]["failMsg"] == "told so"
    assert client.session.get(upload, timeout=30).text == "text"


def test_an_interrupted_simulator_ends_in_order(start: Start) -> None:
    process, _ = start("--port", "0", "--no-render")
    process.terminate()
    assert process.wait(30) == 0


def test_options_reach_the_simulator(start: Start) -> None:
    options = ("--api-key", "one", "--api-key", "two", "--speed", "2", "--spread", "0", "--rate-limit", "1")
    _, client = start(
        "--port", "0", "--no-render", *options, "--generate-seconds", "7", "--moderation-marker", "bad"
    )
    assert client.post("/api/v1/runway/generate", TEXT_TO_VIDEO).json()["code"] == 401
    client.session.headers["Authorization"] = "Bearer two"
    client.create(body={**TEXT_TO_VIDEO, "prompt": "too bad"})
    assert client.post("/api/v1/runway/generate", TEXT_TO_VIDEO).status_code == 429
    task = client.control("GET", "stats").json()["tasks"][0]
    assert task["ends_at"] - task["created_at"] == pytest.approx((1 + 2 + 7 / 2) / 2, abs=0.01)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, check=False
    )


def test_a_port_in_use_is_said_plainly(simulator: Simulator) -> None:
    ended = run("--port", str(simulator.port), "--no-render")
    assert ended.returncode == 1
    assert f"Port {simulator.port} on 127.0.0.1 is already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_state_file_that_is_something_else_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are notes and no database at all. " * 50)
    ended = run("--port", "0", "--no-render", "--state-file", str(tmp_path / "notes.txt"))
    assert ended.returncode == 1
    assert "cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--speed", "0", "speed must be greater than 0"),
        ("--speed", "nan", "speed must be a finite number"),
        ("--balance", "nan", "balance must be a finite number"),
        ("--generate-seconds", "inf", "generate_seconds must be a finite number"),
        ("--aleph-callback", "both", "--aleph-callback: invalid choice: 'both'"),
        ("--port", "70000", "--port: must be an integer from 0 to 65535"),
        ("--port", "-1", "--port: must be an integer from 0 to 65535"),
        ("--port", "http", "--port: must be an integer from 0 to 65535"),
    ],
)
def test_a_setting_out_of_range_is_refused(option: str, value: str, said: str) -> None:
    ended = run(option, value, "--no-render")
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_host_that_is_no_name_is_said_plainly() -> None:
    ended = run("--host", "...", "--port", "0", "--no-render")
    assert ended.returncode == 1
    assert "Cannot listen on ...:0" in ended.stderr
    assert "Traceback" not in ended.stderr

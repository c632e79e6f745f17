"""``python -m airflow_provider_runway.simulator``: a process that can be killed and remembers."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

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


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_it_at_once_though_it_draws(start: Start, tmp_path: Path, times: int) -> None:
    pytest.importorskip("av")
    options = ("--speed", "1000", "--rate-limit", "0", "--files-dir", str(tmp_path))
    process, client = start("--port", "0", *options)
    task_id = client.create()
    for _ in range(30):
        client.control("POST", "clock", json={"advance": 60})
        task_id = client.extend(task_id)
    client.control("POST", "clock", json={"advance": 60})
    url = client.detail(task_id)["videoInfo"]["videoUrl"]

    def ask() -> None:
        with suppress(requests.ConnectionError):
            requests.get(url, timeout=300)

    threading.Thread(target=ask, daemon=True).start()
    deadline = time.monotonic() + 30
    while not list((tmp_path / "results").iterdir()):
        assert time.monotonic() < deadline, "nothing is drawn"
        time.sleep(0.01)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_said_as_a_url_has_it(start: Start) -> None:
    _, client = start("--port", "0", "--no-render", "--host", "::1")
    assert client.url.startswith("http://[::1]:")
    client.create(body={**TEXT_TO_VIDEO, "imageUrl": client.upload("a.png", b"\x89PNG\r\n\x1a\n")})
    with Simulator(render=False, host="::1") as simulator:
        Client(simulator.url).create()


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
    ("table", "row"),
    [
        ("tasks", (1, "a", '{"old": 1}')),
        ("tasks", (1, "a", "[]")),
        ("tasks", (1, "a", "no JSON")),
        ("tasks", (1, "a", None)),
        ("numbers", ("advanced", None)),
    ],
)
def test_a_state_file_of_another_version_is_said_plainly(
    tmp_path: Path, table: str, row: tuple[Any, ...]
) -> None:
    path = tmp_path / "state.sqlite"
    with Simulator(render=False, state_file=path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    ended = run("--port", "0", "--no-render", "--state-file", str(path))
    assert ended.returncode == 1
    assert ended.stderr.startswith("The simulator's files cannot be used: ")
    assert ended.stderr.count("\n") == 1, ended.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--rate-limit", "-1", "rate_limit must not be negative, got -1"),
        ("--balance", "-0.5", "balance must not be negative, got -0.5"),
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

"""What a newcomer does first: the demo, as the Makefile runs it."""

from __future__ import annotations

import fcntl
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.demo import REAL_SERVICE
from tests.harness.processes import REPOSITORY, free_port, marked_processes, renew_folder


@pytest.mark.timeout(600)
def test_the_demo_ends_with_three_drawn_videos_and_leaves_nothing_running(tmp_path: Path) -> None:
    demo = subprocess.run(
        [
            *(sys.executable, "-m", "tests.harness.demo", "--folder", str(tmp_path)),
            *("--port", str(free_port()), "--simulator-port", str(free_port())),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    videos = re.findall(r"(/\S+\.mp4)\n +([0-9.]+) s, (\d+) x (\d+)", demo.stdout)
    assert [(Path(path).name, float(seconds), size) for path, seconds, *size in videos] == [
        ("generated.mp4", 5, ["1280", "720"]),
        ("extended.mp4", 10, ["1280", "720"]),
        ("restyled.mp4", 5, ["1280", "720"]),
    ]
    # The sensor starts and ends in the triggerer, so that no worker ever runs it. The download has one, and
    # takes long enough to be seen at it, since the video is drawn meanwhile.
    for task, state in (
        *(("wait_for_restyled", "deferred"), ("wait_for_restyled", "success")),
        *(("download_restyled", "running"), ("download_restyled", "success")),
    ):
        assert re.search(rf" {task} +{state}", demo.stdout), demo.stdout
    assert not marked_processes(tmp_path / "simulator")
    assert not marked_processes(tmp_path / "airflow" / "components")


def test_a_second_demo_beside_a_running_one_says_so(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = demo_that_stops_early(tmp_path)
    assert "another demo is running" in demo.stderr


@pytest.mark.parametrize("module", ["tests.harness.demo", "tests.chaos"])
@pytest.mark.parametrize("name", ["airflow", "simulator"])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, module: str, name: str) -> None:
    mine = tmp_path / name / "airflow.cfg"
    mine.parent.mkdir()
    mine.write_text("mine")
    demo = demo_that_stops_early(tmp_path, module=module)
    assert f"{tmp_path / name} exists already and was not made by an earlier run" in demo.stderr
    assert mine.read_text() == "mine"


def test_a_port_in_use_is_named_and_an_earlier_run_is_removed(tmp_path: Path) -> None:
    renew_folder(tmp_path / "airflow")
    (tmp_path / "airflow" / "airflow.db").touch()
    demo = demo_that_stops_early(tmp_path)
    assert not (tmp_path / "airflow" / "airflow.db").exists()
    assert "is in use by another program" in demo.stderr


def test_the_logs_of_what_was_paid_for_are_kept(tmp_path: Path) -> None:
    renew_folder(tmp_path / "airflow")
    (tmp_path / "airflow" / REAL_SERVICE).touch()
    (tmp_path / "airflow" / "logs").mkdir()
    (tmp_path / "airflow" / "logs" / "attempt=1.log").write_text("Runway task 1234")
    demo = demo_that_stops_early(tmp_path)
    (kept,) = tmp_path.glob("airflow-*")
    assert (kept / "logs" / "attempt=1.log").read_text() == "Runway task 1234"
    assert str(kept) in demo.stdout


def demo_that_stops_early(
    folder: Path, *, module: str = "tests.harness.demo"
) -> subprocess.CompletedProcess[str]:
    """Run a demo that fails before it starts anything, since its port is in use at the latest."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        # One run alone, since two have a folder each.
        flags = ("--notes", "with") if module == "tests.chaos" else ("--port", str(server.getsockname()[1]))
        demo = subprocess.run(
            [sys.executable, "-m", module, "--folder", str(folder), *flags],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert demo.returncode == (2 if module == "tests.chaos" else 1), demo.stdout + demo.stderr
    return demo

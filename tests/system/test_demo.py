"""What a newcomer does first: the demo, as the Makefile runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.processes import REPOSITORY, free_port, marked_processes


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
    for state in ("running", "deferred", "success"):
        assert re.search(rf" wait_for_restyled +{state}", demo.stdout)
    assert not marked_processes(tmp_path / "simulator")
    assert not marked_processes(tmp_path / "airflow" / "components")


def test_a_second_demo_beside_a_running_one_says_so(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = subprocess.run(
            [sys.executable, "-m", "tests.harness.demo", "--folder", str(tmp_path)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert demo.returncode == 1
    assert "another demo is running" in demo.stderr

"""Two hundred downloads whose connections are cut anywhere: two hundred whole files, and nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.files.keeping import Kept
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator import Simulator
from tests.integration.object_storage import bucket, content_of, keys_in, s3_server, uploads_in, uri

__all__ = ["bucket", "s3_server"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("pauses")]

DOWNLOADS, CUTS = 200, 3
CLIP = Path(__file__).parents[2] / "airflow_provider_runway" / "simulator" / "clip.mp4"
SHA256 = hashlib.sha256(CLIP.read_bytes()).hexdigest()


@pytest.fixture
def runway_simulator_settings() -> dict[str, Any]:
    return {"rate_limit": 0, "running_limit": 0}


@pytest.fixture
def tasks(runway_simulator: Simulator) -> list[RunwayTask]:
    """Finished Runway tasks, whose downloads break."""
    from airflow_provider_runway.api.requests import GenerateVideo

    hook = RunwayHook()
    ids = [hook.submit(GenerateVideo(f"Boat {number}")) for number in range(DOWNLOADS)]
    runway_simulator.advance(600)
    found = [hook.get_task(task_id) for task_id in ids]
    assert {task.state for task in found} == {TaskState.SUCCESS}
    for task in found:
        runway_simulator.add_fault("truncated_download", f"/results/{task.task_id}", at="random", count=CUTS)
    return found


def keep_all(tasks: list[RunwayTask], folder: str) -> list[Kept]:
    hook = RunwayHook()
    _ = hook.settings
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda task: RunwayHook().keep_video(folder, task=task), tasks))


class Watcher:
    """Looks at a folder all the time, and notes what a reader would have seen."""

    def __init__(self, folder: Path) -> None:
        self.seen: Counter[tuple[bool, bool]] = Counter()
        self._folder = folder
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        whole = CLIP.stat().st_size
        while not self._done.is_set():
            for path in self._folder.glob("*.mp4"):
                self.seen[path.name.startswith("."), path.stat().st_size == whole] += 1

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@pytest.fixture
def cuts(runway_simulator: Simulator) -> Iterator[None]:
    yield
    stats = runway_simulator.stats()
    assert stats["headers"]["range"] > DOWNLOADS / 2, "broken downloads go on from where they broke"
    assert {fault["used"] for fault in stats["faults"]} == {CUTS}
    assert runway_simulator.violations == []


@pytest.mark.usefixtures("cuts")
def test_on_local_files(tasks: list[RunwayTask], tmp_path: Path) -> None:
    with Watcher(tmp_path) as watcher:
        kept = keep_all(tasks, f"{tmp_path}/")
    assert {one.sha256 for one in kept} == {SHA256}
    stored = sorted(tmp_path.iterdir())
    assert [path.name for path in stored] == sorted(f"{task.task_id}.mp4" for task in tasks)
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in stored} == {SHA256}
    assert set(watcher.seen) <= {(False, True)}


@pytest.mark.usefixtures("cuts")
def test_in_object_storage(tasks: list[RunwayTask], bucket: Any) -> None:
    kept = keep_all(tasks, uri("night/"))
    assert {one.sha256 for one in kept} == {SHA256}
    assert keys_in(bucket) == sorted(f"night/{task.task_id}.mp4" for task in tasks)
    assert {hashlib.sha256(content_of(bucket, key)).hexdigest() for key in keys_in(bucket)} == {SHA256}
    assert uploads_in(bucket) == []

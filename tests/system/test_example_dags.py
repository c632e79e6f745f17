"""Each example in a real Airflow: it does what it says, and pays for exactly what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.video import describe_video
from tests.system.conftest import EXAMPLES, Run

pytestmark = pytest.mark.timeout(900)

GENERATE, EXTEND, ALEPH = "/api/v1/runway/generate", "/api/v1/runway/extend", "/api/v1/aleph/generate"
PROMPTS = ["A snail", "A tram", "A kite in the wind", "A lighthouse"]
#: The runs to test: a name, the DAG and the values for its params beside the folder.
RUNS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "text_to_video": ("text_to_video", {"duration": 10, "aspect_ratio": "9:16"}),
    "image_to_video": ("image_to_video", {}),
    "long_sequence": ("long_sequence", {}),
    "restyle_with_aleph": ("restyle_with_aleph", {"aspect_ratio": "1:1"}),
    "mapped_batch": ("mapped_batch", {"prompts": PROMPTS}),
    "one refused": ("mapped_batch", {"prompts": ["A snail", "A tram [moderated]", "A kite"]}),
}


@dataclass
class Example(Run):
    """A run of an example, and what it may have asked the simulator for."""

    folder: Path
    simulator: LocalSimulator

    def value(self, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned."""
        return self.airflow.api.xcom(self.dag_id, self.run_id, task_id, map_index=map_index)

    def creation(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return the request that a task was charged for; its Runway task ID tells which."""
        runway_task_id = self.value(task_id, map_index)
        (creation,) = [
            creation for creation in self.simulator.creations() if creation["task_id"] == runway_task_id
        ]
        return creation

    def assert_waited(self, task_id: str, map_index: int = -1) -> str:
        """See that a sensor has left the XComs of a finished video, and return its URL."""
        xcoms = self.airflow.api.xcoms(self.dag_id, self.run_id, task_id, map_index=map_index)
        assert xcoms["return_value"] == xcoms["video_url"]
        for key in ("video_url", "image_url"):
            assert xcoms[key].startswith(f"{self.simulator.url}/results/")
        # Aleph's answers have no such ID.
        assert ("video_id" in xcoms) == (self.dag_id != "restyle_with_aleph")
        return str(xcoms["video_url"])

    def assert_stored(self, task_id: str, name: str, map_index: int = -1) -> None:
        """See that a download has left a playable video under this name in the run's folder."""
        path = Path(self.value(task_id, map_index))
        assert path == self.folder / name.format(run_id=self.run_id)
        assert describe_video(path)


@pytest.fixture(scope="module")
def examples(
    airflow: LocalAirflow, simulator: LocalSimulator, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Example]:
    """All runs, started together and ended."""
    paid_before = len(simulator.creations())
    folder = tmp_path_factory.mktemp("videos")
    runs = {}
    for name, (dag_id, params) in RUNS.items():
        run_id = airflow.api.trigger_dag(dag_id, {"folder": str(folder), **params})
        runs[name] = Example(airflow, dag_id, run_id, folder, simulator)
    for run in runs.values():
        airflow.api.wait_for_run(run.dag_id, run.run_id, timeout=600)
    # However they are shared out among the runs: no more was paid for than was asked for.
    assert len(simulator.creations()) - paid_before == 1 + 1 + 3 + 1 + len(PROMPTS) + 3
    return runs


def test_all_example_files_are_read_without_an_error(airflow: LocalAirflow) -> None:
    for file in EXAMPLES.glob("*.py"):
        airflow.api.wait_for_dag(file.stem)
    assert airflow.api.import_errors() == {}


def test_every_example_is_run_by_a_test() -> None:
    run_here = {dag_id for dag_id, _ in RUNS.values()}
    assert {file.stem for file in EXAMPLES.glob("*.py")} == run_here | {"complete_story"}


def test_text_to_video(examples: dict[str, Example]) -> None:
    run = examples["text_to_video"]
    run.assert_success()
    creation = run.creation("generate")
    assert creation["path"] == GENERATE
    assert creation["body"] == {
        "prompt": "A lighthouse in a storm, seen from the sea",
        "duration": 10,
        "quality": "720p",
        "aspectRatio": "9:16",
    }
    run.assert_waited("wait")
    run.assert_stored("download", "{run_id}.mp4")


def test_image_to_video(examples: dict[str, Example]) -> None:
    run = examples["image_to_video"]
    run.assert_success()
    picture = run.value("upload")
    assert picture.startswith(f"{run.simulator.url}/files/")
    creation = run.creation("generate")
    assert creation["path"] == GENERATE
    assert creation["body"]["imageUrl"] == picture
    # The video takes its aspect ratio from the picture.
    assert "aspectRatio" not in creation["body"]
    run.assert_waited("wait")
    run.assert_stored("download", "{run_id}.mp4")


def test_long_sequence(examples: dict[str, Example]) -> None:
    run = examples["long_sequence"]
    run.assert_success()
    creations = [run.creation(f"scene_{number}") for number in (1, 2, 3)]
    assert [creation["path"] for creation in creations] == [GENERATE, EXTEND, EXTEND]
    assert len({creation["body"]["prompt"] for creation in creations}) == 3
    for parent, child in pairwise(creations):
        assert child["body"]["taskId"] == parent["task_id"]
    assert len({run.assert_waited(f"wait_{number}") for number in (1, 2, 3)}) == 3
    for number in (1, 2, 3):
        run.assert_stored(f"download_{number}", f"{{run_id}}/{number}.mp4")


def test_restyle_with_aleph(examples: dict[str, Example]) -> None:
    run = examples["restyle_with_aleph"]
    run.assert_success()
    creation = run.creation("restyle")
    assert creation["path"] == ALEPH
    assert creation["body"]["videoUrl"] == run.value("upload")
    assert creation["body"]["aspectRatio"] == "1:1"
    run.assert_waited("wait")
    run.assert_stored("download", "{run_id}.mp4")


def test_mapped_batch(examples: dict[str, Example]) -> None:
    run = examples["mapped_batch"]
    run.assert_success()
    for index, prompt in enumerate(PROMPTS):
        creation = run.creation("video.generate", index)
        assert creation["path"] == GENERATE
        assert creation["body"]["prompt"] == prompt
        assert creation["task_id"] in run.assert_waited("video.wait", index)
        run.assert_stored("video.download", f"{{run_id}}/{index}.mp4", index)


def test_a_refused_prompt_in_a_mapped_batch_fails_the_run_and_only_its_own_video(
    examples: dict[str, Example],
) -> None:
    run = examples["one refused"]
    assert run.airflow.api.dag_run_state(run.dag_id, run.run_id) == "failed"
    states = run.states()
    assert states["video.wait[1]"] == "failed"
    assert states["video.download[1]"] == "upstream_failed"
    assert "RunwayTaskRejectedError" in json.dumps(run.airflow.api.errors(run.dag_id, run.run_id))
    for index in (0, 2):
        run.assert_waited("video.wait", index)
        run.assert_stored("video.download", f"{{run_id}}/{index}.mp4", index)

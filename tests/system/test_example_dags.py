"""Each example in a real Airflow: it does what it says, and pays for exactly what it asks for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_runway.waiting.ending import RESUME_GUARD
from tests.examples import EXAMPLES, dag_ids_of
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.video import describe_video
from tests.system.conftest import CALLBACK_ASSET, Run
from tests.versions import AIRFLOW

pytestmark = pytest.mark.timeout(900)

GENERATE, EXTEND, ALEPH = "/api/v1/runway/generate", "/api/v1/runway/extend", "/api/v1/aleph/generate"
PROMPTS = ["A snail", "A tram", "A kite in the wind", "A lighthouse"]
#: The runs to test: a name, the DAG and the values for its params beside the folder.
RUNS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "text_to_video": ("text_to_video", {"duration": 10, "aspect_ratio": "9:16"}),
    "image_to_video": ("image_to_video", {}),
    "longer_story": ("longer_story", {}),
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
        runway_task_id = self.airflow.api.xcom(
            self.dag_id, self.run_id, task_id, "runway_task_id", map_index=map_index
        )
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
        for dag_id in dag_ids_of(file):
            airflow.api.wait_for_dag(dag_id)
    assert airflow.api.import_errors() == {}


def test_every_example_is_run_by_a_test() -> None:
    run_here = {dag_id for dag_id, _ in RUNS.values()}
    elsewhere = {"complete_story", "by_events", "approved_batch", "submit_videos", "process_videos"}
    there = {dag_id for file in EXAMPLES.glob("*.py") for dag_id in dag_ids_of(file)}
    assert there == run_here | elsewhere


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
    run.assert_stored("generate", "{run_id}.mp4")


def test_what_starts_by_the_event_of_a_stored_video_reads_its_manifest(examples: dict[str, Example]) -> None:
    run = examples["text_to_video"]
    api = run.airflow.api

    def manifests() -> list[dict[str, Any]] | None:
        """Return those of the run that this video has started, once it has ended."""
        runs = api.request("GET", "/dags/by_events/dagRuns")["dag_runs"]
        ended = [found["dag_run_id"] for found in runs if found["state"] == "success"]
        read = [api.xcom("by_events", run_id, "read_manifests") for run_id in ended]
        path = run.value("generate")
        return next((found for found in read if path in [manifest["path"] for manifest in found]), None)

    (manifest,) = api.wait_until("a run of by_events", manifests, timeout=120)
    assert manifest["prompt"] == "A lighthouse in a storm, seen from the sea"
    assert manifest["runway_task_id"] == run.creation("generate")["task_id"]
    assert manifest["size"] == Path(manifest["path"]).stat().st_size


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="this Airflow cannot be called")
def test_what_one_dag_submits_another_stores_once_kie_has_called(
    airflow: LocalAirflow, simulator: LocalSimulator
) -> None:
    api = airflow.api
    prompts = ["A heron [submitted]", "A lock gate [submitted]"]
    # What is sent again is no further event.
    simulator.add_fault(kind="callback_repeated", path=GENERATE, method="POST", count=2, times=3)
    run = Run(airflow, "submit_videos", api.trigger_dag("submit_videos", {"prompts": prompts}))
    run.assert_success()
    made = [made for made in simulator.creations() if "[submitted]" in made["body"]["prompt"]]
    assert sorted(creation["body"]["prompt"] for creation in made) == prompts
    ids = {creation["task_id"] for creation in made}

    def stored() -> dict[str, Path] | None:
        """Return the files of these videos, once each has been stored and every call has come."""
        found: dict[str, Path] = {}
        for process in api.request("GET", "/dags/process_videos/dagRuns")["dag_runs"]:
            run_id = process["dag_run_id"]
            if process["state"] == "success" and process["run_after"] is not None:
                tasks = api.task_instances("process_videos", run_id)
                for index in (ti["map_index"] for ti in tasks if ti["task_id"] == "store"):
                    xcoms = api.xcoms("process_videos", run_id, "store", map_index=index)
                    if xcoms.get("runway_task_id") in ids:
                        assert xcoms["runway_task_id"] not in found, "it was stored twice"
                        found[xcoms["runway_task_id"]] = Path(xcoms["path"])
        calls = [call for call in simulator.stats()["callbacks"] if call["task_id"] in ids]
        return found if found.keys() == ids and len(calls) == 6 else None

    paths = api.wait_until("the stored videos", stored, timeout=180)
    for runway_task_id, path in paths.items():
        assert path.name == f"{runway_task_id}.mp4"
        assert describe_video(path)
    calls = [call for call in simulator.stats()["callbacks"] if call["task_id"] in ids]
    assert {call["status"] for call in calls} == {200}
    query = {"source_dag_id": "submit_videos", "source_run_id": run.run_id}
    events = api.request("GET", "/assets/events", params=query)["asset_events"]
    assert {event["uri"].rstrip("/") for event in events} == {CALLBACK_ASSET}
    assert sorted(event["extra"]["runway_task_id"] for event in events) == sorted(ids)
    assert {event["extra"]["run_id"] for event in events} == {run.run_id}


def test_image_to_video(examples: dict[str, Example]) -> None:
    run = examples["image_to_video"]
    run.assert_success()
    creation = run.creation("generate")
    assert creation["path"] == GENERATE
    assert creation["body"]["imageUrl"].startswith(f"{run.simulator.url}/files/")
    # The video takes its aspect ratio from the picture.
    assert "aspectRatio" not in creation["body"]
    run.assert_stored("generate", "{run_id}.mp4")


def test_longer_story(examples: dict[str, Example]) -> None:
    run = examples["longer_story"]
    run.assert_success()
    creations = [run.creation(f"story.scene_{number}") for number in (1, 2, 3)]
    assert [creation["path"] for creation in creations] == [GENERATE, EXTEND, EXTEND]
    assert len({creation["body"]["prompt"] for creation in creations}) == 3
    for parent, child in pairwise(creations):
        assert child["body"]["taskId"] == parent["task_id"]
    run.assert_stored("story.scene_3", "{run_id}.mp4")
    manifest = json.loads((run.folder / f"{run.run_id}.json").read_text())
    assert manifest["parent_task_id"] == creations[1]["task_id"]


def test_a_batch_is_paid_for_when_a_person_has_approved_it_and_goes_on_as_they_picked(
    airflow: LocalAirflow, simulator: LocalSimulator, tmp_path: Path
) -> None:
    api = airflow.api
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("A lantern [approved]\n\nA fox [approved]\n")
    dag_id = "approved_batch"
    run_id = api.trigger_dag(dag_id, {"prompts": str(prompts), "folder": str(tmp_path)})

    def made() -> list[dict[str, Any]]:
        return [made for made in simulator.creations() if "[approved]" in made["body"]["prompt"]]

    def answer(task_id: str, option: str, **params: Any) -> dict[str, Any]:
        """Give a person's answer once the task asks for it; return what they were asked."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"

        seen_at: list[float] = []

        def asked() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = api.request("GET", path)
            except requests.HTTPError:
                return None
            seen_at.append(time.monotonic())
            # No person is faster, and Airflow can fail a task that goes on just after its deferral.
            return found if seen_at[-1] - seen_at[0] > RESUME_GUARD else None

        question = api.wait_until(f"the question of {task_id}", asked, timeout=300)
        api.request("PATCH", path, json={"chosen_options": [option], "params_input": params})
        return question

    question = answer("approve", "Approve")
    assert question["subject"] == "Make 2 videos for 24.0 credits?"
    assert made() == []
    question = answer("pick", "OK", numbers=[1], what_happens_next="It runs off [approved]")
    assert "- 1: A fox" in question["body"]
    assert api.wait_for_run(dag_id, run_id, timeout=300) == "success"
    *videos, extension = made()
    assert sorted(video["body"]["prompt"] for video in videos) == ["A fox [approved]", "A lantern [approved]"]
    (fox,) = (video for video in videos if "fox" in video["body"]["prompt"])
    assert extension["body"]["taskId"] == fox["task_id"]
    names = {path.relative_to(tmp_path / run_id).as_posix() for path in tmp_path.rglob("*.mp4")}
    assert names == {*(f"{video['task_id']}.mp4" for video in videos), f"extended/{extension['task_id']}.mp4"}


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
    labels = {
        ti["map_index"]: ti["rendered_map_index"]
        for ti in run.airflow.api.task_instances(run.dag_id, run.run_id)
        if ti["task_id"] == "video"
    }
    # In the UI, each video carries its prompt.
    assert labels == dict(enumerate(PROMPTS))
    for index, prompt in enumerate(PROMPTS):
        creation = run.creation("video", index)
        assert creation["path"] == GENERATE
        assert creation["body"]["prompt"] == prompt
        run.assert_stored("video", f"{{run_id}}/{creation['task_id']}.mp4", index)


def test_a_refused_prompt_in_a_mapped_batch_fails_the_run_and_only_its_own_video(
    examples: dict[str, Example],
) -> None:
    run = examples["one refused"]
    assert run.airflow.api.dag_run_state(run.dag_id, run.run_id) == "failed"
    assert run.states()["video[1]"] == "failed"
    said = json.dumps(run.airflow.api.errors(run.dag_id, run.run_id))
    assert "RunwayTaskRejectedError" in said
    assert "errors.html#runwaytaskrejectederror" in said
    for index in (0, 2):
        run.assert_stored("video", f"{{run_id}}/{run.creation('video', index)['task_id']}.mp4", index)

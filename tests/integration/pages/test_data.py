"""What the pages are told of a run, read from a real database of Airflow's."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.harness.history import History


def test_a_video_is_told_with_its_family(history: History, viewer: TestClient, dag_id: str) -> None:
    request = {"model": "runway", "kind": "generate-5s-720p", "prompt": "<script>", "duration": 5}
    history.add_run(dag_id, "a+run", state="running")
    history.add(
        dag_id,
        "a+run",
        "generate",
        xcoms={"runway_task_id": "one", "runway_request": request, "video_url": "https://kie.example/1.mp4"},
    )
    extension = {"model": "runway", "kind": "extend", "prompt": "On", "parent_task_id": "one"}
    history.add(
        dag_id,
        "a+run",
        "extend",
        state="running",
        xcoms={"runway_task_id": "two", "runway_request": extension},
    )
    query = {"run_id": "a+run", "task_id": "generate", "map_index": "{MAP_INDEX}"}
    told = viewer.get(f"/runway/dags/{dag_id}/data/video", params=query).json()
    assert (told["state"], told["prompt"], told["duration"]) == ("made", "<script>", 5)
    assert told["video"]["url"] == "https://kie.example/1.mp4"
    assert [(one["task_id"], one["state"], one["current"]) for one in told["family"]] == [
        ("generate", "made", True),
        ("extend", "waiting", False),
    ]

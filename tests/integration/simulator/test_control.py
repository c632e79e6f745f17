"""What the simulator saw, and how a test takes hold of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import TEXT_TO_VIDEO, Client, MakeSimulator


def test_every_creation_is_kept_with_its_body(simulator: Simulator, client: Client) -> None:
    task_id = client.create(body={**TEXT_TO_VIDEO, "waterMark": "ACME"})
    client.post("/api/v1/runway/generate", {})
    (creation,) = simulator.creations
    assert creation["task_id"] == task_id
    assert creation["path"] == "/api/v1/runway/generate"
    assert creation["body"] == {**TEXT_TO_VIDEO, "waterMark": "ACME"}
    assert creation["credits"] == 12.0
    assert simulator.stats()["credits"] == {"balance": 5904.25, "spent": 12.0}


def test_requests_are_counted_by_address_method_and_status(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    for _ in range(3):
        client.detail(task_id)
    simulator.add_fault("drop_before", "/api/v1/runway/record-detail")
    with pytest.raises(requests.ConnectionError):
        client.detail(task_id)
    requested = {
        (entry["method"], entry["path"], entry["status"]): entry["count"]
        for entry in client.control("GET", "stats").json()["requests"]
    }
    assert requested == {
        ("POST", "/api/v1/runway/generate", 200): 1,
        ("GET", "/api/v1/runway/record-detail", 200): 3,
        ("GET", "/api/v1/runway/record-detail", "dropped"): 1,
    }
    assert simulator.tasks[0]["lookups"] == 3


def test_connections_that_are_kept_alive_count_once(simulator: Simulator, client: Client) -> None:
    for _ in range(5):
        client.credits()
    assert simulator.stats()["connections"] == 1
    requests.get(f"{simulator.url}/api/v1/chat/credit", timeout=30)
    assert simulator.stats()["connections"] == 2


def test_long_lists_can_be_left_out(client: Client) -> None:
    client.create()
    summary = client.control("GET", "stats?lists=false").json()
    assert summary["creation_count"] == 1
    assert "creations" not in summary
    assert "tasks" not in summary


@pytest.mark.parametrize("where", ["result", "thumbnail", "upload"])
def test_a_key_sent_to_a_files_address_is_a_violation(
    simulator: Simulator, client: Client, where: str
) -> None:
    task_id = client.create()
    simulator.advance(600)
    video = client.detail(task_id)["videoInfo"]
    url = {
        "result": video["videoUrl"],
        "thumbnail": video["imageUrl"],
        "upload": client.upload("a.txt", b"text"),
    }[where]
    requests.get(url, timeout=30)
    assert simulator.violations == []
    client.session.get(url, timeout=30)
    assert [entry["method"] for entry in simulator.violations] == ["GET"]


def test_the_key_is_nowhere_in_the_statistics(client: Client) -> None:
    client.session.headers["Authorization"] = "Bearer very-secret"
    client.create()
    client.get("/results/none.mp4")
    assert "very-secret" not in client.control("GET", "stats").text


def test_a_task_is_forced_into_a_state(client: Client) -> None:
    task_id = client.create()
    forced = client.control(
        "POST", f"tasks/{task_id}", json={"state": "fail", "code": 422, "message": "bad picture"}
    )
    assert forced.json() == {"task_id": task_id, "state": "fail"}
    detail = client.detail(task_id)
    assert (detail["state"], detail["failCode"], detail["failMsg"]) == ("fail", 422, "bad picture")


@pytest.mark.parametrize(
    ("task", "body", "status"),
    [
        ("none", {"state": "fail"}, 404),
        ("known", {"state": "lost"}, 400),
        ("known", {}, 400),
        ("known", {"state": "fail", "colour": "red"}, 400),
        ("known", {"state": "fail", "code": "x"}, 400),
    ],
)
def test_a_state_that_makes_no_sense_is_refused(
    client: Client, task: str, body: dict[str, str], status: int
) -> None:
    task_id = client.create()
    path = f"tasks/{task_id if task == 'known' else task}"
    assert client.control("POST", path, json=body).status_code == status
    assert client.detail(task_id)["state"] == "wait"


def test_the_clock_is_put_forward_by_the_endpoint_too(client: Client) -> None:
    task_id = client.create()
    assert client.control("POST", "clock", json={"advance": 600}).status_code == 200
    assert client.detail(task_id)["state"] == "success"


NO_SECONDS = ["-1", "NaN", "Infinity", "-Infinity", "1e999", "1e300", "1" + "0" * 400, "true", '"60"', "null"]


@pytest.mark.parametrize("seconds", NO_SECONDS)
def test_a_clock_that_would_stand_nowhere_is_refused_and_leaves_the_state_file_good(
    make_simulator: MakeSimulator, tmp_path: Path, seconds: str
) -> None:
    simulator = make_simulator(state_file=tmp_path / "state.sqlite")
    client = Client(simulator.url)
    task_id = client.create()
    answer = client.control("POST", "clock", data=f'{{"advance": {seconds}}}')
    assert answer.status_code == 400
    assert "advance" in answer.json()["error"]
    with pytest.raises(ValueError, match="advance"):
        simulator.advance(json.loads(seconds))
    simulator.close()
    simulator.start()
    assert Client(simulator.url).detail(task_id)["state"] == "wait"


def test_a_reset_forgets_everything(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    simulator.add_fault("html", "/", count=None)
    client.control("POST", "reset")
    assert client.detail(task_id) is None
    assert simulator.creations == []
    assert simulator.balance == 5916.25

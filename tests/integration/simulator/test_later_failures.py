"""What kie.ai accepts and charges although it cannot become a video fails later, in the status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import MARKET_TEXT_TO_VIDEO, MINUTE, TEXT_TO_VIDEO, Client

DEAD = "https://files.invalid/a.png"


def finished(simulator: Simulator, task_id: str) -> str:
    simulator.advance(1000)
    return task_id


def assert_failed(client: Client, task_id: str, text: str) -> None:
    detail = client.detail(task_id)
    assert detail["state"] == "fail"
    assert detail["videoInfo"] is None
    assert isinstance(detail["failCode"], int)
    assert text in detail["failMsg"]


def test_a_marked_prompt_is_moderated_later(simulator: Simulator, client: Client) -> None:
    task_id = client.create(body={**TEXT_TO_VIDEO, "prompt": "Something [moderated] here"})
    assert client.detail(task_id)["state"] == "wait"
    assert_failed(client, finished(simulator, task_id), "moderator")
    assert client.credits() == 5916.25 - 12


def test_an_extension_of_an_unknown_parent_fails_later(simulator: Simulator, client: Client) -> None:
    assert_failed(client, finished(simulator, client.extend("nobody")), "does not exist")


def test_an_extension_of_a_1080p_video_fails_later(simulator: Simulator, client: Client) -> None:
    parent = finished(simulator, client.create(body={**TEXT_TO_VIDEO, "quality": "1080p"}))
    assert_failed(client, finished(simulator, client.extend(parent)), "1080p")


def test_an_extension_of_the_other_generations_task_fails_later(simulator: Simulator, client: Client) -> None:
    parent = finished(simulator, client.create_on_market())
    assert_failed(client, finished(simulator, client.extend(parent)), "does not exist")


def test_an_extension_of_an_unfinished_video_fails_later(simulator: Simulator, client: Client) -> None:
    assert_failed(client, finished(simulator, client.extend(client.create())), "has no video")


def test_an_extension_of_a_finished_video_succeeds(simulator: Simulator, client: Client) -> None:
    parent = finished(simulator, client.create())
    extension = finished(simulator, client.extend(parent))
    again = finished(simulator, client.extend(extension))
    assert client.detail(extension)["parentTaskId"] == parent
    assert client.detail(again)["state"] == "success"


@pytest.mark.parametrize("url", [DEAD, "{simulator}/files/kieai/none.png", "{simulator}/nothing"])
def test_a_dead_picture_fails_later(simulator: Simulator, client: Client, url: str) -> None:
    body = {**TEXT_TO_VIDEO, "imageUrl": url.format(simulator=simulator.url)}
    task_id = finished(simulator, client.create(body=body))
    assert_failed(client, task_id, "image")
    assert client.detail(task_id)["failCode"] == 451


def test_an_uploaded_picture_is_good(simulator: Simulator, client: Client) -> None:
    body = {**TEXT_TO_VIDEO, "imageUrl": client.upload("a.png", b"picture")}
    assert client.detail(finished(simulator, client.create(body=body)))["state"] == "success"


@pytest.mark.parametrize(
    "url", [DEAD, "http://files.example.com/a.mp4", "{simulator}/results/none.mp4", "{simulator}/"]
)
def test_a_dead_source_video_fails_later(simulator: Simulator, client: Client, url: str) -> None:
    task_id = finished(simulator, client.restyle(url.format(simulator=simulator.url)))
    assert client.aleph_info(task_id)["successFlag"] == 3
    assert "video" in client.aleph_info(task_id)["errorMessage"]


def test_a_source_of_more_than_ten_megabytes_fails_later(simulator: Simulator, client: Client) -> None:
    url = client.upload("large.mp4", bytes(10 * 1024 * 1024 + 1))
    assert client.aleph_info(finished(simulator, client.restyle(url)))["successFlag"] == 3


def test_a_video_made_here_is_a_good_source_until_it_expires(simulator: Simulator, client: Client) -> None:
    made = finished(simulator, client.create())
    url = client.detail(made)["videoInfo"]["videoUrl"]
    assert client.aleph_info(finished(simulator, client.restyle(url)))["successFlag"] == 1
    simulator.advance(15 * 86400)
    assert client.aleph_info(finished(simulator, client.restyle(url)))["successFlag"] == 3


def test_a_failed_market_task_says_why_with_its_code_as_text(simulator: Simulator, client: Client) -> None:
    body = json.loads(json.dumps(MARKET_TEXT_TO_VIDEO))
    body["input"]["prompt"] = "[moderated]"
    data: Any = client.record_info(finished(simulator, client.create_on_market(body)))["data"]
    assert (data["state"], data["failCode"], data["resultJson"]) == ("fail", "400", "")
    assert "moderator" in data["failMsg"]


def test_a_video_expires_after_fourteen_days(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    simulator.advance(600)
    url = client.detail(task_id)["videoInfo"]["videoUrl"]
    assert client.session.get(url, headers={"Authorization": None}, timeout=30).status_code == 200
    simulator.advance(14 * 86400)
    assert client.detail(task_id)["expireFlag"] == 1
    assert client.session.get(url, headers={"Authorization": None}, timeout=30).status_code == 404


def test_tasks_differ_in_their_time_and_a_seed_repeats_it(make_simulator: Any) -> None:
    def times(seed: int) -> list[float]:
        simulator = make_simulator(spread=0.15, seed=seed)
        client = Client(simulator.url)
        for _ in range(3):
            client.create()
        return [round(task["ends_at"] - task["created_at"], 3) for task in simulator.tasks]

    first = times(1)
    assert first == times(1)
    assert first != times(2)
    assert len(set(first)) == 3
    base = 2 * MINUTE + 33
    assert all(base * 0.85 <= seconds <= base * 1.15 for seconds in first)

"""What kie.ai accepts and charges although it cannot become a video fails later, in the status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import MARKET_TEXT_TO_VIDEO, MINUTE, TEXT_TO_VIDEO, Client

DEAD = "https://files.invalid/a.png"
#: How a PNG, a JPEG, a WebP and an MP4 begin.
PICTURES = [b"\x89PNG\r\n\x1a\n picture", b"\xff\xd8\xff\xe0 picture", b"RIFF1234WEBP picture"]
MP4 = b"\0\0\0\x18ftypmp42 video"
#: Bytes that kie.ai takes.
MOST = 10 * 1024 * 1024


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


@pytest.mark.parametrize("content", PICTURES)
def test_an_uploaded_picture_is_good(simulator: Simulator, client: Client, content: bytes) -> None:
    url = client.upload("a.png", content)
    body = {**TEXT_TO_VIDEO, "imageUrl": url}
    assert client.detail(finished(simulator, client.create(body=body)))["state"] == "success"
    task_id = finished(simulator, client.restyle(client.upload("a.mp4", MP4), referenceImage=url))
    assert client.aleph_info(task_id)["successFlag"] == 1


@pytest.mark.parametrize("content", [MP4, b"", b"no picture", b"RIFF1234WAVE"])
def test_what_is_no_picture_fails_later_in_its_place(
    simulator: Simulator, client: Client, content: bytes
) -> None:
    url = client.upload("a.png", content)
    task_id = finished(simulator, client.create(body={**TEXT_TO_VIDEO, "imageUrl": url}))
    assert_failed(client, task_id, "image")
    assert client.detail(task_id)["failCode"] == 400
    task_id = finished(simulator, client.restyle(client.upload("a.mp4", MP4), referenceImage=url))
    assert client.aleph_info(task_id)["successFlag"] == 3
    assert "image" in client.aleph_info(task_id)["errorMessage"]


@pytest.mark.parametrize("content", [*PICTURES, b"", b"no video"])
def test_what_is_no_video_fails_later_as_a_source(
    simulator: Simulator, client: Client, content: bytes
) -> None:
    task_id = finished(simulator, client.restyle(client.upload("a.mp4", content)))
    assert client.aleph_info(task_id)["successFlag"] == 3
    assert "video" in client.aleph_info(task_id)["errorMessage"]


def test_a_result_is_good_for_what_it_is_alone(simulator: Simulator, client: Client) -> None:
    made = client.detail(finished(simulator, client.create()))["videoInfo"]
    body = {**TEXT_TO_VIDEO, "imageUrl": made["imageUrl"]}
    assert client.detail(finished(simulator, client.create(body=body)))["state"] == "success"
    body = {**TEXT_TO_VIDEO, "imageUrl": made["videoUrl"]}
    assert_failed(client, finished(simulator, client.create(body=body)), "image")
    task_id = finished(simulator, client.restyle(made["imageUrl"]))
    assert client.aleph_info(task_id)["successFlag"] == 3


@pytest.mark.parametrize(
    "url", [DEAD, "http://files.example.com/a.mp4", "{simulator}/results/none.mp4", "{simulator}/"]
)
def test_a_dead_source_video_fails_later(simulator: Simulator, client: Client, url: str) -> None:
    task_id = finished(simulator, client.restyle(url.format(simulator=simulator.url)))
    assert client.aleph_info(task_id)["successFlag"] == 3
    assert "video" in client.aleph_info(task_id)["errorMessage"]


@pytest.mark.parametrize(("size", "is_good"), [(MOST, True), (MOST + 1, False)])
def test_a_picture_or_a_source_of_more_than_ten_megabytes_fails_later(
    simulator: Simulator, client: Client, size: int, is_good: bool
) -> None:
    video, picture = (client.upload("large", start.ljust(size, b"\0")) for start in (MP4, PICTURES[0]))
    task_id = finished(simulator, client.restyle(video))
    assert client.aleph_info(task_id)["successFlag"] == (1 if is_good else 3)
    task_id = finished(simulator, client.create(body={**TEXT_TO_VIDEO, "imageUrl": picture}))
    assert client.detail(task_id)["state"] == ("success" if is_good else "fail")


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

"""A task's end reported to its ``callBackUrl``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_runway.simulator import Settings, Simulator, callbacks
from tests.integration.simulator.conftest import (
    MARKET_TEXT_TO_VIDEO,
    TEXT_TO_VIDEO,
    Client,
    MakeSimulator,
    Receiver,
    wait_for_callbacks,
)

KEY = "webhook-key"


@pytest.fixture
def simulator(make_simulator: MakeSimulator) -> Simulator:
    return make_simulator(webhook_key=KEY, callback_retry_seconds=0.01)


def test_a_finished_generation_is_reported_and_signed(
    simulator: Simulator, client: Client, receiver: Receiver
) -> None:
    task_id = client.create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    headers, body = receiver.wait()[0]
    video = client.detail(task_id)["videoInfo"]
    assert body["code"] == 200
    assert body["data"] == {
        "task_id": task_id,
        "video_id": video["videoId"],
        "video_url": video["videoUrl"],
        "image_url": video["imageUrl"],
    }
    signed = f"{task_id}.{headers['X-Webhook-Timestamp']}".encode()
    expected = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["X-Webhook-Signature"] == expected
    assert headers["User-Agent"] == "kie.ai-simulator"
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("fault", "code"), [("moderation", 400), ("upstream_failure", 500)])
def test_a_failed_generation_is_reported_with_empty_addresses(
    client: Client, simulator: Simulator, receiver: Receiver, fault: str, code: int
) -> None:
    simulator.add_fault(fault)
    task_id = client.create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert body["code"] == code
    assert body["data"] == {"task_id": task_id, "video_id": "", "video_url": "", "image_url": ""}


def test_aleph_names_its_task_beside_the_data(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    done = client.restyle("https://files.example.com/a.mp4", callBackUrl=receiver.url)
    failed = client.restyle("https://files.invalid/a.mp4", callBackUrl=receiver.url)
    simulator.advance(600)
    bodies = {body["taskId"]: body for _, body in receiver.wait(2)}
    video = client.aleph_info(done)["response"]
    assert bodies[done] == {
        "code": 200,
        "msg": "success",
        "data": {"result_video_url": video["resultVideoUrl"], "result_image_url": video["resultImageUrl"]},
        "taskId": done,
    }
    assert bodies[failed].keys() == {"code", "msg", "data", "taskId"}
    assert (bodies[failed]["code"], bodies[failed]["data"]) == (400, None)


def test_aleph_can_name_its_task_within_the_data(make_simulator: MakeSimulator, receiver: Receiver) -> None:
    simulator = make_simulator(aleph_callback="data")
    client = Client(simulator.url)
    done = client.restyle("https://files.example.com/a.mp4", callBackUrl=receiver.url)
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert body.keys() == {"code", "msg", "data"}
    assert body["data"].keys() == {"task_id", "result_video_url", "result_image_url"}
    assert body["data"]["task_id"] == done
    # Without data there is only one place left for the ID.
    failed = client.restyle("https://files.invalid/a.mp4", callBackUrl=receiver.url)
    simulator.advance(600)
    _, body = receiver.wait(2)[1]
    assert (body["code"], body["data"], body["taskId"]) == (400, None, failed)


def test_a_third_place_for_alephs_id_is_refused() -> None:
    with pytest.raises(ValueError, match="aleph_callback must be one of root, data"):
        Settings(aleph_callback="both")


def test_a_market_task_is_reported_with_its_record(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    task_id = client.create_on_market({**MARKET_TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert (body["code"], body["msg"]) == (200, "Playground task completed successfully.")
    assert body["data"]["taskId"] == task_id
    assert (body["data"]["model"], body["data"]["state"]) == ("runway", "success")
    assert len(json.loads(body["data"]["resultJson"])["resultUrls"]) == 1
    assert body["data"]["resultJson"] == client.record_info(task_id)["data"]["resultJson"]
    assert body["data"].keys() == {
        *("taskId", "model", "state", "param", "resultJson", "costTime"),
        *("completeTime", "createTime", "updateTime", "creditsConsumed"),
    }


def test_a_failed_market_task_is_reported_without_a_result(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    asked = {**MARKET_TEXT_TO_VIDEO["input"], "prompt": "[moderated]"}
    task_id = client.create_on_market({**MARKET_TEXT_TO_VIDEO, "input": asked, "callBackUrl": receiver.url})
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert (body["code"], body["msg"]) == (501, "Playground task failed.")
    assert (
        body["data"] | {"taskId": task_id, "state": "fail", "failCode": "GENERATION_FAILED"} == body["data"]
    )
    assert body["data"]["failMsg"]
    assert body["data"]["resultJson"] is None


def test_a_failed_extension_is_reported_with_its_id_alone(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    task_id = client.extend("nobodys", callBackUrl=receiver.url)
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert body["code"] == 400
    assert body["data"] == {"task_id": task_id}


def test_a_refused_callback_is_sent_three_times_more(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    receiver.statuses = [500, 404, 503, 500, 503, 503, 200]
    body = {**TEXT_TO_VIDEO, "callBackUrl": receiver.url}
    task_id = client.create(body=body)
    simulator.force_task(task_id, "success")
    receiver.wait(4)
    sent = wait_for_callbacks(simulator, 4)
    assert [entry["status"] for entry in sent] == [500, 404, 503, 500]
    assert [entry["attempt"] for entry in sent] == [1, 2, 3, 4]
    other_id = client.create(body=body)
    simulator.advance(1000)
    # The pause before a fifth would have begun before those between the other task's three, so it would come
    # among them.
    told_of = [body["data"]["task_id"] for _, body in receiver.wait(7)]
    assert told_of == [task_id] * 4 + [other_id] * 3


def test_without_a_webhook_key_nothing_is_signed(make_simulator: MakeSimulator, receiver: Receiver) -> None:
    simulator = make_simulator(speed=1000)
    Client(simulator.url).create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    headers, _ = receiver.wait()[0]
    assert not [name for name in headers if name.lower().startswith("x-webhook")]


def test_each_try_is_signed_with_a_time_of_its_own(
    client: Client, simulator: Simulator, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count(1_700_000_000)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(time=lambda: next(seconds)))
    receiver.statuses = [500, 500]
    task_id = client.create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    tries = [headers for headers, _ in receiver.wait(3)]
    assert [headers["X-Webhook-Timestamp"] for headers in tries] == [
        str(1_700_000_000 + number) for number in range(3)
    ]
    for headers in tries:
        signed = f"{task_id}.{headers['X-Webhook-Timestamp']}".encode()
        digest = hmac.new(KEY.encode(), signed, hashlib.sha256).digest()
        assert headers["X-Webhook-Signature"] == base64.b64encode(digest).decode()


def test_a_redirect_is_not_followed(client: Client, simulator: Simulator, receiver: Receiver) -> None:
    receiver.statuses = [302, 307, 204]
    receiver.location = receiver.url + "/elsewhere"
    client.create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    sent = wait_for_callbacks(simulator, 4)
    assert [entry["status"] for entry in sent] == [302, 307, 204, 200]
    assert receiver.paths == ["/callback"] * 4


def test_who_does_not_answer_in_time_is_asked_three_times_more(
    make_simulator: MakeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (callbacks.ANSWER_SECONDS, callbacks.RETRIES) == (15, 3)
    monkeypatch.setattr(callbacks, "ANSWER_SECONDS", 0.05)
    simulator = make_simulator(callback_retry_seconds=0.01)
    # It takes connections, and says nothing on them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        Client(simulator.url).create(body={**TEXT_TO_VIDEO, "callBackUrl": url})
        simulator.advance(600)
        sent = wait_for_callbacks(simulator, 4)
    assert [entry["status"] for entry in sent] == ["TimeoutError"] * 4


def test_a_task_forced_to_end_twice_is_told_of_once(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    body = {**TEXT_TO_VIDEO, "callBackUrl": receiver.url}
    receiver.statuses = [500]
    task_id = client.create(body=body)
    simulator.force_task(task_id, "success")
    simulator.force_task(task_id, "success")
    assert [entry["attempt"] for entry in wait_for_callbacks(simulator, 2)] == [1, 2]
    other_id = client.create(body=body)
    simulator.advance(1000)
    assert [told["data"]["task_id"] for _, told in receiver.wait(3)] == [task_id, task_id, other_id]


def test_a_task_forgotten_between_two_tries_is_not_kept(
    make_simulator: MakeSimulator, receiver: Receiver, tmp_path: Path
) -> None:
    simulator = make_simulator(state_file=tmp_path / "state.sqlite", callback_retry_seconds=0.01)
    receiver.statuses = [500]
    receiver.gate.clear()
    Client(simulator.url).create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    receiver.wait()
    simulator.reset()
    receiver.gate.set()
    wait_for_callbacks(simulator, 1)
    simulator.close()
    assert make_simulator(state_file=tmp_path / "state.sqlite").tasks == []

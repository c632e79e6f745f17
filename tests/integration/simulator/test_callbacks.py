"""A task's end reported to its ``callBackUrl``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import MARKET_TEXT_TO_VIDEO, TEXT_TO_VIDEO, Client, MakeSimulator

KEY = "webhook-key"


class Receiver:
    """Takes callbacks and answers them with ``statuses``, 200 after those."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], Any]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.received.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/callback"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int = 1) -> list[tuple[dict[str, str], Any]]:
        deadline = time.monotonic() + 30
        while len(self.received) < count:
            assert time.monotonic() < deadline, self.received
            time.sleep(0.01)
        return self.received


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


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


def test_a_failed_generation_is_reported_with_empty_addresses(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    task_id = client.create(body={**TEXT_TO_VIDEO, "callBackUrl": receiver.url, "prompt": "[moderated]"})
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert body["code"] == 400
    assert body["data"] == {"task_id": task_id, "video_id": "", "video_url": "", "image_url": ""}


def test_aleph_names_its_task_beside_the_data(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    done = client.restyle("https://files.example.com/a.mp4", callBackUrl=receiver.url)
    failed = client.restyle("https://files.invalid/a.mp4", callBackUrl=receiver.url)
    simulator.advance(600)
    bodies = {body["taskId"]: body for _, body in receiver.wait(2)}
    assert bodies[done]["data"]["result_video_url"].endswith(".mp4")
    assert (bodies[failed]["code"], bodies[failed]["data"]) == (400, None)


def test_a_market_task_is_reported_with_its_record(
    client: Client, simulator: Simulator, receiver: Receiver
) -> None:
    task_id = client.create_on_market({**MARKET_TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    simulator.advance(600)
    _, body = receiver.wait()[0]
    assert body["data"]["taskId"] == task_id
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
    deadline = time.monotonic() + 30
    while len(simulator.stats()["callbacks"]) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    sent = simulator.stats()["callbacks"]
    assert [entry["status"] for entry in sent] == [500, 404, 503, 500]
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

"""A simulator for each test, and the plainest client there is: it knows no rule of the API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests

from airflow_provider_runway.simulator import Simulator

TEXT_TO_VIDEO = {"prompt": "A paper boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
MARKET_TEXT_TO_VIDEO: dict[str, Any] = {
    "model": "runway",
    "input": {"prompt": "A paper boat", "duration": "5", "quality": "720p", "aspect_ratio": "16:9"},
}
#: How long a task waits, is queued and cannot be seen, in seconds: a busy machine may take its time.
MINUTE = 60.0
HEADERS = {"Authorization": "Bearer key", "User-Agent": "tests/1"}


class Client:
    """Sends what it is told to.

    :param url: the simulator's base URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(HEADERS)

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.session.post(self.url + path, json=body, timeout=30, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=30, **options)

    def control(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}/_simulator/{path}", timeout=30, **options)

    def create(self, path: str = "/api/v1/runway/generate", body: Any = TEXT_TO_VIDEO) -> str:
        answer = self.post(path, body).json()
        assert answer["code"] == 200, answer
        return str(answer["data"]["taskId"])

    def create_on_market(self, body: Any = MARKET_TEXT_TO_VIDEO) -> str:
        return self.create("/api/v1/jobs/createTask", body)

    def extend(self, parent: str, **changes: Any) -> str:
        body = {"taskId": parent, "prompt": "It sails on", "quality": "720p", **changes}
        return self.create("/api/v1/runway/extend", body)

    def restyle(self, video_url: str, **changes: Any) -> str:
        body = {"prompt": "As a watercolour", "videoUrl": video_url, **changes}
        return self.create("/api/v1/aleph/generate", body)

    def detail(self, task_id: str) -> Any:
        return self.get(f"/api/v1/runway/record-detail?taskId={task_id}").json()["data"]

    def aleph_info(self, task_id: str) -> Any:
        return self.get(f"/api/v1/aleph/record-info?taskId={task_id}").json()["data"]

    def record_info(self, task_id: str) -> Any:
        return self.get(f"/api/v1/jobs/recordInfo?taskId={task_id}").json()

    def credits(self) -> float:
        return float(self.get("/api/v1/chat/credit").json()["data"])

    def upload(self, name: str, content: bytes, **fields: str) -> str:
        answer = self.session.post(
            f"{self.url}/api/file-stream-upload",
            files={"file": (name, content)},
            data={"uploadPath": "tests", **fields},
            timeout=30,
        ).json()
        return str(answer["data"]["downloadUrl"])


MakeSimulator = Callable[..., Simulator]


@pytest.fixture
def make_simulator() -> Iterator[MakeSimulator]:
    """Start simulators whose tasks take exactly the time they are set to, and draw nothing.

    They spend a minute in each of the states before the generation, and have all ended after ten.
    """
    durations = {"waiting_seconds": MINUTE, "queueing_seconds": MINUTE, "invisible_seconds": MINUTE}
    started: list[Simulator] = []

    def make(**settings: Any) -> Simulator:
        simulator = Simulator(**{"spread": 0.0, "render": False, **durations, **settings})
        simulator.start()
        started.append(simulator)
        return simulator

    yield make
    for simulator in started:
        simulator.close()


@pytest.fixture
def simulator(make_simulator: MakeSimulator) -> Simulator:
    """A simulator that is no faster than the real service; tests put its clock forward instead of waiting."""
    return make_simulator()


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator.url)


class Receiver:
    """Takes callbacks, one after the other, and answers them with ``statuses``, 200 after those.

    :ivar location: where a redirect among the statuses leads to.
    :ivar gate: cleared, it holds the answers back.
    """

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], Any]] = []
        self.paths: list[str] = []
        self.statuses: list[int] = []
        self.location = ""
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.paths.append(self.path)
                receiver.received.append((dict(self.headers), body))
                receiver.gate.wait(30)
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                if receiver.location:
                    self.send_header("Location", receiver.location)
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
    receiver.gate.set()
    receiver.server.shutdown()
    receiver.server.server_close()


def wait_for_callbacks(simulator: Simulator, count: int) -> list[dict[str, Any]]:
    """Return the callbacks that were noted, as soon as there are so many."""
    deadline = time.monotonic() + 30
    while len(noted := simulator.stats()["callbacks"]) < count:
        assert time.monotonic() < deadline, noted
        time.sleep(0.01)
    return list(noted)

"""The service that all sides ask: small and fast, so that the clients are what is measured.

It keeps nothing: a task's ID says when the task was made and when it is ready. It answers as kie.ai does, as
dbt Cloud does, and in the way of the HTTP provider's sensor, for which 404 means "not yet". What is
submitted is ready after 30 to 45 s.

    python -m benchmarks.server --port 8900 [--certificate FILE --key FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import ssl
import sys
import time
from collections import Counter
from typing import NamedTuple

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")

#: What a status request to kie.ai was seen to return, and what it has once the video is there.
_GENERATING = {
    "parentTaskId": None,
    "generateParam": {
        "prompt": "A paper boat on a quiet lake at dawn",
        "imageUrl": None,
        "expandPrompt": None,
    },
    "state": "generating",
    "videoInfo": None,
    "failCode": "",
    "failMsg": "",
    "expireFlag": 0,
}
_VIDEO = {
    "videoId": "394580272376856",
    "videoUrl": "https://tempfile.example.com/p/7d2c58e1cf02a1a1b9c447cee9e0e5f7_1_1774788532_2001.mp4",
    "imageUrl": "https://tempfile.example.com/p/7d2c58e1cf02a1a1b9c447cee9e0e5f7_1_1774788533_2855.jpg",
}


class Task(NamedTuple):
    """A task of the benchmark: when it was made and when it is ready, in epoch seconds."""

    created_at: float
    ready_at: float
    number: int

    @property
    def id(self) -> str:
        """Its ID, digits only, since dbt Cloud has numbers."""
        lasts = round((self.ready_at - self.created_at) * 1000)
        return f"{round(self.created_at * 1000):013d}{lasts:07d}{self.number:06d}"

    @classmethod
    def from_id(cls, task_id: str) -> Task:
        """Read an ID back."""
        created_at = int(task_id[:13]) / 1000
        return cls(created_at, created_at + int(task_id[13:20]) / 1000, int(task_id[20:]))


def answer(path: str, now: float) -> tuple[int, bytes]:
    """
    Return status and body for a poll.

    :param path: The request's path with its query.
    :param now: The time, epoch seconds.
    """
    route, _, query = path.partition("?")
    if route == "/api/v1/runway/record-detail":
        task_id = query.removeprefix("taskId=")
        task = Task.from_id(task_id)
        data = {**_GENERATING, "taskId": task_id, "generateTime": str(int(task.created_at))}
        if now >= task.ready_at:
            data |= {"state": "success", "videoInfo": {**_VIDEO, "taskId": task_id}}
        return 200, json.dumps({"code": 200, "msg": "success", "data": data}).encode()
    # 404 as long as it is not ready.
    task_id = route.rstrip("/").rsplit("/", 1)[1]
    is_ready = now >= Task.from_id(task_id).ready_at
    if route.startswith("/ready/"):
        return (200 if is_ready else 404), b'{"videoUrl": "https://tempfile.example.com/p/1.mp4"}'
    # dbt Cloud: 3 is running, 10 is success.
    data = {**_GENERATING, "id": int(task_id), "status": 10 if is_ready else 3}
    return 200, json.dumps({"status": {"code": 200, "is_success": True}, "data": data}).encode()


def create(number: int, now: float) -> bytes:
    """
    Return the body of the answer to a creation.

    :param number: How many there were before.
    :param now: The time, epoch seconds.
    """
    task = Task(now, now + 30 + 15 * (number % 200) / 200, number)
    return json.dumps({"code": 200, "msg": "success", "data": {"taskId": task.id}}).encode()


class Counters:
    """What the server saw since they were last read."""

    def __init__(self) -> None:
        self.polls = 0
        self.creations = 0
        self.connections = 0
        self.cpu = time.process_time()
        self.by_second: Counter[int] = Counter()

    def count(self, now: float) -> None:
        """Count a poll.

        :param now: The time, epoch seconds.
        """
        self.polls += 1
        self.by_second[int(now)] += 1

    def read(self) -> bytes:
        """Return them as JSON, and begin afresh."""
        now = time.process_time()
        seen = {
            "polls": self.polls,
            "polls_by_second": self.by_second,
            "connections": self.connections,
            "cpu": now - self.cpu,
        }
        self.polls, self.connections, self.cpu, self.by_second = 0, 0, now, Counter()
        return json.dumps(seen).encode()


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept alive."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._counters.connections += 1
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received and self._transport:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            method, path, _ = head.decode("latin-1").split(" ", 2)
            if method == "POST":
                length = int(_LENGTH.search(head)[1])  # type: ignore[index]
                if len(rest) < length:
                    return
                rest = rest[length:]
            self._received = rest
            now = time.time()
            if path == "/counters":
                status, body = 200, self._counters.read()
            elif method == "POST":
                status, body = 200, create(self._counters.creations, now)
                self._counters.creations += 1
            else:
                self._counters.count(now)
                status, body = answer(path, now)
            self._transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (status, b"OK" if status == 200 else b"Not Found", len(body), body)
            )


async def serve(port: int, tls: ssl.SSLContext | None) -> None:
    """Answer until the process is asked to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    counters = Counters()
    server = await loop.create_server(
        lambda: Connection(counters), "127.0.0.1", port, ssl=tls, backlog=20_000
    )
    print("ready", flush=True)
    async with server:
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    options = parser.parse_args()
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    # Here, so that the rest of this module is good for an environment without it.
    import uvloop

    uvloop.install()
    try:
        asyncio.run(serve(options.port, tls))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""A server that answers as it is told and keeps every request as it came, headers and all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from typing_extensions import Self


class Request(NamedTuple):
    """A request as it came; header names are in lower case, ``connection`` tells TCP connections apart."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


def mp4(size: int = 1000) -> bytes:
    """Return what is built as an MP4 is: a box that says so, and one of all the rest.

    :param size: in bytes, more than 40
    """
    head = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
    rest = (size - len(head)).to_bytes(4, "big") + b"mdat"
    return head + rest + bytes(number % 251 for number in range(size - len(head) - len(rest)))


class Answer(NamedTuple):
    """What to answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = {}


def envelope(data: Any = None, code: int = 200, msg: str = "success") -> Answer:
    """Return an answer of kie.ai's."""
    return Answer(json.dumps({"code": code, "msg": msg, "data": data}).encode())


#: The connection is closed instead of answered.
DROP = Answer(status=0)

Script = Callable[[Request], Answer]


def always(answer: Answer) -> Script:
    """Return a script that answers the same to every request."""
    return lambda request: answer


class Recorder:
    """The server, on loopback; ``answer`` is called for each request and may be replaced."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        #: Names of headers that are not sent unless an answer has them.
        self.leave_out: set[str] = set()
        self.answer: Script = lambda request: envelope(100.0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body, self.client_address[1])
                recorder.requests.append(request)
                answer = recorder.answer(request)
                if answer is DROP:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                length = {"Content-Length": str(len(answer.body))}
                if "Content-Length" in recorder.leave_out:
                    length = {}
                for name, value in {**length, **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = answer.headers.get("Connection") == "close"

            do_GET = do_POST = do_HEAD = _serve

            def log_message(self, *_: Any) -> None:
                """Be silent."""

        return Handler

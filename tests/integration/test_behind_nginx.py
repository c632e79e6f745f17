"""The proxy that the page about callbacks shows lets a callback through, and nothing else."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.harness.processes import free_port
from tests.integration.recorder import Recorder, envelope
from tests.pages import snippets

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


@pytest.fixture
def nginx(recorder: Recorder, tmp_path: Path) -> Iterator[str]:
    """The URL of nginx in front of a server, with the configuration of the page."""
    recorder.answer = lambda request: envelope()
    (snippet,) = snippets("nginx")
    location = snippet.source.replace("http://airflow-api-server:8080", recorder.url)
    assert recorder.url in location
    port = free_port()
    (tmp_path / "nginx.conf").write_text(
        CONFIGURATION.format(folder=tmp_path, port=port, location=location), encoding="utf-8"
    )
    command = [str(NGINX), "-p", str(tmp_path), "-c", "nginx.conf", "-e", str(tmp_path / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, "nginx has ended"
        assert time.monotonic() < deadline, "nginx does not listen"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def test_a_callback_gets_through_as_it_was_sent(nginx: str, recorder: Recorder) -> None:
    address = "/runway-callbacks/v1/runway_default/token"
    headers = {"X-Webhook-Timestamp": "1790000000", "X-Webhook-Signature": "c2lnbmVk"}
    answer = requests.post(f"{nginx}{address}", json={"code": 200}, headers=headers, timeout=10)
    assert answer.status_code == 200
    (request,) = recorder.requests
    assert (request.method, request.path, request.body) == ("POST", address, b'{"code": 200}')
    assert request.headers["x-webhook-signature"] == "c2lnbmVk"
    assert request.headers["x-webhook-timestamp"] == "1790000000"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_do_not(method: str, nginx: str, recorder: Recorder) -> None:
    answer = requests.request(method, f"{nginx}/runway-callbacks/v1/token", timeout=10)
    assert answer.status_code == 403
    assert recorder.requests == []


def test_other_paths_do_not(nginx: str, recorder: Recorder) -> None:
    for path in ("/", "/api/v2/dags", "/runway-callbacks/../api/v2/dags"):
        assert requests.post(f"{nginx}{path}", data=b"", timeout=10).status_code in (403, 404, 405)
    assert recorder.requests == []


def test_what_is_too_long_for_a_callback_does_not(nginx: str, recorder: Recorder) -> None:
    answer = requests.post(f"{nginx}/runway-callbacks/v1/token", data=b"x" * (65 * 1024), timeout=10)
    assert answer.status_code == 413
    assert recorder.requests == []

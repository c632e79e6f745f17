"""Redirects: a download follows them itself, each looked at anew, and nobody reads their bodies."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_runway.exceptions import RunwayUnreadableAnswerError, RunwayValidationError
from airflow_provider_runway.hooks.runway import RunwayHook
from tests.integration.recorder import Answer, Recorder, Request, envelope, mp4

pytestmark = pytest.mark.usefixtures("pauses")

VIDEO = mp4(100_000)
Connect = Callable[..., str]


def bomb(mebibytes: int) -> bytes:
    """Return a gzip of so many MiB of nothing."""
    packing = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return b"".join(packing.compress(bytes(2**20)) for _ in range(mebibytes)) + packing.flush()


def redirecting(recorder: Recorder, location: str, body: bytes = b"", **headers: str) -> None:
    """Let a server send whoever asks for anything but ``/there.mp4`` to another address."""

    def answer(request: Request) -> Answer:
        if request.path.endswith("/there.mp4"):
            return Answer(VIDEO)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(body, 302, {"Location": location, **named})

    recorder.answer = answer


def peak_of(action: Callable[[], object]) -> int:
    """Return how many bytes were in use at once while something was done."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_body_of_a_redirect_is_not_unpacked(recorder: Recorder, connect: Connect, tmp_path: Path) -> None:
    connect(host=recorder.url)
    redirecting(recorder, "/there.mp4", bomb(64), Content_Encoding="gzip")
    path = f"{tmp_path}/boat.mp4"
    peak = peak_of(lambda: RunwayHook().keep_video(path, video_url=f"{recorder.url}/boat.mp4"))
    assert Path(path).read_bytes() == VIDEO
    assert peak < 16 * 2**20


def test_nor_is_that_of_a_redirect_of_the_api(recorder: Recorder, connect: Connect) -> None:
    connect(host=recorder.url)
    redirecting(recorder, "/elsewhere", bomb(64), Content_Encoding="gzip")

    def ask() -> None:
        with pytest.raises(RunwayUnreadableAnswerError):
            RunwayHook(patience=0).get_credits()

    assert peak_of(ask) < 16 * 2**20
    assert len(recorder.requests) == 1


def test_a_redirect_is_no_answer_of_the_api_whatever_its_body_says(
    recorder: Recorder, connect: Connect
) -> None:
    connect(host=recorder.url)
    redirecting(recorder, "/elsewhere", envelope(7.0).body)
    with pytest.raises(RunwayUnreadableAnswerError, match="302"):
        RunwayHook(patience=0).get_credits()


def test_the_connections_limit_of_redirects_is_none_of_downloads(
    recorder: Recorder, connect: Connect, tmp_path: Path
) -> None:
    connect(host=recorder.url, extra={"max_redirects": 0})
    redirecting(recorder, "/there.mp4")
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=f"{recorder.url}/boat.mp4")
    assert kept.size == len(VIDEO)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254\\@1.1.1.1/latest",
        "http://169.254.169.254/latest",
        "http://169.254.169%2e254/latest",
        "http://[64:ff9b:1::a9fe:a9fe]/latest",
    ],
)
def test_a_proxy_is_sent_to_no_private_address_however_it_is_written(
    recorder: Recorder, connect: Connect, tmp_path: Path, location: str
) -> None:
    connect(extra={"proxies": {"http": recorder.url}})
    redirecting(recorder, location)
    with pytest.raises(RunwayValidationError, match="allow_private_hosts"):
        RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url="http://files.invalid/boat.mp4")
    assert [request.path for request in recorder.requests] == ["http://files.invalid/boat.mp4"]
    assert list(tmp_path.iterdir()) == []

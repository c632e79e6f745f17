"""Storing a video: streamed, whole or not at all, and without the API key."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwayServerError,
    RunwayStorageError,
    RunwayTaskRejectedError,
    RunwayValidationError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.operators.runway import RunwayDownloadOperator
from airflow_provider_runway.simulator import Simulator
from tests.integration.conftest import KEY
from tests.integration.recorder import Answer, Recorder, envelope, mp4
from tests.storages import skip_where_airflow_takes_none

pytestmark = pytest.mark.usefixtures("pauses")

VIDEO = mp4(2**20)


def download(context: Any, path: Any, **arguments: Any) -> str:
    """Run the operator."""
    result: str = RunwayDownloadOperator(task_id="download", path=str(path), **arguments).execute(context)
    return result


def submit(simulator: Simulator, *faults: str) -> str:
    """Return the ID of a new task that has ended, made with these faults."""
    for fault in faults:
        simulator.add_fault(fault)
    task_id = RunwayHook().submit(GenerateVideo("A paper boat"))
    simulator.advance(600)
    return task_id


@pytest.fixture
def serve(recorder: Recorder, connect: Callable[..., str]) -> Callable[..., str]:
    """Return a function that makes the recorder serve a file, and returns its URL."""

    def start(
        body: bytes = VIDEO, status: int = 200, extra: dict[str, Any] | None = None, **headers: str
    ) -> str:
        connect(host=recorder.url, extra=extra or {})
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        recorder.answer = lambda request: Answer(body, status, {"Content-Type": "video/mp4", **headers})
        return f"{recorder.url}/results/boat.mp4?signature=1"

    return start


def test_a_task_id_becomes_a_file(runway_simulator: Simulator, context: Any, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "boat.mp4"
    task_id = submit(runway_simulator)
    assert download(context, path, runway_task_id=task_id) == str(path)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert [entry.name for entry in path.parent.iterdir()] == ["boat.mp4"]
    assert runway_simulator.violations == []


def test_a_url_becomes_a_file_without_a_look_up(
    recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path
) -> None:
    download(context, tmp_path / "boat.mp4", video_url=serve())
    assert (tmp_path / "boat.mp4").read_bytes() == VIDEO
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("address", ["http://[/", "http://127.0.0.1:port/", "http://"])
def test_a_redirect_to_an_address_that_cannot_be_parsed_is_an_error_of_ours(
    serve: Callable[..., str], tmp_path: Path, address: str
) -> None:
    url = serve(status=302, Location=address)
    with pytest.raises(RunwayServerError):
        RunwayHook(patience=0).download_video(url, str(tmp_path / "boat.mp4"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_gets_a_file_named_after_the_task_or_the_url(
    runway_simulator: Simulator, recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path
) -> None:
    task_id = submit(runway_simulator)
    assert download(context, f"{tmp_path}/", runway_task_id=task_id) == f"{tmp_path}/{task_id}.mp4"
    assert download(context, f"{tmp_path}/", video_url=serve()) == f"{tmp_path}/boat.mp4"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([f"{task_id}.mp4", "boat.mp4"])


def test_a_folder_is_not_taken_for_a_file(serve: Callable[..., str], context: Any, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(RunwayValidationError, match="videos"):
        download(context, tmp_path / "videos", video_url=serve())
    assert list((tmp_path / "videos").iterdir()) == []


def test_a_file_uri_is_a_path(serve: Callable[..., str], context: Any, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/boat.mp4"
    skip_where_airflow_takes_none(uri)
    assert download(context, uri, video_url=serve()) == uri
    assert (tmp_path / "boat.mp4").read_bytes() == VIDEO


def test_an_object_store_gets_the_file_under_its_name_alone(
    serve: Callable[..., str], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    skip_where_airflow_takes_none("memory://bucket/a/boat.mp4")
    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach  # type: ignore[import-not-found,no-redef]

    files = MemoryFileSystem()
    attach("memory", fs=files)
    assert download(context, "memory://bucket/a/boat.mp4", video_url=serve()) == "memory://bucket/a/boat.mp4"
    # Other tests of this process may have left something elsewhere.
    stored = files.find("/bucket/a")
    assert [name.lstrip("/") for name in stored] == ["bucket/a/boat.mp4"]
    assert files.cat_file(stored[0]) == VIDEO
    with pytest.raises(RunwayVideoExpiredError):
        download(context, "memory://bucket/a/other.mp4", video_url=serve(b"", 404))
    assert files.find("/bucket/a") == stored


def test_the_key_does_not_go_to_where_the_video_is(
    recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path
) -> None:
    url = serve(extra={"allow_private_hosts": True})
    with Recorder() as elsewhere:
        elsewhere.answer = recorder.answer
        recorder.answer = lambda request: Answer(b"", 302, {"Location": f"{elsewhere.url}/moved.mp4"})
        download(context, tmp_path / "boat.mp4", video_url=url)
        requests = recorder.requests + elsewhere.requests
    assert (tmp_path / "boat.mp4").read_bytes() == VIDEO
    assert len(requests) == 2
    assert all("authorization" not in request.headers for request in requests)
    assert KEY not in str(requests)


@pytest.mark.parametrize("failures", [1, 3])
def test_a_truncated_download_is_made_whole(
    runway_simulator: Simulator, context: Any, tmp_path: Path, pauses: list[float], failures: int
) -> None:
    task_id = submit(runway_simulator)
    runway_simulator.add_fault("truncated_download", count=failures)
    download(context, tmp_path / "boat.mp4", runway_task_id=task_id)
    download(context, tmp_path / "again.mp4", runway_task_id=task_id)
    assert (tmp_path / "boat.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    assert len(pauses) == failures


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is repeated."""
    init = RunwayHook.__init__
    monkeypatch.setattr(
        RunwayHook, "__init__", lambda self, conn_id="runway_default": init(self, conn_id, patience=0)
    )


BROKEN = [
    {"kind": "truncated_download"},
    {"kind": "http_error", "status": 503},
    {"kind": "html", "status": 200},
    {"kind": "garbage"},
    {"kind": "drop_before"},
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", BROKEN, ids=str)
@pytest.mark.parametrize("existing", [True, False])
def test_a_download_that_fails_leaves_everything_as_it_was(
    runway_simulator: Simulator, context: Any, tmp_path: Path, fault: dict[str, Any], existing: bool
) -> None:
    path = tmp_path / "boat.mp4"
    if existing:
        path.write_bytes(b"yesterday's video")
    task_id = submit(runway_simulator)
    runway_simulator.add_fault(path="/results/", count=None, **fault)
    with pytest.raises(RunwayServerError) as caught:
        download(context, path, runway_task_id=task_id)
    assert not isinstance(caught.value, AirflowFailException)
    assert [entry.name for entry in tmp_path.iterdir()] == (["boat.mp4"] if existing else [])
    if existing:
        assert path.read_bytes() == b"yesterday's video"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("body", [b"", VIDEO[:-1]])
def test_fewer_bytes_than_were_announced_are_no_video(
    recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path, body: bytes
) -> None:
    url = serve(body, Content_Length=str(len(VIDEO)), Connection="close")
    with pytest.raises(RunwayServerError, match="broken off"):
        download(context, tmp_path / "boat.mp4", video_url=url)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_where_that_is_said(
    serve: Callable[..., str], context: Any, tmp_path: Path
) -> None:
    (tmp_path / "boat.mp4").write_bytes(b"yesterday's video")
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        download(context, tmp_path / "boat.mp4", video_url=serve())
    assert (tmp_path / "boat.mp4").read_bytes() == b"yesterday's video"
    download(context, tmp_path / "boat.mp4", video_url=serve(), overwrite=True)
    assert (tmp_path / "boat.mp4").read_bytes() == VIDEO


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_video_that_is_deleted_is_an_error_of_its_own(
    recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path, status: int
) -> None:
    with pytest.raises(RunwayVideoExpiredError, match="14 days") as caught:
        download(context, tmp_path / "boat.mp4", video_url=serve(b"gone", status))
    assert isinstance(caught.value, AirflowFailException)
    # It is looked at again, and kie.ai is asked for another URL, before it is called expired.
    assert [request.method for request in recorder.requests] == ["GET", "GET", "POST"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("expired", RunwayVideoExpiredError),
        ("success_without_url", RunwayVideoExpiredError),
        ("moderation", RunwayTaskRejectedError),
        ("stuck", RunwayError),
    ],
)
def test_a_task_without_a_video_has_nothing_to_download(
    runway_simulator: Simulator, context: Any, tmp_path: Path, fault: str, kind: type[RunwayError]
) -> None:
    task_id = submit(runway_simulator, fault)
    with pytest.raises(kind, match=task_id):
        download(context, tmp_path / "boat.mp4", runway_task_id=task_id)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_leaves_nothing_behind(
    serve: Callable[..., str], context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from airflow_provider_runway.files import writing

    def full(chunks: Any, path: str, **options: Any) -> int:
        def until_full() -> Any:
            for _, chunk in zip(range(1), chunks, strict=False):
                yield chunk
            raise OSError(errno.ENOSPC, "No space left on device")

        return store(until_full(), path, **options)

    store = writing.store
    monkeypatch.setattr(writing, "store", full)
    with pytest.raises(RunwayStorageError, match=r"No space left.+kie\.ai keeps the video"):
        download(context, tmp_path / "boat.mp4", video_url=serve())
    assert list(tmp_path.iterdir()) == []


def test_a_video_is_not_held_in_memory(
    recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path
) -> None:
    url = serve(VIDEO + b"\0" * 63 * 1024 * 1024)
    download(context, tmp_path / "warm-up.mp4", video_url=url)
    tracemalloc.start()
    try:
        download(context, tmp_path / "boat.mp4", video_url=url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "boat.mp4").stat().st_size == 64 * 1024 * 1024
    assert peak < 16 * 1024 * 1024


def test_an_answer_of_the_api_is_no_video(
    recorder: Recorder, serve: Callable[..., str], context: Any, tmp_path: Path, pauses: list[float]
) -> None:
    url = serve()
    answers = iter([envelope(None, 500, "wait")._replace(headers={"Content-Type": "application/json"})])
    good = recorder.answer
    recorder.answer = lambda request: next(answers, None) or good(request)
    download(context, tmp_path / "boat.mp4", video_url=url)
    assert (tmp_path / "boat.mp4").read_bytes() == VIDEO

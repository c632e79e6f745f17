"""Keeping a video: from a URL that is refused, over broken connections, beside files of others."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayServerError,
    RunwayStorageError,
    RunwayValidationError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.files import download, writing
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator import Simulator
from tests.integration.recorder import DROP, Answer, Recorder, Request, envelope, mp4
from tests.storages import skip_where_airflow_takes_none

VIDEO = mp4(600_000)
PICTURE = b"\xff\xd8\xff\xe0" + b"picture" * 10
MP4 = {"Content-Type": "video/mp4"}

Script = Callable[[Request], Answer]


@pytest.fixture(autouse=True)
def _no_waiting(pauses: list[float]) -> None:
    """Pauses are noted, not slept."""


@pytest.fixture
def url(recorder: Recorder, connect: Callable[..., str]) -> str:
    """The URL of a video at the recorder, which the connection leads to."""
    connect(host=recorder.url)
    recorder.answer = lambda request: Answer(VIDEO, 200, MP4)
    return f"{recorder.url}/results/boat.mp4?signature=1"


@pytest.fixture
def task(url: str, recorder: Recorder) -> RunwayTask:
    """A finished Runway task with that video."""
    return RunwayTask(
        task_id="3f2a77b0c9",
        model="runway",
        state=TaskState.SUCCESS,
        video_url=url,
        image_url=f"{recorder.url}/results/boat.jpg?signature=2",
        video_id="v-1",
        prompt="A boat",
        created_at=datetime(2026, 11, 1, tzinfo=timezone.utc),
        completed_at=datetime(2026, 11, 1, 0, 1, tzinfo=timezone.utc),
        credits_consumed=12.0,
    )


def in_turn(*answers: Answer | Script) -> Script:
    """Return a script that gives one answer after the other, the last one for ever."""
    left = list(answers)

    def answer(request: Request) -> Answer:
        found = left.pop(0) if len(left) > 1 else left[0]
        return found if isinstance(found, Answer) else found(request)

    return answer


def part(request: Request, *, video: bytes = VIDEO, etag: str = '"1"', cut: int | None = None) -> Answer:
    """Serve what is asked for, up to a cut."""
    asked = request.headers.get("range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    headers = {**MP4, "ETag": etag, "Content-Length": str(len(video) - start)}
    if asked:
        headers["Content-Range"] = f"bytes {start}-{len(video) - 1}/{len(video)}"
    if cut is not None:
        headers["Connection"] = "close"
    return Answer(video[start:cut], 206 if asked else 200, headers)


def cut_at(cut: int, **how: Any) -> Script:
    return lambda request: part(request, cut=cut, **how)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# --- over broken connections ---


def test_a_broken_download_goes_on_where_it_broke(recorder: Recorder, url: str, tmp_path: Path) -> None:
    recorder.answer = in_turn(cut_at(1000), cut_at(400_000), DROP, part)
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert Path(kept.path).read_bytes() == VIDEO
    assert kept.sha256 == hashlib.sha256(VIDEO).hexdigest()
    asked = [request.headers.get("range") for request in recorder.requests]
    assert asked == [None, "bytes=1000-", "bytes=400000-", "bytes=400000-"]
    assert {request.headers.get("if-range") for request in recorder.requests[1:]} == {'"1"'}
    assert names_in(tmp_path) == ["boat.mp4"]


def test_a_server_without_ranges_is_read_from_the_start(recorder: Recorder, url: str, tmp_path: Path) -> None:
    whole = Answer(VIDEO, 200, {**MP4, "ETag": '"1"'})
    recorder.answer = in_turn(cut_at(300_000), whole)
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert Path(kept.path).read_bytes() == VIDEO
    assert kept.sha256 == hashlib.sha256(VIDEO).hexdigest()
    assert len(recorder.requests) == 2


OTHER = mp4(700_000)
CHANGED: dict[str, Script] = {
    "another-file": lambda request: part(replaced(request), video=OTHER, etag='"2"'),
    "same-length": lambda request: part(replaced(request), video=OTHER[:600_000], etag='"2"'),
    "another-range": lambda request: Answer(VIDEO, 206, {"Content-Range": f"bytes 0-599999/{len(VIDEO)}"}),
    "another-total": lambda request: part(request, video=OTHER),
    "no-range-said": lambda request: Answer(VIDEO[1000:], 206, MP4),
    "nothing-left": lambda request: Answer(b"", 416, {"Content-Range": "bytes */999"}),
    "nothing-said": lambda request: Answer(b"", 416),
}


def replaced(request: Request) -> Request:
    """Return the request as a server sees it that has another file than `If-Range` names."""
    return request._replace(headers={})


@pytest.mark.parametrize("changed", CHANGED)
def test_a_video_that_changes_meanwhile_is_read_anew(
    recorder: Recorder, url: str, tmp_path: Path, changed: str
) -> None:
    recorder.answer = in_turn(cut_at(1000), CHANGED[changed], part)
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert Path(kept.path).read_bytes() == VIDEO
    assert kept.sha256 == hashlib.sha256(VIDEO).hexdigest()
    assert recorder.requests[-1].headers.get("range") is None


def test_a_video_of_unknown_length_can_end_with_nothing_left(
    recorder: Recorder, url: str, tmp_path: Path
) -> None:
    def chunked(content: bytes, ending: bytes) -> Answer:
        # The recorder sends a body as it is.
        body = b"%x\r\n%s\r\n" % (len(content), content) + ending
        return Answer(body, 200, {"Transfer-Encoding": "chunked", "Connection": "close"})

    def serve(request: Request) -> Answer:
        asked = request.headers.get("range")
        if asked is None:
            return chunked(VIDEO, b"")
        begin = int(asked.removeprefix("bytes=").rstrip("-"))
        if begin == len(VIDEO):
            return Answer(b"", 416, {"Content-Range": f"bytes */{len(VIDEO)}"})
        # Without `read1`, an old urllib3 loses what came of its last read.
        rest = {"Content-Range": f"bytes {begin}-{len(VIDEO) - 1}/{len(VIDEO)}", "Connection": "close"}
        return Answer(VIDEO[begin:], 206, rest)

    recorder.leave_out.add("Content-Length")
    recorder.answer = serve
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert Path(kept.path).read_bytes() == VIDEO
    recorder.answer = lambda _: chunked(VIDEO, b"0\r\n\r\n")
    assert RunwayHook().keep_video(f"{tmp_path}/again.mp4", video_url=url).sha256 == kept.sha256


NO_VIDEOS = {
    "page": Answer(b"<!DOCTYPE html><html>Sorry</html>", 200, {"Content-Type": "Text/HTML; charset=UTF-8"}),
    "xml": Answer(b"<?xml version='1.0'?><Error/>", 200, {"Content-Type": "application/xml"}),
    "page-as-video": Answer(b"<!DOCTYPE html><html>Sorry</html>", 200, MP4),
    "json": envelope(None, 500, "wait"),
    "half-of-it": Answer(VIDEO[:300_000], 200, MP4),
    "nothing": Answer(b"", 200, MP4),
    "a-few-bytes": Answer(VIDEO[:8], 200, MP4),
    "picture": Answer(PICTURE, 200, MP4),
}


@pytest.mark.parametrize("answer", NO_VIDEOS)
def test_what_is_no_whole_mp4_is_not_stored(
    recorder: Recorder, url: str, tmp_path: Path, answer: str
) -> None:
    recorder.answer = lambda _: NO_VIDEOS[answer]
    with pytest.raises(RunwayServerError, match=r"Nothing half is left under .+ kie\.ai keeps the video"):
        RunwayHook(patience=0).keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert names_in(tmp_path) == []
    # A page for a moment does no harm.
    recorder.answer = in_turn(NO_VIDEOS[answer], part)
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert Path(kept.path).read_bytes() == VIDEO


def test_what_a_server_calls_its_answer_is_quoted_and_cut(
    recorder: Recorder, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "a\x1b[2Jhidden\r\n\t2030 INFO forged " + "x" * 5000
    recorder.answer = lambda _: Answer(b"x" * 100, 500, {"Content-Type": forged})
    with caplog.at_level(logging.DEBUG), pytest.raises(RunwayServerError, match="HTTP 500") as caught:
        RunwayHook(patience=3).keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    # Our own lines: those of the HTTP client are its own.
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("airflow")]
    for said in (str(caught.value), *ours):
        assert "".join(said.splitlines()).isprintable()
        assert len(said) < 1000


@pytest.mark.parametrize("kind", ["Text/HTML", "application/octet-stream", "binary/octet-stream", ""])
def test_an_mp4_is_one_whatever_it_is_called(recorder: Recorder, url: str, tmp_path: Path, kind: str) -> None:
    recorder.answer = lambda _: Answer(VIDEO, 200, {"Content-Type": kind} if kind else {})
    RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    assert (tmp_path / "boat.mp4").read_bytes() == VIDEO


def test_progress_is_logged_at_steps(
    recorder: Recorder,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    moments = iter(range(10**6))
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    with caplog.at_level(logging.INFO):
        RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=url)
    said = [record.message for record in caplog.records if "%)" in record.message]
    assert all("of 1 MB (" in text for text in said)
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: 0.0))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        RunwayHook().keep_video(f"{tmp_path}/small.mp4", video_url=url)
    assert not [record for record in caplog.records if "%)" in record.message]


# --- from a URL that is refused ---


class KieAi:
    """The recorder as kie.ai: records, URLs for downloads, and files that are there or refused."""

    def __init__(self, recorder: Recorder) -> None:
        self.url = recorder.url
        self.files: dict[str, Iterator[Answer]] = {}
        self.fresh_url: str | None = None
        self.expired = 0
        self.download_url: Answer = envelope(f"{recorder.url}/download.mp4?expires=1")
        self.record: Answer | None = None
        self.asked: list[str] = []
        recorder.answer = self._answer

    def _answer(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        self.asked.append(path)
        if path == "/api/v1/runway/record-detail":
            info = {"videoUrl": self.fresh_url, "imageUrl": None, "videoId": "v-1"}
            return self.record or envelope(
                {"taskId": "3f2a77b0c9", "state": "success", "videoInfo": info, "expireFlag": self.expired}
            )
        if path == "/api/v1/common/download-url":
            return self.download_url
        return next(self.files.get(path, iter(())), Answer(b"AccessDenied", 403))


@pytest.fixture
def kie_ai(recorder: Recorder, url: str) -> KieAi:
    return KieAi(recorder)


def always(answer: Answer) -> Iterator[Answer]:
    while True:
        yield answer


GOOD = Answer(VIDEO, 200, MP4)
BOAT, RECORD, DOWNLOAD_URL = (
    "/results/boat.mp4",
    "/api/v1/runway/record-detail",
    "/api/v1/common/download-url",
)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_one_refusal_is_looked_at_again(
    kie_ai: KieAi, task: RunwayTask, tmp_path: Path, status: int, pauses: list[float]
) -> None:
    kie_ai.files[BOAT] = iter([Answer(b"no", status), GOOD])
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert kie_ai.asked == [BOAT, BOAT]
    assert len(pauses) == 1


def test_a_fresh_record_may_have_another_url(kie_ai: KieAi, task: RunwayTask, tmp_path: Path) -> None:
    kie_ai.fresh_url = f"{kie_ai.url}/results/moved.mp4?signature=9"
    kie_ai.files["/results/moved.mp4"] = iter([GOOD])
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert kie_ai.asked == [BOAT, BOAT, RECORD, "/results/moved.mp4"]


@pytest.mark.parametrize("by_url", [True, False])
def test_the_route_for_downloads_is_the_last_resort(
    kie_ai: KieAi, task: RunwayTask, tmp_path: Path, by_url: bool
) -> None:
    kie_ai.fresh_url = task.video_url
    kie_ai.files["/download.mp4"] = iter([GOOD])
    how: dict[str, Any] = {"video_url": task.video_url} if by_url else {"task": task}
    kept = RunwayHook().keep_video(f"{tmp_path}/boat.mp4", **how)
    assert Path(kept.path).read_bytes() == VIDEO
    assert kie_ai.asked == [BOAT, BOAT, *([] if by_url else [RECORD]), DOWNLOAD_URL, "/download.mp4"]


def test_what_came_before_a_refusal_is_kept(
    kie_ai: KieAi, recorder: Recorder, task: RunwayTask, tmp_path: Path
) -> None:
    broken = part(Request("GET", "/", {}, b"", 0), cut=1000)
    rest = part(Request("GET", "/", {"range": "bytes=1000-"}, b"", 0))
    kie_ai.files[BOAT] = iter([broken, Answer(b"expired", 403), Answer(b"expired", 403)])
    kie_ai.fresh_url = f"{kie_ai.url}/results/moved.mp4"
    kie_ai.files["/results/moved.mp4"] = iter([rest])
    kept = RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert Path(kept.path).read_bytes() == VIDEO
    assert recorder.requests[-1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("refusal", [envelope(None, 422, "url is wrong"), envelope(None, 401, "no")])
def test_a_video_is_called_expired_when_nobody_has_it(
    kie_ai: KieAi, task: RunwayTask, tmp_path: Path, refusal: Answer
) -> None:
    kie_ai.fresh_url = task.video_url
    kie_ai.download_url = refusal
    with pytest.raises(RunwayVideoExpiredError, match="HTTP 403") as caught:
        RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert caught.value.runway_task_id == task.task_id
    assert names_in(tmp_path) == []


def test_a_record_that_calls_it_expired_is_believed(kie_ai: KieAi, task: RunwayTask, tmp_path: Path) -> None:
    kie_ai.fresh_url, kie_ai.expired = task.video_url, 1
    with pytest.raises(RunwayVideoExpiredError, match="has deleted"):
        RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert DOWNLOAD_URL not in kie_ai.asked


@pytest.mark.parametrize("asked", ["record", "download_url"])
def test_a_trouble_of_kie_ais_own_does_not_make_a_video_expired(
    kie_ai: KieAi, task: RunwayTask, tmp_path: Path, asked: str
) -> None:
    kie_ai.fresh_url = task.video_url
    setattr(kie_ai, asked, Answer(b"<html>", 503))
    with pytest.raises(RunwayServerError):
        RunwayHook(patience=0).keep_video(f"{tmp_path}/", task=task)


def test_a_key_that_is_refused_says_so_where_the_record_is_needed(
    kie_ai: KieAi, task: RunwayTask, tmp_path: Path
) -> None:
    kie_ai.record = envelope(None, 401, "Unauthorized")
    with pytest.raises(RunwayAuthenticationError):
        RunwayHook().keep_video(f"{tmp_path}/", task=task)


# --- beside files of others ---


def test_a_stored_video_is_left_as_it_is_without_a_request(
    recorder: Recorder, task: RunwayTask, tmp_path: Path
) -> None:
    first = RunwayHook().keep_video(f"{tmp_path}/", task=task)
    recorder.requests.clear()
    gone = replace(task, expired=True, video_url=None)
    again = RunwayHook().keep_video(f"{tmp_path}/", task=gone)
    assert (again.path, again.size, again.sha256) == (first.path, first.size, first.sha256)
    assert recorder.requests == []


def test_a_name_with_the_task_id_is_known_again(recorder: Recorder, task: RunwayTask, tmp_path: Path) -> None:
    path = f"{tmp_path}/night-{task.task_id}.mp4"
    RunwayHook().keep_video(path, task=task)
    recorder.requests.clear()
    RunwayHook().keep_video(path, task=task)
    assert recorder.requests == []


def test_a_manifest_makes_a_video_known_again(recorder: Recorder, task: RunwayTask, tmp_path: Path) -> None:
    RunwayHook().keep_video(f"{tmp_path}/boat.mp4", task=task, manifest=True)
    recorder.requests.clear()
    RunwayHook().keep_video(f"{tmp_path}/boat.mp4", task=task)
    RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=task.video_url)
    assert recorder.requests == []
    with pytest.raises(RunwayValidationError, match=rf"boat\.mp4.+{task.task_id}.+overwrite=True"):
        RunwayHook().keep_video(f"{tmp_path}/boat.mp4", task=replace(task, task_id="another"))
    assert recorder.requests == []


def test_without_either_the_content_decides(recorder: Recorder, task: RunwayTask, tmp_path: Path) -> None:
    path = f"{tmp_path}/boat.mp4"
    RunwayHook().keep_video(path, task=task)
    assert RunwayHook().keep_video(path, task=task).size == len(VIDEO)
    recorder.answer = lambda _: Answer(mp4(len(VIDEO) + 1), 200, MP4)
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        RunwayHook().keep_video(path, task=task)
    assert Path(path).read_bytes() == VIDEO
    assert RunwayHook().keep_video(path, task=task, overwrite=True).size == len(VIDEO) + 1


def test_a_broken_rest_of_the_same_task_is_replaced(task: RunwayTask, tmp_path: Path) -> None:
    path = tmp_path / f"{task.task_id}.mp4"
    path.write_bytes(VIDEO[:1000])
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert path.read_bytes() == VIDEO


def test_an_empty_file_of_the_same_task_is_replaced(task: RunwayTask, tmp_path: Path) -> None:
    path = tmp_path / f"{task.task_id}.mp4"
    path.touch()
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert path.read_bytes() == VIDEO


@pytest.mark.parametrize(
    "mine",
    [b"\x1aE\xdf\xa3 a re-encoding as Matroska " * 100, VIDEO[24:1000], b"notes\n", b"\0" * 5000],
    ids=["matroska", "without-its-beginning", "text", "zeros"],
)
def test_what_is_no_part_of_a_video_is_not_replaced_though_it_is_named_after_the_task(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, mine: bytes
) -> None:
    path = tmp_path / f"{task.task_id}.mp4"
    path.write_bytes(mine)
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert path.read_bytes() == mine
    assert recorder.requests == []
    RunwayHook().keep_video(f"{tmp_path}/", task=task, overwrite=True)
    assert path.read_bytes() == VIDEO


@pytest.mark.parametrize("has_links", [True, False], ids=["", "no-hard-links"])
def test_a_link_that_leads_nowhere_is_no_stored_video(
    task: RunwayTask, tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / f"{task.task_id}.mp4"
    path.symlink_to("/nowhere/else.mp4")
    with pytest.raises(RunwayStorageError, match=rf"{task.task_id}\.mp4.+kie\.ai keeps the video") as caught:
        RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert f"Runway task {task.task_id}" in str(caught.value), "it is what a download asks for"
    assert names_in(tmp_path) == [path.name]
    assert path.is_symlink()
    RunwayHook().keep_video(f"{tmp_path}/", task=task, overwrite=True)
    assert path.read_bytes() == VIDEO


def test_a_video_that_was_edited_since_is_not_replaced(task: RunwayTask, tmp_path: Path) -> None:
    path = tmp_path / f"{task.task_id}.mp4"
    RunwayHook().keep_video(f"{tmp_path}/", task=task, manifest=True)
    path.write_bytes(mp4(5000))
    with pytest.raises(RunwayValidationError, match="changed since"):
        RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert path.read_bytes() == mp4(5000)


def test_a_file_that_comes_meanwhile_is_not_replaced(
    recorder: Recorder, task: RunwayTask, tmp_path: Path
) -> None:
    path = tmp_path / "boat.mp4"

    def slowly(content: bytes) -> Script:
        def answer(_: Request) -> Answer:
            path.write_bytes(content)
            return Answer(VIDEO, 200, MP4)

        return answer

    recorder.answer = slowly(b"another's")
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        RunwayHook().keep_video(str(path), task=task)
    assert (names_in(tmp_path), path.read_bytes()) == (["boat.mp4"], b"another's")
    path.unlink()
    # Another try of the same task was faster.
    recorder.answer = slowly(VIDEO)
    assert RunwayHook().keep_video(str(path), task=task).size == len(VIDEO)
    assert names_in(tmp_path) == ["boat.mp4"]


def no_links(*_: Any) -> None:
    raise PermissionError("no links here")


def test_the_same_works_without_hard_links(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", no_links)
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert names_in(tmp_path) == [f"{task.task_id}.mp4"]


@pytest.mark.parametrize("name", ["b*at.mp4", "b[oa]t.mp4", "b?at.mp4", "b#t.mp4", "a b%20ü.mp4", "x" * 250])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_an_odd_name_is_taken_literally(task: RunwayTask, tmp_path: Path, scheme: str, name: str) -> None:
    skip_where_airflow_takes_none(f"{scheme}{tmp_path}/")
    for other in ("boat.mp4", "bot.mp4"):
        (tmp_path / other).write_bytes(b"another's")
    kept = RunwayHook().keep_video(f"{scheme}{tmp_path}/{name}", task=task, overwrite=True)
    assert kept.path == f"{scheme}{tmp_path}/{name}"
    assert names_in(tmp_path) == sorted(["boat.mp4", "bot.mp4", name])
    assert (tmp_path / name).read_bytes() == VIDEO
    assert (tmp_path / "boat.mp4").read_bytes() == b"another's"


def test_a_hostile_task_id_does_not_lead_out_of_the_folder(task: RunwayTask, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    kept = RunwayHook().keep_video(f"{folder}/", task=replace(task, task_id="../../x"), manifest=True)
    assert Path(kept.path).resolve().parent == folder
    assert names_in(tmp_path) == ["a"]


# --- what stands beside it ---


def test_the_manifest_tells_the_story(task: RunwayTask, tmp_path: Path) -> None:
    request = {"model": "runway", "kind": "generate-5s-720p", "prompt": "A paper boat", "duration": 5}
    kept = RunwayHook().keep_video(f"{tmp_path}/", task=task, request=request, manifest=True)
    told = json.loads((tmp_path / f"{task.task_id}.json").read_text())
    assert told == kept.manifest
    assert told.pop("stored_at")
    assert told == {
        **request,
        "runway_task_id": task.task_id,
        "video_id": "v-1",
        "video_url": str(task.video_url).partition("?")[0],
        "image_url": str(task.image_url).partition("?")[0],
        "created_at": "2026-11-01T00:00:00+00:00",
        "completed_at": "2026-11-01T00:01:00+00:00",
        "credits_consumed": 12.0,
        "path": kept.path,
        "size": len(VIDEO),
        "sha256": hashlib.sha256(VIDEO).hexdigest(),
    }


@pytest.mark.parametrize(
    "other",
    [
        '{"mine": 1}',
        "[]",
        "no JSON",
        '{"runway_task_id": "another"}',
        pytest.param("[" * 100_000, id="deeply nested"),
    ],
)
def test_a_json_file_of_somebody_else_is_not_replaced(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, other: str
) -> None:
    (tmp_path / f"{task.task_id}.json").write_text(other)
    with pytest.raises(RunwayValidationError, match=rf"{task.task_id}\.json.+overwrite=True"):
        RunwayHook().keep_video(f"{tmp_path}/", task=task, manifest=True)
    assert (tmp_path / f"{task.task_id}.json").read_text() == other
    assert recorder.requests == []
    RunwayHook().keep_video(f"{tmp_path}/", task=task, manifest=True, overwrite=True)
    assert json.loads((tmp_path / f"{task.task_id}.json").read_text())["runway_task_id"] == task.task_id


def test_a_manifest_that_is_missing_is_made_up_for(task: RunwayTask, tmp_path: Path) -> None:
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    kept = RunwayHook().keep_video(f"{tmp_path}/", task=task, manifest=True)
    assert json.loads((tmp_path / f"{task.task_id}.json").read_text()) == kept.manifest


def test_a_manifest_goes_with_the_video_that_it_tells_of(
    recorder: Recorder, task: RunwayTask, tmp_path: Path
) -> None:
    path = f"{tmp_path}/trailer.mp4"
    RunwayHook().keep_video(path, task=task, manifest=True)
    other = replace(task, task_id="other999")
    recorder.answer = lambda _: Answer(OTHER, 200, MP4)
    RunwayHook().keep_video(path, task=other, overwrite=True)
    assert names_in(tmp_path) == ["trailer.mp4"]
    # So that it is known again as what it is.
    assert RunwayHook().keep_video(path, task=other).size == len(OTHER)


def test_a_video_that_is_stored_again_keeps_its_manifest(task: RunwayTask, tmp_path: Path) -> None:
    RunwayHook().keep_video(f"{tmp_path}/", task=task, manifest=True)
    RunwayHook().keep_video(f"{tmp_path}/", task=task, overwrite=True)
    assert names_in(tmp_path) == [f"{task.task_id}.json", f"{task.task_id}.mp4"]


@pytest.mark.parametrize("mine", ['{"mine": 1}', '{"sha256": "0", "size": 1}', "[]", "no JSON"])
def test_a_json_file_that_is_no_manifest_stays(task: RunwayTask, tmp_path: Path, mine: str) -> None:
    (tmp_path / "trailer.mp4").write_bytes(OTHER)
    (tmp_path / "trailer.json").write_text(mine)
    RunwayHook().keep_video(f"{tmp_path}/trailer.mp4", task=task, overwrite=True)
    assert (tmp_path / "trailer.json").read_text() == mine


def test_a_manifest_that_may_not_be_removed_is_a_warning(
    recorder: Recorder,
    task: RunwayTask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: str) -> None:
        raise PermissionError("may write, may not delete")

    path = f"{tmp_path}/trailer.mp4"
    RunwayHook().keep_video(path, task=task, manifest=True)
    recorder.answer = lambda _: Answer(OTHER, 200, MP4)
    monkeypatch.setattr(writing, "remove", refuse)
    RunwayHook().keep_video(path, task=task, overwrite=True)
    assert Path(path).read_bytes() == OTHER
    assert "may not delete" in caplog.text


def with_picture(answer: Answer) -> Script:
    return lambda request: answer if ".jpg" in request.path else Answer(VIDEO, 200, MP4)


def test_the_thumbnail_is_stored_beside_it(recorder: Recorder, task: RunwayTask, tmp_path: Path) -> None:
    recorder.answer = with_picture(Answer(PICTURE))
    RunwayHook().keep_video(f"{tmp_path}/", task=task, thumbnail=True)
    assert (tmp_path / f"{task.task_id}.jpg").read_bytes() == PICTURE


@pytest.mark.parametrize("answer", [Answer(b"", 404), Answer(b"<html>page</html>"), DROP, GOOD])
def test_a_thumbnail_that_cannot_be_had_is_a_warning(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    log = SimpleNamespace(info=lambda *_: None, warning=lambda text, *_: said.append(text))
    monkeypatch.setattr(RunwayHook, "log", log)
    recorder.answer = with_picture(answer)
    RunwayHook().keep_video(f"{tmp_path}/", task=task, thumbnail=True)
    assert names_in(tmp_path) == [f"{task.task_id}.mp4"]
    assert [text for text in said if "thumbnail could not be stored" in text]


PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 10


@pytest.mark.parametrize("manifest", [True, False])
def test_of_two_videos_under_one_name_the_picture_of_the_last_stays_if_a_manifest_tells_of_the_first(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, manifest: bool
) -> None:
    path = f"{tmp_path}/trailer.mp4"
    recorder.answer = with_picture(Answer(PICTURE))
    RunwayHook().keep_video(path, task=task, thumbnail=True, manifest=True)
    recorder.answer = lambda request: Answer(PNG) if ".jpg" in request.path else Answer(OTHER, 200, MP4)
    other = replace(task, task_id="other999")
    RunwayHook().keep_video(path, task=other, thumbnail=True, overwrite=True, manifest=manifest)
    assert names_in(tmp_path) == [*["trailer.json"] * manifest, "trailer.mp4", "trailer.png"]
    assert (tmp_path / "trailer.png").read_bytes() == PNG


@pytest.mark.parametrize(
    "beside",
    [
        None,
        {"image_url": "https://files.test/a.png"},
        {"path": "", "size": 1, "sha256": "0", "stored_at": ""},
        {"path": "", "size": 1, "sha256": "0", "stored_at": "", "image_url": "https://files.test/a.jpg"},
        {"path": "", "size": 1, "sha256": "0", "stored_at": "", "image_url": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("manifest", [True, False])
def test_a_picture_that_nothing_says_is_ours_stays(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, beside: dict[str, Any] | None, manifest: bool
) -> None:
    (tmp_path / "fox.png").write_bytes(PNG)
    if beside is not None:
        (tmp_path / "fox.json").write_text(json.dumps(beside))
    recorder.answer = with_picture(Answer(PICTURE))
    RunwayHook().keep_video(
        f"{tmp_path}/fox.mp4", task=task, thumbnail=True, overwrite=True, manifest=manifest
    )
    assert (tmp_path / "fox.png").read_bytes() == PNG
    assert (tmp_path / "fox.jpg").read_bytes() == PICTURE


@pytest.mark.parametrize("how", [{"overwrite": True}, {"thumbnail": True}], ids=str)
def test_a_picture_is_not_removed_where_nobody_said_so(
    recorder: Recorder, task: RunwayTask, tmp_path: Path, how: dict[str, Any]
) -> None:
    (tmp_path / "trailer.jpg").write_bytes(b"mine")
    recorder.answer = with_picture(Answer(PNG))
    RunwayHook().keep_video(f"{tmp_path}/trailer.mp4", task=task, **how)
    assert (tmp_path / "trailer.jpg").read_bytes() == b"mine"


def test_another_picture_is_not_replaced(recorder: Recorder, task: RunwayTask, tmp_path: Path) -> None:
    recorder.answer = with_picture(Answer(PICTURE))
    (tmp_path / f"{task.task_id}.jpg").write_bytes(b"mine")
    RunwayHook().keep_video(f"{tmp_path}/", task=task, thumbnail=True)
    assert (tmp_path / f"{task.task_id}.jpg").read_bytes() == b"mine"


# --- parts ---


def part_of(target: Path, host: str, age: float = 0.0) -> Path:
    found = target.parent / f".{target.name}.{host}0123abcd.part"
    found.write_bytes(b"half")
    os.utime(found, (found.stat().st_mtime - age,) * 2)
    return found


def test_parts_of_dead_writers_are_removed_and_no_others(task: RunwayTask, tmp_path: Path) -> None:
    target = tmp_path / f"{task.task_id}.mp4"
    here = writing._here()
    there = "0" * 4 if here != "0000" else "1" * 4
    part_of(target, here)
    old = part_of(target, there, age=2 * writing._SURELY_DEAD)
    assert old.exists()
    others = [
        tmp_path / ".foreign.part",
        tmp_path / f".{target.name}.part",
        part_of(tmp_path / "another.mp4", here),
    ]
    for other in others:
        other.write_bytes(b"mine")
    RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert names_in(tmp_path) == sorted([target.name, *(other.name for other in others)])


def test_a_part_that_is_being_written_is_left(task: RunwayTask, tmp_path: Path) -> None:
    target = tmp_path / f"{task.task_id}.mp4"
    here = writing._here()
    there = "0" * 4 if here != "0000" else "1" * 4
    live = part_of(target, here, age=2 * writing._SURELY_DEAD)
    elsewhere = part_of(target, there)
    with live.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        RunwayHook().keep_video(f"{tmp_path}/", task=task)
    assert names_in(tmp_path) == sorted([target.name, live.name, elsewhere.name])


@pytest.mark.parametrize(
    ("module", "moment", "how"),
    [(fcntl, "flock", {}), (os, "link", {}), (os, "replace", {"overwrite": True})],
    ids=["before-it-is-marked", "before-it-gets-its-name", "before-it-replaces"],
)
def test_a_part_is_safe_from_another_writer(
    task: RunwayTask,
    tmp_path: Path,
    module: Any,
    moment: str,
    how: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / f"{task.task_id}.mp4"
    real = getattr(module, moment)
    came: list[str] = []

    def fail() -> Iterator[bytes]:
        yield b""
        raise ConnectionError

    def call(*args: Any) -> Any:
        if not came:
            came.append("another writer, which clears up and fails")
            with pytest.raises(ConnectionError):
                writing.store(fail(), str(path))
        return real(*args)

    monkeypatch.setattr(module, moment, call)
    RunwayHook().keep_video(f"{tmp_path}/", task=task, **how)
    assert came
    assert names_in(tmp_path) == [path.name]
    assert path.read_bytes() == VIDEO


# --- on private addresses ---


@pytest.fixture
def elsewhere() -> Iterator[Recorder]:
    """Another server on this machine, which the connection does not name."""
    with Recorder() as server:
        server.answer = lambda request: Answer(VIDEO, 200, MP4)
        yield server


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_private_host_has_to_be_allowed(
    recorder: Recorder,
    elsewhere: Recorder,
    connect: Callable[..., str],
    tmp_path: Path,
    host: str,
    allowed: bool,
) -> None:
    connect(host=recorder.url, extra={"allow_private_hosts": allowed})
    moved = f"http://{host}:{elsewhere.port}/v.mp4"
    recorder.answer = lambda _: Answer(b"", 302, {"Location": moved})
    for first in (moved, f"{recorder.url}/boat.mp4"):
        if allowed:
            RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=first, overwrite=True)
            continue
        with pytest.raises(RunwayValidationError, match="allow_private_hosts"):
            RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url=first)
    assert bool(elsewhere.requests) == allowed
    assert names_in(tmp_path) == (["boat.mp4"] if allowed else [])


def test_a_name_that_changes_its_address_is_not_asked(
    recorder: Recorder,
    elsewhere: Recorder,
    connect: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import socket

    connect(host=recorder.url)
    real = socket.getaddrinfo
    answers = iter(["1.1.1.1"])

    def rebound(host: str, *args: Any, **kwargs: Any) -> Any:
        return real(next(answers, "127.0.0.1") if host == "files.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with pytest.raises(RunwayValidationError, match=r"127\.0\.0\.1"):
        RunwayHook().keep_video(
            f"{tmp_path}/boat.mp4", video_url=f"http://files.example:{elsewhere.port}/v.mp4"
        )
    assert elsewhere.requests == []


def test_a_proxy_may_be_on_a_private_address(
    recorder: Recorder, connect: Callable[..., str], tmp_path: Path
) -> None:
    connect(extra={"proxies": {"http": recorder.url}})
    recorder.answer = lambda _: Answer(VIDEO, 200, MP4)
    RunwayHook().keep_video(f"{tmp_path}/boat.mp4", video_url="http://files.invalid/boat.mp4")
    with pytest.raises(RunwayValidationError, match="allow_private_hosts"):
        RunwayHook().keep_video(f"{tmp_path}/b.mp4", video_url="http://169.254.169.254/boat.mp4")
    assert [request.path for request in recorder.requests] == ["http://files.invalid/boat.mp4"]


# --- faults of the simulator ---


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "truncated_download", "at": 10, "count": 2},
        {"kind": "truncated_download", "at": "random", "count": 3},
        {"kind": "short_download"},
        {"kind": "http_error", "status": 403},
        {"kind": "html", "status": 200},
        {"kind": "http_error", "status": 503, "headers": {"Retry-After": "1"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_a_passing_fault_costs_nothing(
    runway_simulator: Simulator,
    connect: Callable[..., str],
    tmp_path: Path,
    fault: dict[str, Any],
    api: str,
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    hook = RunwayHook()
    task_id = hook.submit(GenerateVideo("A boat"))
    runway_simulator.advance(600)
    runway_simulator.add_fault(path="/results/", **fault)
    kept = hook.keep_video(f"{tmp_path}/", task=hook.get_task(task_id), manifest=True, thumbnail=True)
    assert Path(kept.path).read_bytes()[4:8] == b"ftyp"
    # The market names no pictures.
    endings = ("mp4", "json") if api == "market" else ("mp4", "json", "jpg")
    assert names_in(tmp_path) == sorted(f"{task_id}.{ending}" for ending in endings)
    assert runway_simulator.violations == []


def test_a_server_that_ignores_ranges(runway_simulator: Simulator, tmp_path: Path) -> None:
    hook = RunwayHook()
    task_id = hook.submit(GenerateVideo("A boat"))
    runway_simulator.advance(600)
    runway_simulator.add_fault("truncated_download")
    runway_simulator.add_fault("no_range")
    kept = hook.keep_video(f"{tmp_path}/", task=hook.get_task(task_id))
    assert runway_simulator.stats()["headers"]["range"] == 1
    assert kept.sha256 == hashlib.sha256(Path(kept.path).read_bytes()).hexdigest()

"""Storing in S3: whole or not at all, under exactly the name that was given, and nothing left over."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.exceptions import (
    RunwayServerError,
    RunwayStorageError,
    RunwayValidationError,
)
from airflow_provider_runway.files import storage, writing
from airflow_provider_runway.hooks.runway import RunwayHook
from tests.integration.object_storage import (
    BUCKET,
    CONN_ID,
    bucket,
    content_of,
    keys_in,
    s3_server,
    uploads_in,
    uri,
)
from tests.integration.recorder import Answer, Recorder, mp4

__all__ = ["bucket", "s3_server"]

pytestmark = pytest.mark.usefixtures("pauses")

SMALL, LARGE = mp4(50_000), mp4(20 * 1024 * 1024)
Serve = Callable[..., str]


@pytest.fixture
def serve(recorder: Recorder, connect: Callable[..., str]) -> Serve:
    """Return a function that lets the recorder serve a video, and returns its URL."""

    def start(body: bytes = SMALL, **headers: str) -> str:
        connect(host=recorder.url)
        recorder.answer = lambda request: Answer(body, 200, {**headers})
        return f"{recorder.url}/results/boat.mp4"

    return start


@pytest.mark.parametrize("video", [SMALL, LARGE], ids=["one-request", "in-parts"])
def test_a_video_is_stored_as_one_object(bucket: Any, serve: Serve, video: bytes) -> None:
    kept = RunwayHook().keep_video(uri("a/boat.mp4"), video_url=serve(video))
    assert (kept.path, kept.size) == (uri("a/boat.mp4"), len(video))
    assert kept.sha256 == hashlib.sha256(video).hexdigest()
    assert keys_in(bucket) == ["a/boat.mp4"]
    assert content_of(bucket, "a/boat.mp4") == video
    assert uploads_in(bucket) == []


@pytest.mark.parametrize(
    "key", ["a*/b?c.mp4", "[x]/boat.mp4", "b*at.mp4", "b[oa]t.mp4", "a b/ü#1.mp4", "a%20b.mp4", "a//b.mp4"]
)
def test_an_odd_key_is_taken_literally(bucket: Any, serve: Serve, key: str) -> None:
    for other in ("aa/bbc.mp4", "x/boat.mp4", "boat.mp4", "bot.mp4"):
        bucket.put_object(Bucket=BUCKET, Key=other, Body=b"another's")
    others = keys_in(bucket)
    url = serve()
    kept = RunwayHook().keep_video(uri(key), video_url=url, manifest=True)
    assert kept.path == uri(key)
    assert sorted([*others, key, f"{key.removesuffix('.mp4')}.json"]) == keys_in(bucket)
    assert content_of(bucket, key) == SMALL
    assert all(content_of(bucket, other) == b"another's" for other in others)
    # And found again.
    assert RunwayHook().keep_video(uri(key), video_url=url).sha256 == kept.sha256


@pytest.mark.parametrize("video", [SMALL, LARGE], ids=["one-request", "in-parts"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_download_that_fails_leaves_the_bucket_as_it_was(
    bucket: Any, serve: Serve, video: bytes, existing: bool
) -> None:
    if existing:
        bucket.put_object(Bucket=BUCKET, Key="boat.mp4", Body=b"yesterday's")
    url = serve(video, **{"Content-Length": str(len(video) + 1), "Connection": "close"})
    with pytest.raises(RunwayServerError, match="broken off"):
        RunwayHook(patience=0).keep_video(uri("boat.mp4"), video_url=url, overwrite=True)
    assert keys_in(bucket) == (["boat.mp4"] if existing else [])
    assert not existing or content_of(bucket, "boat.mp4") == b"yesterday's"
    assert uploads_in(bucket) == []


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["one-request", "in-parts"])
def test_nothing_appears_when_a_writer_is_forgotten(bucket: Any, size: bytes) -> None:
    def interrupted() -> Any:
        yield size
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writing.store(interrupted(), uri("boat.mp4"))
    import gc

    gc.collect()
    assert keys_in(bucket) == []
    assert uploads_in(bucket) == []


def test_an_upload_that_a_killed_writer_left_is_aborted(
    bucket: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("boat.mp4", "boat.mp4.bak"):
        begun = bucket.create_multipart_upload(Bucket=BUCKET, Key=key)
        bucket.upload_part(
            Bucket=BUCKET, Key=key, PartNumber=1, UploadId=begun["UploadId"], Body=b"\0" * 5 * 1024 * 1024
        )
    RunwayHook().keep_video(uri("boat.mp4"), video_url=serve(), overwrite=True)
    assert len(uploads_in(bucket)) == 2, "it may be that of a live writer"
    monkeypatch.setattr(writing, "_SURELY_DEAD", -3600.0)
    RunwayHook().keep_video(uri("boat.mp4"), video_url=serve(), overwrite=True)
    assert [upload["Key"] for upload in uploads_in(bucket)] == ["boat.mp4.bak"]


def test_another_object_is_not_replaced(bucket: Any, serve: Serve) -> None:
    bucket.put_object(Bucket=BUCKET, Key="boat.mp4", Body=b"another's")
    with pytest.raises(RunwayValidationError, match=r"boat\.mp4.+overwrite=True"):
        RunwayHook().keep_video(uri("boat.mp4"), video_url=serve())
    assert content_of(bucket, "boat.mp4") == b"another's"


def test_an_object_that_comes_meanwhile_is_not_replaced(
    bucket: Any, serve: Serve, recorder: Recorder
) -> None:
    url = serve()

    def slowly(_: Any) -> Answer:
        bucket.put_object(Bucket=BUCKET, Key="boat.mp4", Body=b"another's")
        return Answer(SMALL)

    recorder.answer = slowly
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        RunwayHook().keep_video(uri("boat.mp4"), video_url=url)
    assert content_of(bucket, "boat.mp4") == b"another's"


@pytest.mark.parametrize("video", [SMALL, LARGE], ids=["one-request", "in-parts"])
@pytest.mark.parametrize("theirs", ["another's", "the same"])
def test_nor_is_one_that_comes_at_the_very_last(
    bucket: Any, serve: Serve, video: bytes, theirs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_file = pytest.importorskip("s3fs.core").S3File
    commit = s3_file.commit
    content = video if theirs == "the same" else b"another's"

    def too_late(file: Any) -> None:
        bucket.put_object(Bucket=BUCKET, Key="boat.mp4", Body=content)
        commit(file)

    monkeypatch.setattr(s3_file, "commit", too_late)
    if theirs == "the same":
        assert RunwayHook().keep_video(uri("boat.mp4"), video_url=serve(video)).size == len(video)
    else:
        with pytest.raises(RunwayValidationError, match="overwrite=True"):
            RunwayHook().keep_video(uri("boat.mp4"), video_url=serve(video))
    assert content_of(bucket, "boat.mp4") == content
    assert uploads_in(bucket) == []
    # Where that is said, it is replaced.
    RunwayHook().keep_video(uri("boat.mp4"), video_url=serve(video), overwrite=True)
    assert content_of(bucket, "boat.mp4") == video


class ParamValidationError(Exception):
    """As botocore's, before it knew the condition."""


@pytest.mark.parametrize("video", [SMALL, LARGE], ids=["one-request", "in-parts"])
@pytest.mark.parametrize(
    "lacking",
    [
        NotImplementedError("File mode not supported"),
        OSError(errno.ENOSYS, "not here"),
        ParamValidationError(),
    ],
    ids=["an-old-s3fs", "another-store", "an-old-botocore"],
)
def test_a_video_is_stored_where_nothing_knows_how_to_write_only_what_is_new(
    bucket: Any, serve: Serve, video: bytes, lacking: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_file = pytest.importorskip("s3fs.core").S3File
    begin, call = s3_file.__init__, s3_file._call_s3

    def init(file: Any, fs: Any, path: str, mode: str = "rb", **how: Any) -> None:
        if mode == "xb" and isinstance(lacking, NotImplementedError):
            raise lacking
        begin(file, fs, path, mode, **how)

    def ask(file: Any, method: str, *how: Any, **arguments: Any) -> Any:
        if "IfNoneMatch" in arguments:
            raise lacking
        return call(file, method, *how, **arguments)

    monkeypatch.setattr(s3_file, "__init__", init)
    monkeypatch.setattr(s3_file, "_call_s3", ask)
    url = serve(video)
    assert RunwayHook().keep_video(uri("boat.mp4"), video_url=url).size == len(video)
    assert content_of(bucket, "boat.mp4") == video
    assert uploads_in(bucket) == []
    bucket.put_object(Bucket=BUCKET, Key="other.mp4", Body=b"another's")
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        RunwayHook().keep_video(uri("other.mp4"), video_url=url)


def test_a_bucket_that_is_not_there_is_an_error_that_names_it(bucket: Any, serve: Serve) -> None:
    path = f"s3://{CONN_ID}@no-such-bucket/boat.mp4"
    with pytest.raises(RunwayStorageError, match=r"no-such-bucket.+kie\.ai keeps the video"):
        RunwayHook().keep_video(path, video_url=serve())


@pytest.mark.parametrize("end", ["?", "#", "/?", "/#", "/a?", "/a#"])
def test_a_name_of_which_airflow_loses_the_end_is_refused(bucket: Any, end: str) -> None:
    with pytest.raises(RunwayValidationError, match=r"Airflow takes it for 'videos(/a?)?'"):
        storage.reach(f"s3://{CONN_ID}@{BUCKET}{end}")


def test_a_folder_in_a_bucket(bucket: Any, serve: Serve) -> None:
    assert RunwayHook().keep_video(uri("a/"), video_url=serve()).path == uri("a/boat.mp4")
    assert RunwayHook().keep_video(f"s3://{CONN_ID}@{BUCKET}/", video_url=serve()).path == uri("boat.mp4")
    assert keys_in(bucket) == ["a/boat.mp4", "boat.mp4"]

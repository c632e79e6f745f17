"""One task from a picture in S3 to a video in S3, whatever dies in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError
from airflow_provider_runway.operators.runway import RunwayUploadOperator
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import MODES, Killed, Life
from tests.integration.object_storage import (
    BUCKET,
    bucket,
    content_of,
    keys_in,
    s3_server,
    uploads_in,
    uri,
)

__all__ = ["bucket", "s3_server"]

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.fixture
def picture(bucket: Any) -> str:
    """The URI of a picture in S3, under an odd key."""
    bucket.put_object(Bucket=BUCKET, Key="in/a fox?*.png", Body=PICTURE)
    return uri("in/a fox?*.png")


def sent(simulator: Simulator) -> bytes:
    """Return the picture that the newest creation is about."""
    return requests.get(simulator.creations[-1]["body"]["imageUrl"], timeout=30).content


@pytest.mark.parametrize("mode", MODES)
def test_one_task_goes_from_a_picture_in_s3_to_a_video_in_s3(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator, bucket: Any, picture: str
) -> None:
    task = life(image_url=picture, path=uri("out/"), manifest=True, **MODES[mode])
    path = task.to_the_end()
    assert sent(runway_simulator) == PICTURE
    name = runway_simulator.creations[0]["task_id"]
    assert path == uri(f"out/{name}.mp4")
    assert keys_in(bucket) == ["in/a fox?*.png", f"out/{name}.json", f"out/{name}.mp4"]
    assert content_of(bucket, f"out/{name}.mp4")[4:8] == b"ftyp"
    assert task.ti.xcoms["size"] == len(content_of(bucket, f"out/{name}.mp4"))
    assert uploads_in(bucket) == []


@pytest.mark.usefixtures("pauses")
def test_a_retry_stores_in_s3_what_was_paid_for(
    life: Callable[..., Life], runway_simulator: Simulator, bucket: Any
) -> None:
    task = life(path=uri("out/boat.mp4"))
    runway_simulator.add_fault("http_error", "/results", status=503, count=None)
    with pytest.raises(RunwayError):
        task.to_the_end()
    assert keys_in(bucket) == []
    runway_simulator.clear_faults()
    assert task.to_the_end() == uri("out/boat.mp4")
    assert keys_in(bucket) == ["out/boat.mp4"]
    assert len(runway_simulator.creations) == 1


def test_a_bucket_that_is_not_there_is_said_before_anything_is_paid_for(
    life: Callable[..., Life], runway_simulator: Simulator, bucket: Any
) -> None:
    with pytest.raises(RunwayValidationError, match=r"path='s3://aws_local@missing-bucket/out/': .*bucket"):
        life(path="s3://aws_local@missing-bucket/out/").to_the_end()
    assert runway_simulator.creations == []


@pytest.mark.parametrize("key", ["", "/", "/notes"], ids=["the bucket", "with a slash", "a folder"])
def test_a_retry_resumes_what_is_noted_in_s3(
    key: str,
    runway_simulator: Simulator,
    killed_at: Callable[[str], None],
    bucket: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", uri("").rstrip("/") + key)
    task = Life(None)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    assert f"{key.strip('/')}/runway-state".lstrip("/") in keys_in(bucket)
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_a_file_of_s3_is_uploaded_by_a_task_of_its_own(
    runway_simulator: Simulator, context: Any, picture: str
) -> None:
    url = RunwayUploadOperator(task_id="upload", path=picture).execute(context)
    assert requests.get(url, timeout=30).content == PICTURE

"""Bad input of the operators is refused before any request, naming field, value and rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import RunwayAuthenticationError, RunwayValidationError
from airflow_provider_runway.operators.runway import (
    RunwayAlephOperator,
    RunwayDownloadOperator,
    RunwayExtendOperator,
    RunwayGenerateOperator,
    RunwayUploadOperator,
)
from tests.integration.recorder import Recorder

BAD = [
    (
        RunwayGenerateOperator,
        {"prompt": "x", "duration": 10, "quality": "1080p"},
        ["duration", "10", "1080p"],
    ),
    (RunwayGenerateOperator, {"prompt": "x", "duration": 7}, ["duration", "7", "5, 10"]),
    (RunwayGenerateOperator, {"prompt": "x", "duration": "long"}, ["duration", "'long'"]),
    (RunwayGenerateOperator, {"prompt": "x", "quality": "4k"}, ["quality", "'4k'", "720p"]),
    (RunwayGenerateOperator, {"prompt": "x", "aspect_ratio": "2:1"}, ["aspect_ratio", "'2:1'", "16:9"]),
    (RunwayGenerateOperator, {"prompt": "x", "aspect_ratio": None}, ["aspect_ratio", "None", "required"]),
    (RunwayGenerateOperator, {"prompt": "x" * 1801}, ["prompt", "1801", "1800"]),
    (RunwayGenerateOperator, {"prompt": ""}, ["prompt", "''", "required"]),
    (RunwayGenerateOperator, {"prompt": " \n"}, ["prompt", "required"]),
    (RunwayGenerateOperator, {"prompt": None}, ["prompt", "None", "required"]),
    (RunwayGenerateOperator, {"prompt": "x", "image_url": "boat.png"}, ["image_url", "'boat.png'", "URL"]),
    (RunwayGenerateOperator, {"prompt": "x", "image_url": "ftp://a/b.png"}, ["image_url", "ftp://a/b.png"]),
    (RunwayGenerateOperator, {"prompt": "x", "callback_url": "here"}, ["callback_url", "'here'", "URL"]),
    (RunwayGenerateOperator, {"prompt": "x", "timeout": 0}, ["timeout", "0", "positive"]),
    (RunwayGenerateOperator, {"prompt": "x", "timeout": "1h"}, ["timeout", "'1h'"]),
    (RunwayGenerateOperator, {"prompt": "x", "poll_interval": -1}, ["poll_interval", "-1"]),
    (
        RunwayGenerateOperator,
        {"prompt": "x", "on_unknown_submission": "ask"},
        ["on_unknown_submission", "'ask'"],
    ),
    (RunwayExtendOperator, {"prompt": "x", "parent_task_id": ""}, ["parent_task_id", "''"]),
    (RunwayExtendOperator, {"prompt": "", "parent_task_id": "task-1"}, ["prompt", "''"]),
    (RunwayExtendOperator, {"prompt": "x", "parent_task_id": None}, ["parent_task_id", "None"]),
    (RunwayAlephOperator, {"prompt": "x", "video_url": ""}, ["video_url", "''"]),
    (RunwayAlephOperator, {"prompt": "x", "video_url": "v.mp4"}, ["video_url", "'v.mp4'"]),
    (
        RunwayAlephOperator,
        {"prompt": "x", "video_url": "https://a.example/v", "seed": "one"},
        ["seed", "'one'"],
    ),
    (
        RunwayAlephOperator,
        {"prompt": "x", "video_url": "https://a.example/v", "aspect_ratio": "5:4"},
        ["aspect_ratio", "'5:4'", "21:9"],
    ),
    (RunwayUploadOperator, {"path": ""}, ["path", "''"]),
    (RunwayDownloadOperator, {"path": "/tmp/v.mp4"}, ["runway_task_id", "video_url"]),
    (
        RunwayDownloadOperator,
        {"path": "/tmp/v.mp4", "runway_task_id": "t", "video_url": "https://a.example/v"},
        ["runway_task_id", "video_url"],
    ),
    (RunwayDownloadOperator, {"path": "", "runway_task_id": "t"}, ["path", "''"]),
    (RunwayDownloadOperator, {"path": "/tmp/v.mp4", "video_url": "no url"}, ["video_url", "'no url'"]),
    (RunwayDownloadOperator, {"path": "/tmp/v.mp4", "runway_task_id": "t", "model": "x"}, ["model", "'x'"]),
]


@pytest.mark.parametrize(("operator", "arguments", "named"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_is_refused_before_any_request(
    recorder: Recorder,
    connect: Callable[..., str],
    context: Any,
    operator: type[Any],
    arguments: dict[str, Any],
    named: list[str],
) -> None:
    connect(host=recorder.url)
    with pytest.raises(RunwayValidationError) as caught:
        operator(task_id="bad", **arguments).execute(context)
    assert all(text in str(caught.value) for text in named)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AirflowFailException)
    assert recorder.requests == []


def test_a_missing_key_is_refused_before_any_request(
    recorder: Recorder, connect: Callable[..., str], context: Any
) -> None:
    connect(host=recorder.url, password="")
    with pytest.raises(RunwayAuthenticationError, match="password"):
        RunwayGenerateOperator(task_id="generate", prompt="A boat").execute(context)
    assert recorder.requests == []

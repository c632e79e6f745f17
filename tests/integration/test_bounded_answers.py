"""An answer that is far larger than any of kie.ai's is cut off: it must not hold up everybody's waits."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.exceptions import RunwaySubmissionUnknownError, RunwayUnreadableAnswerError
from airflow_provider_runway.hooks.runway import RunwayAsyncHook, RunwayHook
from tests.integration.recorder import Answer, Recorder, envelope

TASK = {"taskId": "1", "state": "generating"}
PACKED = {"Content-Encoding": "gzip"}
LARGE = json.dumps({"code": 200, "msg": "success", "data": {**TASK, "pad": "x" * 1024 * 1024}}).encode()

ANSWERS = {
    "large": Answer(LARGE),
    "large when unpacked": Answer(gzip.compress(LARGE), headers=PACKED),
    "a bomb": Answer(gzip.compress(bytes(256 * 1024 * 1024), 9), headers=PACKED),
    "no gzip": Answer(envelope(TASK).body, headers=PACKED),
    "half a gzip": Answer(gzip.compress(envelope(TASK).body)[:-12], headers=PACKED),
    "not asked for": Answer(envelope(TASK).body, headers={"Content-Encoding": "br"}),
}


def look_up(asynchronously: bool) -> Any:
    if asynchronously:
        return asyncio.run(RunwayAsyncHook(patience=0).get_task("1"))
    return RunwayHook(patience=0).get_task("1")


@pytest.mark.parametrize("asynchronously", [False, True], ids=["worker", "triggerer"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_too_large_or_cannot_be_unpacked_is_unreadable(
    recorder: Recorder, connect: Callable[..., str], answer: str, asynchronously: bool
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: ANSWERS[answer]
    with pytest.raises(RunwayUnreadableAnswerError):
        look_up(asynchronously)


@pytest.mark.parametrize("asynchronously", [False, True], ids=["worker", "triggerer"])
def test_a_packed_answer_is_read(
    recorder: Recorder, connect: Callable[..., str], asynchronously: bool
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: Answer(gzip.compress(envelope(TASK).body), headers=PACKED)
    assert look_up(asynchronously).task_id == "1"
    assert recorder.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("asynchronously", [False, True], ids=["worker", "triggerer"])
def test_an_answer_of_hundreds_of_kilobytes_is_read(
    recorder: Recorder, connect: Callable[..., str], asynchronously: bool
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope({**TASK, "pad": "x" * 700_000})
    assert look_up(asynchronously).task_id == "1"


def test_a_creation_whose_answer_is_cut_off_is_unknown(
    recorder: Recorder, connect: Callable[..., str]
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: ANSWERS["large when unpacked"]
    with pytest.raises(RunwaySubmissionUnknownError):
        RunwayHook().submit(GenerateVideo("A paper boat"))
    assert len(recorder.requests) == 1

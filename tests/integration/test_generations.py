"""Tasks of either generation of the API are found, whatever the connection's ``api`` says by now."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayRequestError,
    RunwayServerError,
    RunwayTaskNotFoundError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks.runway import RunwayAsyncHook, RunwayHook
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from tests.integration.conftest import TaskInstance
from tests.integration.recorder import Answer, Recorder, Request, envelope

APIS = [("dedicated", "market"), ("market", "dedicated")]
REQUESTS = [GenerateVideo("A paper boat"), GenerateAlephVideo("Ink", "https://files.example.com/a.mp4")]


@pytest.fixture
def switch(runway_simulator: Simulator, connect: Callable[..., str]) -> Callable[[str], None]:
    """Set the connection's ``api``."""

    def switch(api: str) -> None:
        extra = {"api": api, "upload_host": runway_simulator.url, "speed": runway_simulator.settings.speed}
        connect(host=runway_simulator.url, extra=extra)

    return switch


@pytest.mark.parametrize(("before", "after"), APIS)
@pytest.mark.parametrize("request_", REQUESTS, ids=["generate", "aleph"])
def test_a_task_is_found_after_the_api_was_changed(
    runway_simulator: Simulator, switch: Callable[[str], None], before: str, after: str, request_: Any
) -> None:
    switch(before)
    task_id = RunwayHook().submit(request_)
    runway_simulator.advance(3600)
    switch(after)
    task = RunwayHook().get_task(task_id, model=request_.model)
    assert task.video_url
    assert asyncio.run(RunwayAsyncHook().get_task(task_id, model=request_.model)) == task


@pytest.mark.parametrize("wait", ["worker", "triggerer", "sensor"])
def test_a_wait_finds_its_task_in_the_other_generation_and_stays_there(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.Poller._delay", lambda *_: 0.01)
    connect(host=recorder.url, extra={"api": "dedicated"})
    states = iter(["generating", "generating", "success"])

    def answer(request: Request) -> Any:
        if "record-detail" in request.path:
            return envelope(None)
        urls = json.dumps({"resultUrls": ["https://files.test/v.mp4"]})
        return envelope({"taskId": "1", "state": next(states), "resultJson": urls})

    recorder.answer = answer
    if wait == "worker":
        RunwayHook().wait_for_task("1")
    elif wait == "triggerer":
        assert asyncio.run(RunwayTaskTrigger("1").wait()).error is None
    else:
        sensor = RunwayTaskSensor(task_id="wait", runway_task_id="1")
        context: Any = {"ti": TaskInstance()}
        while not sensor.poke(context):
            pass
    asked = [request.path.split("?")[0].rsplit("/", 1)[1] for request in recorder.requests]
    assert asked == ["record-detail", "recordInfo", "recordInfo", "recordInfo"]


def test_an_id_that_neither_knows_is_unknown(
    runway_simulator: Simulator, switch: Callable[[str], None]
) -> None:
    switch("dedicated")
    with pytest.raises(RunwayTaskNotFoundError):
        RunwayHook().get_task("nobodys")
    with pytest.raises(RunwayTaskNotFoundError):
        asyncio.run(RunwayAsyncHook().get_task("nobodys"))


@pytest.mark.parametrize(
    ("other", "error"),
    [
        (envelope(None, 500, "internal error"), RunwayServerError),
        (envelope(None, 505, "This feature is disabled."), RunwayTaskNotFoundError),
        (envelope(None, 401, "Unauthorized"), RunwayTaskNotFoundError),
    ],
    ids=["an outage", "disabled", "refused"],
)
def test_only_an_outage_of_the_other_generation_leaves_open_whether_it_knows_the_task(
    recorder: Recorder, connect: Callable[..., str], other: Any, error: type[Exception]
) -> None:
    connect(host=recorder.url, extra={"api": "dedicated"})
    recorder.answer = lambda request: envelope(None) if "record-detail" in request.path else other
    with pytest.raises(error):
        RunwayHook(patience=0).get_task("1")
    with pytest.raises(error):
        asyncio.run(RunwayAsyncHook(patience=0).get_task("1"))


PATHS = {"dedicated": ("/api/v1/runway/", "/api/v1/aleph/"), "market": ("/api/v1/jobs/",)}


def gone(path: str) -> dict[str, Any]:
    """What Spring answers where kie.ai has no such path."""
    return {"timestamp": "2026-12-01T10:00:00.000+00:00", "status": 404, "error": "Not Found", "path": path}


@pytest.mark.parametrize(("before", "after"), APIS)
@pytest.mark.parametrize("request_", REQUESTS, ids=["generate", "aleph"])
def test_a_task_is_found_though_the_connections_generation_was_retired(
    runway_simulator: Simulator, switch: Callable[[str], None], before: str, after: str, request_: Any
) -> None:
    switch(before)
    task_id = RunwayHook().submit(request_)
    runway_simulator.advance(3600)
    switch(after)
    for path in PATHS[after]:
        runway_simulator.add_fault("http_error", path, status=404, count=None, body=gone(path))
    task = RunwayHook().get_task(task_id, model=request_.model)
    assert task.video_url
    assert asyncio.run(RunwayAsyncHook().get_task(task_id, model=request_.model)) == task


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (envelope(None, 401, "Unauthorized"), RunwayAuthenticationError),
        (envelope(None, 500, "internal error"), RunwayServerError),
        (Answer(json.dumps(gone("/api/v1/jobs/recordInfo")).encode(), 404), RunwayRequestError),
    ],
    ids=["refused", "an outage", "gone too"],
)
def test_where_the_connections_generation_was_retired_the_other_has_the_last_word(
    recorder: Recorder, connect: Callable[..., str], other: Answer, kind: type[RunwayError]
) -> None:
    connect(host=recorder.url, extra={"api": "dedicated"})
    retired = Answer(json.dumps(gone("/api/v1/runway/record-detail")).encode(), 404)
    recorder.answer = lambda request: retired if "record-detail" in request.path else other
    hook = RunwayAsyncHook(patience=0)
    for look in (RunwayHook(patience=0).get_task, lambda task_id: asyncio.run(hook.get_task(task_id))):
        with pytest.raises(RunwayError) as caught:
            look("1")
        assert type(caught.value) is kind
        assert "extra 'api'" in str(caught.value), "the text does not say what to change"


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_a_task_is_not_unknown_while_a_generation_that_may_know_it_is_not_there(
    recorder: Recorder, connect: Callable[..., str], api: str
) -> None:
    connect(host=recorder.url, extra={"api": api})
    away = Answer(json.dumps(gone("/api/v1/runway/record-detail")).encode(), 404)
    unknown = envelope(None, 422, "recordInfo is null")
    recorder.answer = lambda request: away if "record-detail" in request.path else unknown
    hook = RunwayAsyncHook(patience=0)
    for look in (RunwayHook(patience=0).get_task, lambda task_id: asyncio.run(hook.get_task(task_id))):
        with pytest.raises(RunwayError) as caught:
            look("1")
        assert type(caught.value) is RunwayRequestError
        assert "extra 'api'" in str(caught.value), "the text does not say what to change"
        assert "'market', does not know the task" in str(caught.value)


def test_a_wait_outlasts_a_deployment_in_which_the_generation_of_its_task_is_not_there(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=recorder.url, extra={"api": "dedicated"})
    now = [time.time()]
    monkeypatch.setattr("airflow_provider_runway.sensors.runway.time.time", lambda: now[0])
    away = Answer(json.dumps(gone("/api/v1/runway/record-detail")).encode(), 404)
    dedicated: list[Any] = [envelope({"state": "generating"}), *[away] * 9]
    dedicated.append(envelope({"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}}))
    unknown = envelope(None, 422, "recordInfo is null")
    recorder.answer = lambda request: dedicated.pop(0) if "record-detail" in request.path else unknown
    sensor = RunwayTaskSensor(task_id="wait", runway_task_id="1")
    context: Any = {"ti": TaskInstance()}
    while not (found := sensor.poke(context)):
        now[0] += 30
    assert found.xcom_value == "https://files.test/v.mp4"


@pytest.mark.parametrize(("before", "after"), APIS)
def test_an_extension_goes_to_the_generation_of_its_parent(
    runway_simulator: Simulator, switch: Callable[[str], None], before: str, after: str
) -> None:
    switch(before)
    parent = RunwayHook().submit(GenerateVideo("A paper boat"))
    runway_simulator.advance(600)
    switch(after)
    extension = RunwayHook().submit(ExtendVideo(parent, "It sinks"))
    runway_simulator.advance(600)
    assert RunwayHook().get_task(extension).video_url


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_a_parent_that_nobody_knows_is_asked_for_again_and_then_not_extended(
    runway_simulator: Simulator, switch: Callable[[str], None], pauses: list[float], api: str
) -> None:
    switch(api)
    with pytest.raises(RunwayTaskNotFoundError, match=r"parent_task_id='unknown1'.*Nothing was sent"):
        RunwayHook(patience=0).submit(ExtendVideo("unknown1", "It sinks"))
    assert runway_simulator.creations == []
    assert len(pauses) == 1


def test_a_parent_that_becomes_known_a_moment_later_is_extended(
    recorder: Recorder, connect: Callable[..., str], pauses: list[float]
) -> None:
    connect(host=recorder.url, extra={"api": "market"})

    def answer(request: Request) -> Answer:
        if request.method == "POST":
            return envelope({"taskId": "2"})
        if pauses and "recordInfo" in request.path:
            return envelope({"taskId": "1", "state": "generating"})
        return envelope(None, 422, "recordInfo is null")

    recorder.answer = answer
    assert RunwayHook(patience=0).submit(ExtendVideo("1", "It sinks")) == "2"


@pytest.mark.parametrize(
    ("api", "fault", "why"),
    [
        ("dedicated", "moderation", "generation failed"),
        ("market", "moderation", "generation failed"),
        ("dedicated", "expired", "deleted its video"),
    ],
)
def test_a_parent_without_a_video_is_not_extended(
    runway_simulator: Simulator, switch: Callable[[str], None], api: str, fault: str, why: str
) -> None:
    switch(api)
    runway_simulator.add_fault(fault)
    parent = RunwayHook().submit(GenerateVideo("A paper boat"))
    runway_simulator.advance(600)
    hook = RunwayHook()
    for _ in range(2):
        with pytest.raises(
            RunwayValidationError, match=rf"parent_task_id='{parent}'.*{why}.*Nothing was sent"
        ):
            hook.submit(ExtendVideo(parent, "It sinks"))
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("code", [429, 455, 500])
def test_one_failure_does_not_send_an_extension_to_the_wrong_generation(
    runway_simulator: Simulator, switch: Callable[[str], None], pauses: list[float], code: int
) -> None:
    switch("dedicated")
    parent = RunwayHook().submit(GenerateVideo("A paper boat"))
    runway_simulator.advance(600)
    switch("market")
    runway_simulator.add_fault("body_code", "/api/v1/", method="GET", code=code, count=2)
    RunwayHook().submit(ExtendVideo(parent, "It sinks"))
    assert runway_simulator.creations[-1]["path"] == "/api/v1/runway/extend"
    assert pauses


def test_an_extension_is_not_sent_while_nobody_says_who_made_its_parent(
    recorder: Recorder, connect: Callable[..., str]
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope(None, 500, "internal error")
    with pytest.raises(RunwayServerError, match=r"internal error.*Nothing was submitted"):
        RunwayHook(patience=0).submit(ExtendVideo("1", "It sinks"))
    assert {request.method for request in recorder.requests} == {"GET"}


def test_a_source_that_kie_ai_would_not_fetch_is_refused_before_it_is_paid_for(
    runway_simulator: Simulator,
) -> None:
    with pytest.raises(RunwayValidationError, match=r"video_url='http://example\.com/a\.mp4': must be"):
        RunwayHook().submit(GenerateAlephVideo("Ink", "http://example.com/a.mp4?key=1"))
    assert runway_simulator.creations == []
    RunwayHook().submit(GenerateAlephVideo("Ink", f"{runway_simulator.url}/a.mp4"))
    assert len(runway_simulator.creations) == 1

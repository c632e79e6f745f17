"""Tasks of either generation of the API are found, whatever the connection's ``api`` says by now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo
from airflow_provider_runway.exceptions import RunwayServerError, RunwayTaskNotFoundError
from airflow_provider_runway.hooks.runway import RunwayAsyncHook, RunwayHook
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from tests.integration.conftest import TaskInstance
from tests.integration.recorder import Recorder, Request, envelope

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


def test_a_parent_that_cannot_be_looked_up_leaves_the_extension_to_the_connections_generation(
    recorder: Recorder, connect: Callable[..., str]
) -> None:
    connect(host=recorder.url, extra={"api": "market"})
    recorder.answer = lambda request: (
        envelope({"taskId": "2"}) if request.method == "POST" else envelope(None, 500, "internal error")
    )
    assert RunwayHook(patience=0).submit(ExtendVideo("1", "It sinks")) == "2"
    assert [request.path for request in recorder.requests if request.method == "POST"] == [
        "/api/v1/jobs/createTask"
    ]

"""The operators that submit: what they send, how they wait, what they leave behind, what they refuse."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.compat import AirflowFailException, TaskDeferred
from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwaySubmissionUnknownError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
)
from airflow_provider_runway.operators.runway import (
    RunwayAlephOperator,
    RunwayDownloadOperator,
    RunwayExtendOperator,
    RunwayGenerateOperator,
    RunwayUploadOperator,
)
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from tests.integration.conftest import TaskInstance
from tests.integration.recorder import Recorder, envelope
from tests.versions import DAG

pytestmark = pytest.mark.usefixtures("quick")

GENERATE = RunwayGenerateOperator(task_id="generate", prompt="A paper boat")
EXTEND = RunwayExtendOperator(task_id="extend", parent_task_id="task-1", prompt="It sails on")
ALEPH = RunwayAlephOperator(task_id="aleph", prompt="As a watercolour", video_url="https://example.com/v.mp4")
OPERATORS = [
    GENERATE,
    EXTEND,
    ALEPH,
    RunwayDownloadOperator(task_id="download", path="/tmp/video.mp4", runway_task_id="task-1"),
    RunwayUploadOperator(task_id="upload", path="/tmp/picture.png"),
]


def deferred(operator: Any, context: Any) -> TaskDeferred:
    """Return the deferral that the operator asks for."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    return caught.value


def event_of(deferral: TaskDeferred) -> Any:
    """Run the trigger as the triggerer does, stored in between, and return its event's payload."""
    path, arguments = deferral.trigger.serialize()
    assert path.endswith(".RunwayTaskTrigger")
    trigger = RunwayTaskTrigger(**json.loads(json.dumps(arguments)))

    async def first() -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    return json.loads(json.dumps(asyncio.run(first())))


def finish(operator: Any, context: Any) -> Any:
    """Run the operator to its end, through the triggerer where it is deferrable."""
    if operator.deferrable:
        return operator.execute_complete(context, event_of(deferred(operator, context)))
    return operator.execute(context)


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_all_three_submit_and_return_the_task_id(
    runway_simulator: Simulator, connect: Callable[..., str], context: Any, ti: TaskInstance, api: str
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    parent = GENERATE.execute(context)
    assert ti.xcoms.pop("runway_task_id") == parent
    extend = RunwayExtendOperator(task_id="extend", parent_task_id=parent, prompt="It sails on")
    for operator in (extend, ALEPH):
        runway_task_id = operator.execute(context)
        assert runway_task_id == runway_simulator.creations[-1]["task_id"]
        assert ti.xcoms.pop("runway_task_id") == runway_task_id
    assert [task["kind"] for task in runway_simulator.tasks] == ["generate", "extend", "aleph"]
    assert {task["generation"] for task in runway_simulator.tasks} == {api}
    # Before an extension is paid for, its parent is looked at.
    assert [task["lookups"] for task in runway_simulator.tasks] == [1, 0, 0]


def test_every_field_arrives_as_it_was_given(runway_simulator: Simulator, context: Any) -> None:
    RunwayGenerateOperator(
        task_id="generate",
        prompt="Ein Schiff 🚢",
        duration="10",
        quality="720p",
        aspect_ratio="9:16",
        watermark="mine",
        callback_url="https://example.com/callback",
    ).execute(context)
    RunwayGenerateOperator(task_id="image", prompt="x", image_url="https://example.com/i.png").execute(
        context
    )
    RunwayAlephOperator(
        task_id="aleph",
        prompt="As a watercolour",
        video_url="https://example.com/v.mp4",
        aspect_ratio="21:9",
        reference_image="https://example.com/r.png",
        seed="7",
        upload_cn="true",
        watermark="",
    ).execute(context)
    text, image, aleph = (creation["body"] for creation in runway_simulator.creations)
    assert text == {
        "prompt": "Ein Schiff 🚢",
        "duration": 10,
        "quality": "720p",
        "aspectRatio": "9:16",
        "waterMark": "mine",
        "callBackUrl": "https://example.com/callback",
    }
    assert image == {
        "prompt": "x",
        "duration": 5,
        "quality": "720p",
        "imageUrl": "https://example.com/i.png",
    }
    assert aleph == {
        "prompt": "As a watercolour",
        "videoUrl": "https://example.com/v.mp4",
        "aspectRatio": "21:9",
        "referenceImage": "https://example.com/r.png",
        "seed": 7,
        "uploadCn": True,
    }


def test_waiting_in_the_worker_ends_with_the_video_and_its_xcoms(
    runway_simulator: Simulator, context: Any, ti: TaskInstance
) -> None:
    operator = RunwayGenerateOperator(task_id="generate", prompt="A boat", wait_for_completion=True)
    runway_task_id = operator.execute(context)
    assert runway_task_id == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1
    assert ti.xcoms["runway_task_id"] == runway_task_id
    assert ti.xcoms["video_url"].endswith(".mp4")
    assert ti.xcoms["image_url"].endswith(".jpg")
    assert isinstance(ti.xcoms["video_id"], str)


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_waiting_deferred_ends_with_the_same(
    runway_simulator: Simulator, connect: Callable[..., str], context: Any, ti: TaskInstance, api: str
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=True, deferrable=True, timeout=600
    )
    before = time.time()
    deferral = deferred(operator, context)
    runway_task_id = runway_simulator.creations[0]["task_id"]
    assert ti.xcoms["runway_task_id"] == runway_task_id
    assert isinstance(deferral.trigger, RunwayTaskTrigger)
    assert deferral.trigger.runway_task_id == runway_task_id
    assert before + 600 <= deferral.trigger.end_time <= time.time() + 600
    assert deferral.timeout is not None
    assert deferral.timeout >= timedelta(seconds=590)
    assert operator.execute_complete(context, event_of(deferral)) == runway_task_id
    assert ti.xcoms["video_url"].endswith(".mp4")
    assert len(runway_simulator.creations) == 1


def test_what_a_video_costs_is_an_xcom_of_the_task_that_submitted_it_from_then_on(
    runway_simulator: Simulator, context: Any, ti: TaskInstance
) -> None:
    for operator, price in ((GENERATE, 12.0), (ALEPH, 110.0)):
        ti.xcoms.clear()
        operator.execute(context)
        assert ti.xcoms["credits_consumed"] == price


def test_what_kie_ai_says_of_the_cost_comes_before_the_price_list(
    runway_simulator: Simulator, connect: Callable[..., str], context: Any, ti: TaskInstance
) -> None:
    connect(host=runway_simulator.url, extra={"api": "market"})
    parent = GENERATE.execute(context)
    runway_simulator.advance(600)
    ti.xcoms.clear()
    finish(
        RunwayExtendOperator(task_id="extend", parent_task_id=parent, prompt="on", wait_for_completion=True),
        context,
    )
    assert ti.xcoms["credits_consumed"] == runway_simulator.creations[1]["credits"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_video_is_counted_once_however_many_wait_for_it(
    runway_simulator: Simulator, context: Any, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    counted: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "airflow_provider_runway.triggers.results.Stats",
        SimpleNamespace(incr=lambda name, count, tags: counted.append((name, count))),
    )
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", duration=10, wait_for_completion=True, deferrable=deferrable
    )
    runway_task_id = finish(operator, context)
    RunwayTaskSensor(task_id="wait", runway_task_id=runway_task_id).execute(context)
    assert counted == [("runway.credits_consumed", 30)]


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_kie_ai_does_not_send_is_no_xcom_rather_than_none(
    runway_simulator: Simulator, context: Any, ti: TaskInstance, deferrable: bool
) -> None:
    finish(
        RunwayAlephOperator(
            task_id="aleph",
            prompt="As a watercolour",
            video_url="https://example.com/v.mp4",
            wait_for_completion=True,
            deferrable=deferrable,
        ),
        context,
    )
    assert ti.xcoms["video_url"].endswith(".mp4")
    assert "video_id" not in ti.xcoms


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_paid_video_is_not_given_up_because_its_id_cannot_be_pushed(
    runway_simulator: Simulator,
    context: Any,
    ti: TaskInstance,
    capsys: pytest.CaptureFixture[str],
    deferrable: bool,
) -> None:
    def out_of_reach(**_: Any) -> None:
        raise ConnectionError("the API server does not answer")

    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=deferrable, deferrable=deferrable
    )
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(ti, "xcom_push", out_of_reach)
        event: Any = event_of(deferred(operator, context)) if deferrable else operator.execute(context)
    (creation,) = runway_simulator.creations
    assert creation["task_id"] in capsys.readouterr().out
    result = operator.execute_complete(context, event) if deferrable else event
    assert result == creation["task_id"]


@pytest.mark.parametrize("by_default", [False, True])
def test_deferrable_without_waiting_submits_only_and_says_so_where_somebody_asked_for_it(
    runway_simulator: Simulator,
    context: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    by_default: bool,
) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", str(by_default))
    operator = RunwayGenerateOperator(task_id="generate", prompt="A boat", deferrable=True)
    assert operator.execute(context) == runway_simulator.creations[0]["task_id"]
    said = capsys.readouterr().out.count("does not wait for the video")
    assert said == (0 if by_default else 1)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_task_that_failed_says_why(
    runway_simulator: Simulator, context: Any, ti: TaskInstance, deferrable: bool
) -> None:
    runway_simulator.add_fault("moderation")
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=True, deferrable=deferrable
    )
    with pytest.raises(RunwayTaskRejectedError, match="AI moderator") as caught:
        finish(operator, context)
    text = str(caught.value)
    assert ti.xcoms["runway_task_id"] in text
    assert "https://kie.ai/logs" in text
    assert isinstance(caught.value, AirflowFailException)
    assert "video_url" not in ti.xcoms


@pytest.mark.parametrize("timeout", [0.3, timedelta(seconds=0.3)])
@pytest.mark.parametrize("deferrable", [False, True])
def test_the_deadline_is_an_error_that_can_be_retried(
    runway_simulator: Simulator, context: Any, timeout: Any, deferrable: bool
) -> None:
    runway_simulator.add_fault("stuck")
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=True, deferrable=deferrable, timeout=timeout
    )
    with pytest.raises(RunwayTimeoutError, match="charged") as caught:
        finish(operator, context)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_creation_without_an_answer_is_not_sent_again(runway_simulator: Simulator, context: Any) -> None:
    runway_simulator.add_fault("drop_after", count=None)
    with pytest.raises(RunwaySubmissionUnknownError) as caught:
        GENERATE.execute(context)
    assert isinstance(caught.value, AirflowFailException)
    assert len(runway_simulator.creations) == 1


def test_a_template_of_text_is_read_as_what_the_field_is(runway_simulator: Simulator, context: Any) -> None:
    RunwayGenerateOperator(
        task_id="generate", prompt="x", duration="5", image_url="", watermark="", aspect_ratio="1:1"
    ).execute(context)
    assert runway_simulator.creations[0]["body"] == {
        "prompt": "x",
        "duration": 5,
        "quality": "720p",
        "aspectRatio": "1:1",
    }


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
def test_every_argument_of_the_request_is_templated(operator: Any) -> None:
    cls = type(operator)
    assert isinstance(cls.template_fields, tuple)
    own = [
        name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs", "args")
    ]
    # Those that choose between two ways are no part of a request.
    assert set(own) - {"overwrite", "manifest", "thumbnail"} <= set(cls.template_fields)
    assert "runway_conn_id" in cls.template_fields
    assert all(hasattr(operator, name) for name in cls.template_fields)


def test_templates_are_rendered(runway_simulator: Simulator, context: Any) -> None:
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="{{ subject }} at sea", aspect_ratio="{{ ratio }}", duration="{{ 2 * 5 }}"
    )
    operator.render_template_fields(context | {"subject": "A boat", "ratio": "1:1"})
    operator.execute(context)
    body = runway_simulator.creations[0]["body"]
    assert (body["prompt"], body["aspectRatio"], body["duration"]) == ("A boat at sea", "1:1", 10)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
def test_a_constructor_only_assigns(operator: Any) -> None:
    """A template is not rendered yet then, and a DAG file is parsed every few seconds."""
    nonsense = {name: object() for name in inspect.signature(type(operator).__init__).parameters}
    arguments = {name: value for name, value in nonsense.items() if name not in ("self", "kwargs", "args")}
    made = type(operator)(task_id="made", **arguments)
    assert all(getattr(made, name) is value for name, value in arguments.items())


def test_operators_map(runway_simulator: Simulator, context: Any) -> None:
    with DAG("mapped", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc)):
        mapped = RunwayGenerateOperator.partial(task_id="generate", quality="720p").expand(
            prompt=["A boat", "A train"]
        )
        parents = RunwayExtendOperator.partial(task_id="extend", prompt="on").expand(
            parent_task_id=mapped.output
        )
    task_ids = [mapped.unmap({"prompt": prompt}).execute(context) for prompt in ("A boat", "A train")]
    for task_id in task_ids:
        parents.unmap({"parent_task_id": task_id}).execute(context)
    assert [task["prompt"] for task in runway_simulator.tasks] == ["A boat", "A train", "on", "on"]
    assert [task["parent_task_id"] for task in runway_simulator.tasks[2:]] == task_ids


@pytest.mark.parametrize("failure", ["Trigger timeout", "Trigger failure"])
def test_a_trigger_that_failed_is_no_failed_task_where_the_video_is_there(
    runway_simulator: Simulator, context: Any, ti: TaskInstance, failure: str
) -> None:
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=True, deferrable=True
    )
    deferred(operator, context)
    runway_simulator.advance(600)
    result = operator.resume_execution("__fail__", {"error": failure}, context)
    assert result == ti.xcoms["runway_task_id"]
    assert ti.xcoms["video_url"].endswith(".mp4")


def test_a_trigger_that_failed_is_a_failed_task_where_there_is_no_video(
    runway_simulator: Simulator, context: Any
) -> None:
    runway_simulator.add_fault("stuck")
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=True, deferrable=True
    )
    deferred(operator, context)
    with pytest.raises(Exception, match="Trigger timeout"):
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, context)


def test_a_trigger_that_failed_does_not_hide_why_the_task_did(
    runway_simulator: Simulator, context: Any
) -> None:
    runway_simulator.add_fault("moderation")
    operator = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", wait_for_completion=True, deferrable=True
    )
    deferred(operator, context)
    runway_simulator.advance(600)
    with pytest.raises(RunwayTaskRejectedError, match="AI moderator"):
        operator.resume_execution("__fail__", {"error": "Trigger failure"}, context)


def test_an_event_that_says_nothing_is_no_success(context: Any) -> None:
    with pytest.raises(RunwayError):
        GENERATE.execute_complete(context, None)


def test_an_upload_is_what_the_others_can_take(
    runway_simulator: Simulator, context: Any, tmp_path: Path
) -> None:
    picture = tmp_path / "boat.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" * 1000)
    url = RunwayUploadOperator(task_id="upload", path=str(picture)).execute(context)
    task_id = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", image_url=url, wait_for_completion=True
    ).execute(context)
    assert runway_simulator.tasks[0]["state"] == "success"
    assert runway_simulator.tasks[0]["task_id"] == task_id


def test_an_answer_of_the_upload_that_names_no_url_is_an_error(
    recorder: Recorder, connect: Callable[..., str], context: Any, tmp_path: Path, pauses: list[float]
) -> None:
    picture = tmp_path / "boat.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    connect(host=recorder.url, extra={"upload_host": recorder.url})
    recorder.answer = lambda request: envelope(None, 400, "too large")
    with pytest.raises(RunwayError, match="too large"):
        RunwayUploadOperator(task_id="upload", path=str(picture)).execute(context)

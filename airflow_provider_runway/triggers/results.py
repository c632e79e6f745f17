"""What a submission and a wait leave behind: XComs, and what they cost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import PRICES, URL_FIELDS
from airflow_provider_runway.compat import Stats
from airflow_provider_runway.exceptions import RunwayError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context

#: XCom key of the Runway task ID: pushed as soon as there is one, so that it survives a failure of the task.
TASK_ID_KEY = "runway_task_id"
#: XCom key of the cost in credits: by the price list from the submission on, as kie.ai says after a wait.
COST_KEY = "credits_consumed"
#: XCom key of what was asked for: the model, the kind, and the fields of the request.
REQUEST_KEY = "runway_request"
#: XCom key of why the last try failed: the error's class and its text.
ERROR_KEY = "runway_error"
#: XCom key of a submission whose answer was lost, while its task waits for a call.
UNANSWERED_KEY = "runway_unanswered"
#: XCom key of what an Airflow task returns.
RETURN_KEY = "return_value"

_VIDEO_KEYS = ("video_url", "image_url", "video_id")
#: XCom keys of all that a sensor leaves behind, in whichever way its try ends.
SENSOR_KEYS = (RETURN_KEY, TASK_ID_KEY, *_VIDEO_KEYS, COST_KEY, ERROR_KEY)


def submission_of(request: RunwayRequest, runway_task_id: str) -> dict[str, Any]:
    """
    Return the XComs of a submission: the Runway task ID, what was asked for and, where there is a price, its
    cost.

    :param request: What was submitted.
    :param runway_task_id: The Runway task ID.
    """
    cost = {} if request.price is None else {COST_KEY: request.price}
    return {TASK_ID_KEY: runway_task_id, REQUEST_KEY: description_of(request), **cost}


def description_of(request: RunwayRequest) -> dict[str, Any]:
    """
    Return what was asked for, for people and manifests: ``model``, ``kind`` and the fields that have a value,
    URLs without their query, which may hold a signature.

    :param request: What was submitted.
    """
    told = {field.name: getattr(request, field.name) for field in fields(request)}
    return {
        "model": request.model,
        "kind": request.kind,
        **{
            name: value.partition("?")[0] if name in URL_FIELDS else value
            for name, value in told.items()
            if value is not None
        },
    }


@contextmanager
def reporting(context: Context) -> Iterator[None]:
    """
    Let an error of ours that fails a try be an XCom too, for Airflow keeps no error's text.

    :param context: The Airflow context.
    """
    try:
        yield
    except RunwayError as error:
        report = {"kind": type(error).__name__, "text": str(error)}
        ti: Any = context["ti"]
        try:
            ti.xcom_push(key=ERROR_KEY, value=report)
        except Exception:
            log.exception("Why this try failed cannot be pushed as an XCom")
        raise


def count_submission(request: RunwayRequest) -> None:
    """
    Count what a submission costs in Airflow's metric ``runway.credits_consumed``: once, where it is paid for,
    however many wait for it later.

    :param request: What was submitted.
    """
    if request.price is not None:
        Stats.incr("runway.credits_consumed", count=round(request.price), tags={"model": request.model})


def result_of(task: RunwayTask) -> dict[str, Any]:
    """
    Return the XComs of a finished task: its Runway task ID, and of ``video_url``, ``image_url``, ``video_id``
    and its cost those that are known. None of them is ``None``, which Airflow 3.0 refuses as an XCom.

    :param task: The Runway task.
    """
    cost = task.credits_consumed
    if cost is None and task.model == "aleph":
        cost = PRICES["aleph"]
    result = {key: getattr(task, key) for key in _VIDEO_KEYS} | {TASK_ID_KEY: task.task_id, COST_KEY: cost}
    return {key: value for key, value in result.items() if value is not None}


def push_task_id(context: Context, runway_task_id: str) -> None:
    """
    Push the Runway task ID that a task is about.

    :param context: The Airflow context.
    :param runway_task_id: The Runway task ID.
    """
    ti: Any = context["ti"]
    ti.xcom_push(key=TASK_ID_KEY, value=runway_task_id)


def push_result(context: Context, task: RunwayTask) -> None:
    """
    Push the XComs of a finished task.

    :param context: The Airflow context.
    :param task: The Runway task.
    """
    ti: Any = context["ti"]
    for key, value in result_of(task).items():
        ti.xcom_push(key=key, value=value)

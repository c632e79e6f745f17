"""What operators and the sensor share: handing a wait to the trigger, and what is left behind at its end."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_runway.api.requests import ALEPH_PRICE
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_runway.api.tasks import RunwayTask

#: What Airflow calls instead of ``execute_complete`` where the trigger failed, timed out or vanished.
TRIGGER_FAILED = "__fail__"

#: Seconds after its own deadline in which the trigger is left to say so itself, before Airflow ends the
#: deferral.
DEFERRAL_MARGIN = 60.0

log = logging.getLogger(__name__)

_WAIT_KEY = "runway_wait"

#: XCom key of the Runway task ID: pushed as soon as there is one, so that it survives a failure of the task.
TASK_ID_KEY = "runway_task_id"


def seconds(field: str, value: float | timedelta | None) -> float | None:
    """
    Return a duration in seconds.

    :param field: The argument's name, for the error.
    :param value: Seconds, or a ``timedelta``.
    :raises RunwayValidationError: a value that is neither, or not positive.
    """
    if value is None:
        return None
    result = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(result, bool) or not isinstance(result, int | float) or not 0 < result < float("inf"):
        raise RunwayValidationError(
            f"{field}={value!r}: must be a positive number of seconds, or a timedelta."
        )
    return float(result)


def defer(
    operator: BaseOperator,
    *,
    runway_task_id: str,
    model: str,
    runway_conn_id: str,
    poll_interval: float | None,
    started_at: float,
    end_time: float,
    kind: str | None = None,
) -> None:
    """
    Give the worker back and wait in the triggerer; the task goes on in ``execute_complete``.

    :param operator: The task.
    :param runway_task_id: The Runway task ID.
    :param model: ``runway`` or ``aleph``.
    :param runway_conn_id: The connection's ID.
    :param poll_interval: Seconds between two looks; ``None`` adapts.
    :param started_at: When the Runway task was submitted or the wait began, epoch seconds.
    :param end_time: The wait's deadline, epoch seconds.
    :param kind: The request's ``kind``, where ``started_at`` is when it was submitted.
    """
    from airflow_provider_runway.triggers.runway import RunwayTaskTrigger

    operator.defer(
        trigger=RunwayTaskTrigger(
            runway_task_id=runway_task_id,
            runway_conn_id=runway_conn_id,
            model=model,
            poll_interval=poll_interval,
            started_at=started_at,
            end_time=end_time,
            kind=kind,
        ),
        method_name="execute_complete",
        timeout=timedelta(seconds=max(0.0, end_time - time.time()) + DEFERRAL_MARGIN),
    )


def pause(operator: BaseOperator, delay: float, **kwargs: Any) -> None:
    """
    Give the worker back for a while; the task goes on in ``submit_again``.

    :param operator: The task.
    :param delay: Seconds.
    :param kwargs: What ``submit_again`` is to be given.
    """
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    except ImportError:
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[no-redef,import-not-found,unused-ignore]

    operator.defer(
        trigger=DateTimeTrigger(datetime.now(timezone.utc) + timedelta(seconds=delay)),
        method_name="submit_again",
        kwargs=kwargs,
    )


def last_look(
    operator: BaseOperator, runway_conn_id: str, runway_task_id: str, model: str
) -> RunwayTask | None:
    """
    Ask once more before a wait is given up because its trigger failed; return the task if it has its video.

    :param operator: The task, for its log.
    :param runway_conn_id: The connection's ID.
    :param runway_task_id: The Runway task ID.
    :param model: ``runway`` or ``aleph``.
    :raises RunwayError: the Runway task has ended without a video; the class says why.
    """
    from airflow_provider_runway.hooks.runway import RunwayHook

    try:
        task = RunwayHook(runway_conn_id).get_task(runway_task_id, model=model)
    except RunwayError as error:
        operator.log.warning("A last look before giving up: %s", error)
        return None
    if task.state.is_terminal:
        task.result_url()
        return task
    operator.log.warning("A last look before giving up: Runway task %s is %s", runway_task_id, task.state)
    return None


def result_of(task: RunwayTask, *, price: float | None = None) -> dict[str, Any]:
    """
    Return the XComs of a finished task: ``video_url``, ``image_url``, ``video_id`` and, where known, its
    cost.

    :param task: The Runway task.
    :param price: What such a task costs by the price table, for where kie.ai does not say.
    """
    if price is None and task.model == "aleph":
        price = ALEPH_PRICE
    cost = price if task.credits_consumed is None else task.credits_consumed
    result: dict[str, Any] = {key: getattr(task, key) for key in ("video_url", "image_url", "video_id")}
    return result if cost is None else {**result, "credits_consumed": cost}


def count_cost(task: RunwayTask, cost: float | None) -> None:
    """
    Count what a task cost in Airflow's metric ``runway.credits_consumed``.

    :param task: The Runway task.
    :param cost: Its cost in credits, if known.
    """
    if cost is not None:
        Stats.incr("runway.credits_consumed", count=round(cost), tags={"model": task.model})


def push_result(context: Context, task: RunwayTask, *, price: float | None = None) -> None:
    """
    Push the XComs of a finished task, and count its cost.

    :param context: The Airflow context.
    :param task: The Runway task.
    :param price: What such a task costs by the price table, for where kie.ai does not say.
    """
    ti: Any = context["ti"]
    result = result_of(task, price=price)
    for key, value in result.items():
        ti.xcom_push(key=key, value=value)
    count_cost(task, result.get("credits_consumed"))


def start_of_wait(context: Context, runway_task_id: str) -> float:
    """
    Return when the wait for a Runway task began, in epoch seconds, over retries too where they can be told
    apart.

    :param context: The Airflow context.
    :param runway_task_id: The Runway task ID; a wait for another one is another wait.
    """
    ti: Any = context["ti"]
    began = start_of_try(context)
    from airflow_provider_runway.state import state_store

    store = state_store(context)
    if store is None:
        return began
    # Only a clear changes max_tries: a cleared wait starts afresh.
    mark = {"runway_task_id": runway_task_id, "max_tries": ti.max_tries}
    try:
        known = store.get(_WAIT_KEY) or {}
        if {name: known.get(name) for name in mark} == mark and isinstance(known.get("began"), float):
            return float(known["began"])
        store.set(_WAIT_KEY, {**mark, "began": began})
    except Exception:
        log.exception("The start of this wait cannot be noted: a retry of it starts afresh")
    return began


def start_of_try(context: Context) -> float:
    """
    Return when this try of the Airflow task first started, in epoch seconds, over deferrals and reschedules.

    :param context: The Airflow context.
    """
    ti: Any = context["ti"]
    # From Airflow 3.0 on, each reschedule sets a new start date; before, the first one stayed.
    first_reschedule = getattr(ti, "get_first_reschedule_date", lambda context: None)
    start_date: datetime | None = first_reschedule(context) or ti.start_date
    return start_date.timestamp() if start_date is not None else time.time()

"""What operators, sensor and trigger share: how long a wait may take, and what is left behind at its end."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_runway.api.requests import ALEPH_PRICE
from airflow_provider_runway.exceptions import RunwayValidationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_runway.api.tasks import RunwayTask

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

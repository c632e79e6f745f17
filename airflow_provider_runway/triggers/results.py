"""What a wait leaves behind: XComs and a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import ALEPH_PRICE
from airflow_provider_runway.compat import Stats

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context

#: XCom key of the Runway task ID: pushed as soon as there is one, so that it survives a failure of the task.
TASK_ID_KEY = "runway_task_id"


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

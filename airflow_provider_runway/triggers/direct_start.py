"""Whether a sensor can start in the triggerer, without a worker: not where it asks for what only one does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import conf
from airflow_provider_runway.triggers.without_worker import can_end
from airflow_provider_runway.waiting.ending import DEFERRAL_MARGIN

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider_runway.compat import BaseSensorOperator

_DEFAULT_POOL = "default_pool"


class Computed:
    """
    An attribute that is computed each time an instance is asked for it, and can still be set.

    :param compute: Returns the value for an instance.
    :param default: What the class itself has.
    """

    def __init__(self, compute: Callable[[Any], Any], *, default: Any) -> None:
        self._compute = compute
        self._default = default

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the value for an instance, the default for the class."""
        return self._default if instance is None else self._compute(instance)


def trigger_args(
    sensor: BaseSensorOperator,
    *,
    runway_task_id: Any,
    model: str,
    runway_conn_id: str,
    poll_interval: float | None,
) -> StartTriggerArgs | None:
    """
    Return how to start a sensor in the triggerer, or ``None`` where it has to start in a worker.

    A worker it is for a sensor in a mapped task group, for a Runway task ID that only a template can tell,
    for one that cannot end in the triggerer, and for what only a worker does at the start: ``inlets``,
    ``execution_timeout``, ``pre_execute`` and the callback. A task that starts in the triggerer passes by its
    pool and its limits of active tasks too, so one with such goes to a worker. A mapped sensor never asks.

    :param sensor: The sensor.
    :param runway_task_id: The Runway task ID, a template, or an XCom of a task upstream.
    :param model: ``runway`` or ``aleph``.
    :param runway_conn_id: The connection's ID.
    :param poll_interval: Seconds between two polls, at least 1; ``None`` adapts.
    """
    needs_worker = (
        sensor.inlets
        or sensor.execution_timeout
        or sensor.on_execute_callback
        or sensor._pre_execute_hook
        or sensor.pool != _DEFAULT_POOL
        or sensor.max_active_tis_per_dag is not None
        or sensor.max_active_tis_per_dagrun is not None
        # Such a triggerer runs what has its queue alone, and a task that starts there has none.
        or conf.getboolean("triggerer", "queues_enabled", fallback=False)
        or not can_end(sensor)
        or sensor.get_closest_mapped_task_group() is not None
    )
    if needs_worker:
        return None
    upstream = _upstream(runway_task_id)
    told = [runway_conn_id, model, *([] if upstream else [runway_task_id])]
    if not all(isinstance(value, str) and "{" not in value for value in told):
        return None
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls="airflow_provider_runway.triggers.runway.RunwayTaskTrigger",
        next_method="execute_complete",
        trigger_kwargs={
            "runway_task_id": None if upstream else runway_task_id,
            "upstream": upstream,
            "runway_conn_id": runway_conn_id,
            "model": model,
            "poll_interval": poll_interval,
            "returns": "video_url",
            "timeout": sensor.timeout,
        },
        timeout=timedelta(seconds=sensor.timeout + DEFERRAL_MARGIN),
    )


def _upstream(value: Any) -> dict[str, str] | None:
    """Return task ID and key of an unmapped task upstream whose XCom is the value, if it is one."""
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    if not isinstance(value, PlainXComArg):
        return None
    operator = value.operator
    if operator.is_mapped or operator.get_closest_mapped_task_group() is not None:
        return None
    return {"task_id": operator.task_id, "key": value.key}

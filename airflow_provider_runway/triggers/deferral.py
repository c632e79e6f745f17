"""How operators and the sensor give their worker back, and what they do where the trigger failed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_runway.exceptions import RunwayError, RunwayServerError, RunwayTimeoutError
from airflow_provider_runway.triggers import without_worker
from airflow_provider_runway.waiting.ending import DEFERRAL_MARGIN, RESUME_GUARD

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import BaseOperator

#: What Airflow calls instead of ``execute_complete`` where the trigger failed, timed out or vanished.
TRIGGER_FAILED = "__fail__"


def defer(
    operator: BaseOperator,
    *,
    runway_task_id: str,
    model: str,
    runway_conn_id: str,
    poll_interval: float | None,
    started_at: float,
    end_time: float,
    returns: str | None,
    kind: str | None = None,
    recipient: str | None = None,
    was_seen: bool = False,
) -> NoReturn:
    """
    Give the worker back and wait in the triggerer; the task ends there or goes on in ``execute_complete``.

    :param operator: The task.
    :param runway_task_id: The Runway task ID.
    :param model: ``runway`` or ``aleph``.
    :param runway_conn_id: The connection's ID.
    :param poll_interval: Seconds between two polls, at least 1; ``None`` adapts.
    :param started_at: When the Runway task was submitted or the wait began, epoch seconds.
    :param end_time: The wait's deadline, epoch seconds.
    :param returns: Which field of the Runway task is the ``return_value``: ``task_id`` or ``video_url``;
        ``None`` where a worker has something left to do.
    :param kind: The request's ``kind``, where ``started_at`` is when it was submitted.
    :param recipient: The name of the address at which kie.ai is to call back, if it was given one.
    :param was_seen: Whether kie.ai has said that it has the task.
    """
    from airflow_provider_runway.triggers.runway import RunwayTaskTrigger

    wait = {
        "runway_task_id": runway_task_id,
        "poll_interval": poll_interval,
        "started_at": started_at,
        "end_time": end_time,
        "kind": kind,
        "was_seen": was_seen,
    }
    operator.defer(
        trigger=RunwayTaskTrigger(
            **wait,  # type: ignore[arg-type]
            runway_conn_id=runway_conn_id,
            model=model,
            returns=returns if returns and without_worker.can_end(operator) else None,
            deferred_at=time.time(),
            recipient=recipient,
        ),
        method_name="execute_complete",
        kwargs={"wait": {**wait, "returns": returns}},
        timeout=timedelta(seconds=max(0.0, end_time - time.time()) + DEFERRAL_MARGIN),
    )


def pause(operator: BaseOperator, delay: float, reason: RunwayError, **kwargs: Any) -> NoReturn:
    """
    Give the worker back for a while; the task goes on in ``submit_again``.

    :param operator: The task.
    :param delay: Seconds at least.
    :param reason: Why, for the log.
    :param kwargs: What ``submit_again`` is to be given.
    """
    from airflow_provider_runway.compat import DateTimeTrigger

    if delay < RESUME_GUARD:
        # Added, since what was refused together must not come back together.
        delay += RESUME_GUARD
    operator.log.info("%s Trying again in %.0f s.", reason.message, delay)
    operator.defer(
        trigger=DateTimeTrigger(datetime.now(timezone.utc) + timedelta(seconds=delay)),
        method_name="submit_again",
        kwargs=kwargs,
    )


def await_answer(
    operator: BaseOperator, *, recipient: str, until: float, foreign: str | None, **kwargs: Any
) -> NoReturn:
    """
    Give the worker back until kie.ai calls about a submission whose answer was lost, or is not expected to
    any more; the task goes on in ``answer_awaited``.

    :param operator: The task.
    :param recipient: The name of the address at which kie.ai is to call.
    :param until: The time in epoch seconds.
    :param foreign: A Runway task ID that has arrived and is not the one.
    :param kwargs: What ``answer_awaited`` is to be given.
    """
    from airflow_provider_runway.triggers.lost_answer import LostAnswerTrigger

    operator.defer(
        trigger=LostAnswerTrigger(recipient=recipient, until=until, deferred_at=time.time(), foreign=foreign),
        method_name="answer_awaited",
        kwargs=kwargs,
        timeout=timedelta(seconds=max(0.0, until - time.time()) + RESUME_GUARD + DEFERRAL_MARGIN),
    )


def called(event: Any) -> bool:
    """
    Return whether a task was woken because kie.ai has called, which says nothing but that it is to poll.

    :param event: What ``execute_complete`` was given.
    """
    return isinstance(event, dict) and event.get("status") == "callback"


def look(operator: BaseOperator, runway_conn_id: str, runway_task_id: str, model: str) -> RunwayTask | None:
    """
    Poll once, because kie.ai has called; return the task if it has its video.

    :param operator: The task, for its log.
    :param runway_conn_id: The connection's ID.
    :param runway_task_id: The Runway task ID.
    :param model: ``runway`` or ``aleph``.
    :raises RunwayTaskFailedError: the generation has failed.
    """
    from airflow_provider_runway.api.tasks import TaskState
    from airflow_provider_runway.hooks.runway import RunwayHook

    try:
        task = RunwayHook(runway_conn_id).get_task(runway_task_id, model=model)
    except RunwayError as error:
        # Whatever is wrong, the wait knows what to do with it.
        operator.log.warning("kie.ai called back, but the poll failed; still waiting: %s", error)
        return None
    if task.state is TaskState.FAILED:
        task.result_url()
    if task.state is TaskState.SUCCESS and task.video_url:
        return task
    operator.log.info(
        "kie.ai called back, but Runway task %s is %s; still waiting", runway_task_id, task.state
    )
    return None


def trigger_failed(error: Exception, runway_task_id: str, *, was_seen: bool = True) -> RunwayError:
    """
    Return the error for a wait whose trigger failed or vanished, after the last poll.

    :param error: What Airflow says of the trigger.
    :param runway_task_id: The Runway task ID.
    :param was_seen: Whether kie.ai has ever said that it has this task.
    """
    from airflow_provider_runway.waiting.ending import cannot_be_cancelled

    # Airflow 2 has only the text.
    kind = RunwayTimeoutError if "timeout" in str(error).lower() else RunwayServerError
    return kind(
        f"The wait ended without an answer: {error}. "
        f"{cannot_be_cancelled(runway_task_id, was_seen=was_seen)}",
        runway_task_id=runway_task_id,
    )


def last_look(
    operator: BaseOperator, runway_conn_id: str, runway_task_id: str, model: str
) -> RunwayTask | None:
    """
    Poll once more before a wait is given up because its trigger failed; return the task if it has its video.

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
        operator.log.warning("A last poll before giving up: %s", error)
        return None
    if task.state.is_terminal:
        task.result_url()
        return task
    operator.log.warning("A last poll before giving up: Runway task %s is %s", runway_task_id, task.state)
    return None

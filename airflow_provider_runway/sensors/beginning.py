"""When a sensor's wait began, over its tries, deferrals and reschedules."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context

log = logging.getLogger(__name__)

_WAIT_KEY = "runway_wait"
_POLLS_KEY = "runway_polls"


def start_of_wait(context: Context, runway_task_id: str) -> float:
    """
    Return when the wait for a Runway task began, in epoch seconds, over retries too where they can be told
    apart.

    :param context: The Airflow context.
    :param runway_task_id: The Runway task ID; a wait for another one is another wait.
    """
    ti: Any = context["ti"]
    began = start_of_try(context)
    from airflow_provider_runway.submissions.stores import state_store

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
    # From Airflow 3.0 on, each reschedule sets a new start date; before, the first one stayed.
    start_date: datetime | None = first_reschedule(context) or context["ti"].start_date
    return start_date.timestamp() if start_date is not None else time.time()


def earlier_polls(context: Context, runway_task_id: str) -> dict[str, Any] | None:
    """
    Return what a rescheduled sensor's earlier polls have met, as arguments of its poller: each poll is in a
    process of its own.

    :param context: The Airflow context.
    :param runway_task_id: The Runway task ID.
    :return: ``None`` where nothing can be kept from one to the next.
    """
    from airflow_provider_runway.submissions.stores import state_store

    began = start_of_try(context)
    try:
        store = state_store(context)
        if store is None:
            return None
        known = store.get(_POLLS_KEY) or {}
    except Exception:
        log.exception("What earlier polls met cannot be read: graces and pauses start afresh")
        return {}
    is_ours = (known.get("runway_task_id"), known.get("began")) == (runway_task_id, began)
    return dict(known.get("met") or {}) if is_ours else {}


def keep_polls(context: Context, runway_task_id: str, met: dict[str, Any]) -> None:
    """
    Keep what they have met, where that is possible.

    :param context: The Airflow context.
    :param runway_task_id: The Runway task ID.
    :param met: What the poller says.
    """
    from airflow_provider_runway.submissions.stores import state_store

    try:
        if store := state_store(context):
            value = {"runway_task_id": runway_task_id, "began": start_of_try(context), "met": met}
            store.set(_POLLS_KEY, value)
    except Exception:
        log.exception("What this poll met cannot be kept: graces and pauses start afresh at the next one")


def first_reschedule(context: Context) -> datetime | None:
    """
    Return when this try of the Airflow task was rescheduled first, where it was and Airflow says so.

    :param context: The Airflow context.
    """
    ti: Any = context["ti"]
    found: datetime | None = getattr(ti, "get_first_reschedule_date", lambda context: None)(context)
    return found

"""What has arrived at the address of a submission: which Runway task kie.ai says is at its end, and no more.

The API server leaves it as an XCom of the task instance, and from Airflow 3.3 on in its state store too,
which a new try does not lose.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context

log = logging.getLogger(__name__)

#: XCom key and key in the state store: the name of a recipient to the Runway task ID that arrived there.
KEY = "runway_callbacks"

#: Seconds that the triggerer's reading may take.
_READ_SECONDS = 30.0

#: How many are kept, the newest: a try has few submissions.
MOST = 8


def arrived(value: Any, recipient: str) -> str | None:
    """
    Return the Runway task ID that arrived for a recipient, if one did.

    :param value: What is kept under :data:`KEY`.
    :param recipient: The recipient's name.
    """
    found = _kept(value).get(recipient)
    return found if isinstance(found, str) else None


def added(value: Any, recipient: str, runway_task_id: str, *, most: int = MOST) -> dict[str, str]:
    """
    Return what is to be kept after a further arrival.

    :param value: What is kept so far.
    :param recipient: The recipient's name.
    :param runway_task_id: The Runway task ID that arrived.
    :param most: How many are kept, the newest.
    """
    others = [(name, found) for name, found in _kept(value).items() if name != recipient]
    return dict([*others[-(most - 1) :], (recipient, runway_task_id)])


def _kept(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        # As the API server of Airflow 3.1 writes it.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    return value if isinstance(value, dict) else {}


def arrival_for(context: Context, store: Any, recipient: str) -> str | None:
    """
    Return the Runway task ID that arrived for a submission. Never raises: without it, the task is polled.

    :param context: The Airflow context of the task that submitted.
    :param store: Where its record is kept, ``None`` for nowhere.
    :param recipient: The recipient's name.
    """
    ti: Any = context["ti"]
    places: list[Callable[[], Any]] = [
        lambda: ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=KEY)
    ]
    if store is not None:
        places.append(lambda: store.get(KEY))
    for read in places:
        try:
            found = arrived(read(), recipient)
        except Exception as error:
            log.warning("Whether kie.ai has called back cannot be read: %s", error)
        else:
            if found is not None:
                return found
    return None


def make_room(context: Context) -> None:
    """
    Push an XCom without arrivals, if there is none yet: before kie.ai knows an address, and because Airflow
    logs an error where a trigger looks for an XCom that is not there. Never raises.

    :param context: The Airflow context of the task that is about to submit.
    """
    ti: Any = context["ti"]
    try:
        if ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=KEY) is None:
            ti.xcom_push(key=KEY, value={})
    except Exception as error:
        log.warning("No XCom for callbacks can be pushed: %s", error)


def kept(*values: Any) -> dict[str, Any]:
    """
    Return all arrivals that are kept, in whichever places.

    :param values: What is kept under :data:`KEY`.
    """
    return {name: found for value in values for name, found in _kept(value).items()}


async def arrival_in_trigger(ti: Any, recipient: str) -> str | None:
    """
    Return the same in the triggerer, which reads XComs alone. Never raises.

    :param ti: The task instance.
    :param recipient: The recipient's name.
    """
    return arrived(await _read_in_trigger(ti), recipient)


async def has_arrived_in_trigger(ti: Any, runway_task_id: str) -> bool:
    """
    Return whether a Runway task is among those that a task instance has been called about. Never raises.

    :param ti: The task instance.
    :param runway_task_id: The Runway task ID.
    """
    return runway_task_id in _kept(await _read_in_trigger(ti)).values()


async def _read_in_trigger(ti: Any) -> Any:
    try:
        from airflow.sdk.execution_time.xcom import XCom

        return await asyncio.wait_for(
            XCom.aget_one(
                key=KEY, dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index
            ),
            _READ_SECONDS,
        )
    except Exception as error:
        log.warning("Whether kie.ai has called back cannot be read: %s", error)
        return None

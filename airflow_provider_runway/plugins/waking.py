"""Keeps an arrival for the task that submitted, and wakes who waits for it: all that is internal to Airflow.

Airflow has no public way to resume a deferred task, nor to leave a task something from the API server. What
is used here is there from 3.1 to 3.3; where something of it is missing, nobody is woken, and waits poll as
they would without callbacks.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import HAS_TASK_STATE_STORE, XComModel, handle_event_submit
from airflow_provider_runway.links import xcoms
from airflow_provider_runway.plugins import events
from airflow_provider_runway.triggers import arrivals
from airflow_provider_runway.triggers.board import MOST, key_of
from airflow_provider_runway.waiting.ending import RESUME_GUARD

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_runway.submissions.tokens import Recipient

log = logging.getLogger(__name__)

#: What a woken task is told: to poll.
EVENT = {"status": "callback"}

_TRIGGERS = (
    "airflow_provider_runway.triggers.runway.RunwayTaskTrigger",
    "airflow_provider_runway.triggers.lost_answer.LostAnswerTrigger",
)
_SUBMISSION = "runway_submission"
_GOING_ON = ("running", "deferred", "scheduled", "queued", "up_for_retry", "restarting", None)
#: How many waiting sensors of a run are looked through.
_MOST_SENSORS = 1000
_RETENTION = timedelta(days=15)


def connections() -> frozenset[str]:
    """Return the IDs of the Runway connections in Airflow's database. Blocks."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        return frozenset(session.scalars(select(Connection.conn_id).where(Connection.conn_type == "runway")))


def take(recipient: Recipient, runway_task_id: str, *, board: str | None = None) -> None:
    """
    Keep an arrival, emit its event, and wake the tasks that wait for this Runway task. Blocks; when it
    returns, it is stored.

    It is not kept where there is no such task any more, where it has ended (unless callbacks are events: then
    it tells that there has been one; or unless its answer was lost), or where the submission is known to have
    made another Runway task.

    :param recipient: Which submission it is about.
    :param runway_task_id: The Runway task ID that kie.ai names.
    :param board: The ID of the connection for whose triggers it is posted, instead of waking anybody.
    """
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        ti = _current(session, recipient)
        if ti is None:
            return
        is_known = _is_known(session, ti, recipient, runway_task_id)
        if is_known is None:
            return
        is_event = bool(events.callback_asset())
        is_late = not is_known and ti.state not in _GOING_ON
        if is_late:
            log.warning(
                "kie.ai says that Runway task %s has ended: it was paid for by %s, which had no answer and "
                "has given up. A RunwayDownloadOperator with this ID stores the video.",
                runway_task_id,
                ti,
            )
        is_kept = ti.state in _GOING_ON or is_event or is_late
        before = _keep(session, ti, recipient, runway_task_id) if is_kept else None
        # Whatever may have been named for a lost answer, it is no event twice.
        if is_event and before != runway_task_id and (is_known or before is None):
            events.emit(session, ti, runway_task_id)
        if board is not None and _is_read_by_trigger(session, ti):
            _post(session, board, recipient, runway_task_id)
            return
        _wake(session, ti, runway_task_id)
        for sensor in _sensors(session, ti, runway_task_id):
            _wake(session, sensor, runway_task_id, upstream=ti.task_id)


def _is_read_by_trigger(session: Session, ti: Any) -> bool:
    """Whether the task waits with a trigger that reads what is posted; a lost answer is awaited otherwise."""
    from airflow.models.trigger import Trigger

    trigger = session.get(Trigger, ti.trigger_id) if ti.trigger_id is not None else None
    return trigger is None or trigger.classpath == _TRIGGERS[0]


def _post(session: Session, conn_id: str, recipient: Recipient, runway_task_id: str) -> None:
    """Add an arrival to those that the triggerer reads."""
    from airflow.models.variable import Variable
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    key = key_of(conn_id)
    query = select(Variable).where(Variable.key == key).with_for_update()
    row = session.scalar(query)
    if row is None:
        row = Variable(key=key, val="{}", description="Callbacks of kie.ai that the triggerer is to read.")
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:
            # Somebody else was faster.
            row = session.scalars(query).one()
    posted = arrivals.added(row.get_val(), recipient.name, runway_task_id, most=MOST)
    row.set_val(json.dumps(posted))


def _current(session: Session, recipient: Recipient) -> Any:
    """Return the task instance of the try that submitted, or the one that has come after it; locked."""
    from airflow.models.taskinstance import TaskInstance as TI
    from airflow.models.taskinstancehistory import TaskInstanceHistory as Former
    from sqlalchemy import select

    # Up to 3.1 the column holds text.
    is_uuid = getattr(TI.id.type, "as_uuid", False)
    name: Any = recipient.task_instance if is_uuid else str(recipient.task_instance)
    lock: Any = {"of": TI}
    ti = session.get(TI, name, with_for_update=lock)
    if ti is not None:
        return ti
    former = session.scalar(select(Former).where(Former.task_instance_id == name))
    if former is None:
        return None
    names = ("dag_id", "run_id", "task_id", "map_index")
    query = select(TI).where(*(getattr(TI, name) == getattr(former, name) for name in names))
    return session.scalar(query.with_for_update(of=TI))


def _is_known(session: Session, ti: Any, recipient: Recipient, runway_task_id: str) -> bool | None:
    """
    Whether the submission is known to have made that Runway task, or may have; ``None`` where it has made
    another, or is not the task's latest.
    """
    record = _state(session, ti, _SUBMISSION)
    if record is not None:
        made = record.get("runway_task_id")
        if record.get("recipient") != recipient.name or made not in (None, runway_task_id):
            return None
        return made is not None
    # Without a store, what the task says of itself is all there is.
    own = xcoms.read(
        session,
        ("runway_task_id",),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_ids=[ti.task_id],
        map_indexes=[ti.map_index],
    )
    if own:
        return True if all(value == runway_task_id for *_, value, _ in own) else None
    return False if ti.state in _GOING_ON else None


def _keep(session: Session, ti: Any, recipient: Recipient, runway_task_id: str) -> str | None:
    """Keep an arrival, and return what had arrived there before."""
    of = {"dag_id": ti.dag_id, "run_id": ti.run_id}
    found = xcoms.read(session, (arrivals.KEY,), **of, task_ids=[ti.task_id], map_indexes=[ti.map_index])
    # A new try begins without the XCom, and not without the state.
    before = arrivals.kept(_state(session, ti, arrivals.KEY), found[0][3] if found else None)
    value = arrivals.added(before, recipient.name, runway_task_id)
    _set(session, ti, value)
    if HAS_TASK_STATE_STORE:
        from airflow.state import get_state_backend

        get_state_backend().set(
            _scope(ti),
            arrivals.KEY,
            json.dumps(value),
            expires_at=datetime.now(timezone.utc) + _RETENTION,
            session=session,
        )
    return arrivals.arrived(before, recipient.name)


def _set(session: Session, ti: Any, value: dict[str, str]) -> None:
    of: dict[str, Any] = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    try:
        XComModel.set(arrivals.KEY, value, serialize=False, session=session, **of)
    except TypeError:
        # 3.1 always serializes.
        XComModel.set(arrivals.KEY, value, session=session, **of)


def _state(session: Session, ti: Any, key: str) -> dict[str, Any] | None:
    if not HAS_TASK_STATE_STORE:
        return None
    from airflow.state import get_state_backend

    value = get_state_backend().get(_scope(ti), key, session=session)
    found = json.loads(value) if value else None
    return found if isinstance(found, dict) else None


def _scope(ti: Any) -> Any:
    from airflow.state import TaskScope

    return TaskScope(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index)


def _sensors(session: Session, ti: Any, runway_task_id: str) -> list[Any]:
    """Return the other tasks of the run that may wait for a Runway task, locked where nobody has them."""
    from airflow.models.taskinstance import TaskInstance as TI
    from airflow.models.trigger import Trigger
    from sqlalchemy import select

    is_deferred = TI.state == "deferred"
    query = (
        select(TI.id, TI.next_kwargs)
        .join(Trigger, TI.trigger_id == Trigger.id)
        .where(
            TI.dag_id == ti.dag_id,
            TI.run_id == ti.run_id,
            # Its own siblings wait for videos of their own, and there can be a thousand of them.
            TI.task_id != ti.task_id,
            is_deferred,
            Trigger.classpath.in_(_TRIGGERS),
        )
        .limit(_MOST_SENSORS)
    )
    # A worker left what it waits for; of one that started in the triggerer, the trigger alone knows.
    found = [name for name, kwargs in session.execute(query) if not kwargs or runway_task_id in str(kwargs)]
    if not found:
        return []
    lock = select(TI).where(TI.id.in_(found), is_deferred).with_for_update(of=TI, skip_locked=True)
    return list(session.scalars(lock))


def _wake(session: Session, ti: Any, runway_task_id: str, upstream: str | None = None) -> None:
    """Let a deferred task go on in a worker, unless it was deferred just now or waits for something else."""
    from airflow.models.trigger import Trigger

    if ti.state != "deferred" or ti.trigger_id is None:
        return
    trigger = session.get(Trigger, ti.trigger_id)
    if trigger is None or trigger.classpath not in _TRIGGERS:
        return
    kwargs = trigger.kwargs
    named = kwargs.get("runway_task_id")
    of_upstream = (kwargs.get("upstream") or {}).get("task_id")
    waits_for_it = named == runway_task_id or (named is None and of_upstream == upstream)
    # Earlier, Airflow might fail it for going on before its last worker has ended.
    is_settled = trigger.created_date + timedelta(seconds=RESUME_GUARD) <= datetime.now(timezone.utc)
    if not (waits_for_it and is_settled):
        return
    if handle_event_submit is None:
        log.warning("This Airflow cannot wake a deferred task, so the trigger polls by itself.")
        return
    from airflow.triggers.base import TriggerEvent

    if upstream is not None:
        # By it the trigger knows that nobody has ended the task.
        _set(session, ti, {upstream: runway_task_id})
    handle_event_submit(TriggerEvent(dict(EVENT)), task_instance=ti, session=session)
    session.flush()
    log.info("Woke %s, since kie.ai says that Runway task %s has ended", ti, runway_task_id)

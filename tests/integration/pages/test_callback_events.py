"""Callbacks as events of an asset: one for each Runway task, whoever has only submitted it included."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetEvent, AssetModel
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import select

from airflow_provider_runway.compat import HAS_TASK_STATE_STORE, asset_manager
from airflow_provider_runway.plugins import events, waking
from tests.harness.history import History
from tests.integration.pages.test_receiver import KEY, RUN, Task, body

SUBMITTED = {"runway_task_id": "made", "runway_request": {"model": "aleph", "kind": "aleph", "prompt": "A"}}


class Finished:
    """An asset that a DAG uses.

    :param is_used: whether one does
    """

    def __init__(self, *, is_used: bool = True) -> None:
        self.name = f"finished-{uuid4().hex}"
        # As Airflow stores it, with a slash that nobody writes.
        self.uri = f"runway-videos://{self.name}/"
        with create_session() as session:
            asset = AssetModel(name=self.name, uri=self.uri, group="asset", extra={})
            session.add(asset)
            session.flush()
            if is_used:
                session.add(AssetActive(name=self.name, uri=self.uri))
            self.id = asset.id

    @property
    def events(self) -> list[AssetEvent]:
        with create_session() as session:
            query = select(AssetEvent).where(AssetEvent.asset_id == self.id).order_by(AssetEvent.id)
            found = list(session.scalars(query))
            session.expunge_all()
            return found

    @property
    def named(self) -> list[str]:
        """The Runway tasks of its events."""
        return [event.extra["runway_task_id"] for event in self.events]


@pytest.fixture
def caller(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Somebody who is not logged in."""
    connection = {"conn_type": "runway", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_CALLED", json.dumps(connection))
    with TestClient(server, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def asset(history: History, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """The asset whose events callbacks are."""
    asset = Finished()
    monkeypatch.setenv("AIRFLOW__RUNWAY__CALLBACK_ASSET", asset.uri.rstrip("/"))
    return asset


@pytest.fixture
def dag(history: History, dag_id: str) -> str:
    history.add_run(dag_id, RUN, state="running")
    return dag_id


def submitted(history: History, dag: str, **what: Any) -> Task:
    """Return a task that has only submitted, and has ended."""
    return Task(history, dag, **{"state": "success", "waits_for": None, "xcoms": SUBMITTED, **what})


def noted(task: Task, runway_task_id: str | None) -> None:
    """Let a task have the record of its submission, as the journal writes it."""
    from airflow.state import get_state_backend

    with create_session() as session:
        ti = session.get(TaskInstance, task.id)
        record = {"recipient": task.recipient.name, "runway_task_id": runway_task_id}
        get_state_backend().set(waking._scope(ti), "runway_submission", json.dumps(record), session=session)


def call(caller: TestClient, task: Task, runway_task_id: str = "made") -> None:
    assert caller.post(task.path(), json=body(runway_task_id)).status_code == 200


def test_the_event_of_a_task_that_has_only_submitted_names_it_and_says_no_result(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    call(caller, submitted(history, dag))
    (event,) = asset.events
    assert event.extra == {
        "runway_task_id": "made",
        "dag_id": dag,
        "run_id": RUN,
        "task_id": "generate",
        "map_index": -1,
        "model": "aleph",
    }
    assert (event.source_dag_id, event.source_run_id, event.source_task_id) == (dag, RUN, "generate")


def test_an_asset_can_be_named_by_its_name_too(
    caller: TestClient, history: History, dag: str, asset: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNWAY__CALLBACK_ASSET", asset.name)
    call(caller, submitted(history, dag))
    assert asset.named == ["made"]


@pytest.mark.parametrize("state", ["success", "failed", "running", "up_for_retry"])
def test_the_same_call_again_is_no_further_event(
    caller: TestClient, history: History, dag: str, asset: Finished, state: str
) -> None:
    task = submitted(history, dag, state=state)
    for _ in range(3):
        call(caller, task)
    assert asset.named == ["made"]


def test_who_waits_is_woken_besides(caller: TestClient, history: History, dag: str, asset: Finished) -> None:
    task = Task(history, dag, xcoms=SUBMITTED)
    call(caller, task)
    assert (task.state, asset.named) == ("scheduled", ["made"])


def test_another_runway_task_is_no_event(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    task = submitted(history, dag)
    call(caller, task, "foreign")
    assert asset.events == []
    call(caller, task)
    assert asset.named == ["made"]


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="this Airflow keeps no record of a submission")
def test_a_lost_answer_is_one_event_whatever_else_is_named(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    task = submitted(history, dag, state="running", xcoms={})
    noted(task, None)
    call(caller, task)
    call(caller, task, "another")
    assert asset.named == ["made"]
    noted(task, "made")
    call(caller, task, "another")
    assert asset.named == ["made"]


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="this Airflow keeps no record of a submission")
def test_what_was_named_wrongly_for_a_lost_answer_does_not_hide_the_right_one(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    task = submitted(history, dag, state="running", xcoms={})
    noted(task, None)
    call(caller, task, "wrong")
    noted(task, "made")
    call(caller, task)
    call(caller, task)
    assert asset.named == ["wrong", "made"]


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="this Airflow keeps no record of a submission")
def test_after_a_retry_has_wiped_the_xcoms_it_is_known_still(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    from airflow_provider_runway.compat import XComModel

    task = submitted(history, dag)
    noted(task, "made")
    call(caller, task)
    with create_session() as session:
        session.execute(XComModel.__table__.delete().where(XComModel.dag_id == dag))
    call(caller, task)
    assert asset.named == ["made"]


def test_a_run_that_is_about_to_start_is_for_this_event_too(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    with create_session() as session:
        session.add(DagBundleModel(name=dag))
        session.flush()
        session.add(DagModel(dag_id=dag, bundle_name=dag))
        session.flush()
        then = datetime.now(timezone.utc) - timedelta(seconds=5)
        session.add(AssetDagRunQueue(asset_id=asset.id, target_dag_id=dag, created_at=then))
    call(caller, submitted(history, dag))
    with create_session() as session:
        query = select(AssetDagRunQueue.created_at).where(AssetDagRunQueue.asset_id == asset.id)
        queued_at = session.scalar(query)
    (event,) = asset.events
    assert queued_at is not None
    assert queued_at >= event.timestamp


def test_without_an_asset_a_task_that_has_ended_keeps_nothing(
    caller: TestClient, history: History, dag: str
) -> None:
    task = submitted(history, dag)
    call(caller, task)
    assert task.kept is None


@pytest.mark.parametrize("is_there", [False, True], ids=["unknown", "used by no DAG"])
def test_an_asset_that_nobody_has_defined_is_mentioned_once_and_no_error(
    caller: TestClient,
    history: History,
    dag: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_there: bool,
) -> None:
    named = Finished(is_used=False).name if is_there else f"nobody-{uuid4().hex}"
    monkeypatch.setenv("AIRFLOW__RUNWAY__CALLBACK_ASSET", named)
    monkeypatch.setattr(events, "log", logging.getLogger("tests.events"))
    waiting = Task(history, dag, xcoms=SUBMITTED)
    call(caller, waiting)
    call(caller, submitted(history, dag, task_id="generate_2"))
    assert waiting.state == "scheduled"
    (warned,) = [record for record in caplog.records if record.name == "tests.events"]
    assert named in warned.getMessage()


def test_an_event_that_cannot_be_stored_is_asked_for_again_with_all_that_was_stored_with_it(
    caller: TestClient, history: History, dag: str, asset: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(history, dag, xcoms=SUBMITTED)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(asset_manager, "register_asset_change", fail)
        assert caller.post(task.path(), json=body()).status_code == 503
    assert (task.kept, task.state) == (None, "deferred")
    call(caller, task)
    assert (task.kept, task.state, asset.named) == ("made", "scheduled", ["made"])


def test_the_event_of_a_mapped_task_says_which_it_is(
    caller: TestClient, history: History, dag: str, asset: Finished
) -> None:
    call(caller, submitted(history, dag, map_index=2))
    (event,) = asset.events
    assert (event.extra["map_index"], event.source_map_index) == (2, 2)

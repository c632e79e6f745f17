"""What comes in at an address of a submission: believed in nothing, kept, and a reason to wake who waits."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import delete, event, select, update

from airflow_provider_runway.api.callbacks import LARGEST_BODY, signature
from airflow_provider_runway.compat import HAS_TASK_STATE_STORE
from airflow_provider_runway.exceptions import RunwayConnectionNotFoundError, RunwayServerError
from airflow_provider_runway.hooks.connection import read_settings
from airflow_provider_runway.links import xcoms
from airflow_provider_runway.plugins import receiver, waking
from airflow_provider_runway.submissions.tokens import PREFIX, Recipient
from airflow_provider_runway.triggers import arrivals
from tests.harness.history import History

KEY, WEBHOOK_KEY = "sk-receiver", "whsec-receiver"
DIGEST = "ab" * 32
TRIGGER = "airflow_provider_runway.triggers.runway.RunwayTaskTrigger"
RUN = "present"


@pytest.fixture
def caller(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Somebody who is not logged in."""
    connection = {"conn_type": "runway", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_CALLED", json.dumps(connection))
    signing = {**connection, "extra": {"webhook_hmac_key": WEBHOOK_KEY}}
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_SIGNED", json.dumps(signing))
    with TestClient(server, raise_server_exceptions=False) as client:
        yield client


class Task:
    """A task instance, deferred or not.

    :param waits_for: the Runway task that its trigger waits for, ``None`` for no trigger
    :param age: seconds since it was deferred
    """

    def __init__(
        self,
        history: History,
        dag_id: str,
        task_id: str = "generate",
        *,
        waits_for: str | None = "made",
        age: float = 20,
        state: str = "deferred",
        map_index: int = -1,
        next_kwargs: dict[str, Any] | None = None,
        **what: Any,
    ) -> None:
        history.add(dag_id, RUN, task_id, map_index, state=state, **what)
        self.dag_id, self.task_id = dag_id, task_id
        self._is_it = (
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == RUN,
            TaskInstance.task_id == task_id,
            TaskInstance.map_index == map_index,
        )
        with create_session() as session:
            self.id = UUID(str(session.scalar(select(TaskInstance.id).where(*self._is_it))))
            if waits_for is not None:
                trigger = Trigger(classpath=TRIGGER, kwargs={"runway_task_id": waits_for})
                trigger.created_date = datetime.now(timezone.utc) - timedelta(seconds=age)
                session.add(trigger)
                session.flush()
                session.execute(
                    update(TaskInstance)
                    .where(*self._is_it)
                    .values(
                        trigger_id=trigger.id, next_method="execute_complete", next_kwargs=next_kwargs or {}
                    )
                )
        self.recipient = Recipient.of(self.id, DIGEST)

    def path(self, conn_id: str = "runway_called", key: str = KEY) -> str:
        return self.recipient.url("", conn_id, key)

    @property
    def state(self) -> str:
        with create_session() as session:
            return str(session.scalar(select(TaskInstance.state).where(*self._is_it)))

    @property
    def told(self) -> Any:
        """The event with which it goes on."""
        with create_session() as session:
            kwargs = session.scalar(select(TaskInstance.next_kwargs).where(*self._is_it))
            return dict(kwargs or {}).get("event")

    @property
    def kept(self) -> Any:
        with create_session() as session:
            found = xcoms.read(
                session, (arrivals.KEY,), dag_id=self.dag_id, run_id=RUN, task_ids=[self.task_id]
            )
        return arrivals.arrived(found[0][3], self.recipient.name) if found else None


@pytest.fixture
def dag(history: History, dag_id: str) -> str:
    history.add_run(dag_id, RUN, state="running")
    return dag_id


def body(runway_task_id: str = "made") -> dict[str, Any]:
    return {"code": 200, "msg": "All generated successfully.", "data": {"task_id": runway_task_id}}


def test_a_call_is_kept_and_wakes_who_waits(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag)
    answer = caller.post(task.path(), json=body())
    assert (answer.status_code, answer.json()) == (200, {"code": 200, "msg": "success"})
    assert (task.kept, task.state) == ("made", "scheduled")
    assert task.told == {"status": "callback"}
    # The same again does nothing more.
    assert caller.post(task.path(), json=body()).status_code == 200
    assert task.state == "scheduled"


def test_within_the_guard_it_is_kept_and_wakes_nobody(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag, age=3)
    assert caller.post(task.path(), json=body()).status_code == 200
    assert (task.kept, task.state) == ("made", "deferred")


def test_before_the_task_is_deferred_it_is_kept(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag, state="running", waits_for=None)
    assert caller.post(task.path(), json=body()).status_code == 200
    assert (task.kept, task.state) == ("made", "running")


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="this Airflow keeps no state over retries")
def test_it_outlives_the_try(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag, state="running", waits_for=None)
    assert caller.post(task.path(), json=body()).status_code == 200
    with create_session() as session:
        ti = session.get(TaskInstance, task.id)
        kept = waking._state(session, ti, arrivals.KEY)
    assert arrivals.arrived(kept, task.recipient.name) == "made"


@pytest.mark.parametrize("state", ["success", "failed"])
def test_after_the_task_has_ended_nothing_happens(
    caller: TestClient, history: History, dag: str, state: str
) -> None:
    task = Task(history, dag, state=state, waits_for=None)
    assert caller.post(task.path(), json=body()).status_code == 200
    assert (task.kept, task.state) == (None, state)


@pytest.mark.skipif(not HAS_TASK_STATE_STORE, reason="this Airflow keeps no state over retries")
def test_a_call_for_a_submission_that_was_given_up_as_unknown_is_kept_and_told(
    caller: TestClient, history: History, dag: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task(history, dag, state="failed", waits_for=None)
    record = {"recipient": task.recipient.name, "runway_task_id": None}
    with create_session() as session:
        from airflow.state import get_state_backend

        scope = waking._scope(session.get(TaskInstance, task.id))
        get_state_backend().set(scope, "runway_submission", json.dumps(record), session=session)
    assert caller.post(task.path(), json=body()).status_code == 200
    assert (task.kept, task.state) == ("made", "failed")
    assert "Runway task made has ended: it was paid for by" in caplog.text


def test_another_runway_task_is_foreign(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag, xcoms={"runway_task_id": "made"})
    assert caller.post(task.path(), json=body("foreign")).status_code == 200
    assert (task.kept, task.state) == (None, "deferred")


def test_an_unknown_task_is_answered_alike(caller: TestClient, history: History, dag: str) -> None:
    known = Task(history, dag, state="success", waits_for=None)
    unknown = Recipient.of(uuid4(), DIGEST).url("", "runway_called", KEY)
    answers = [caller.post(path, json=body()) for path in (known.path(), unknown)]
    assert answers[0].content == answers[1].content
    assert {answer.status_code for answer in answers} == {200}


def test_sensors_of_the_run_are_woken_too_and_no_others(
    caller: TestClient, history: History, dag: str
) -> None:
    submitted = Task(history, dag, state="success", waits_for=None, xcoms={"runway_task_id": "made"})
    running = Task(history, dag, "generate_2", state="running", waits_for=None)
    sensor = Task(history, dag, "wait")
    of_another = Task(history, dag, "wait_2", waits_for="another")
    settling = Task(history, dag, "wait_3", age=2)
    running.recipient = Recipient.of(running.id, DIGEST)
    assert caller.post(running.path(), json=body()).status_code == 200
    states = [task.state for task in (submitted, sensor, of_another, settling)]
    assert states == ["success", "scheduled", "deferred", "deferred"]


def test_of_many_that_wait_those_of_other_videos_are_not_even_locked(
    caller: TestClient, history: History, dag: str
) -> None:
    def waiting(task_id: str, index: int) -> Task:
        left = {"wait": {"runway_task_id": f"made-{index}"}}
        return Task(history, dag, task_id, map_index=index, waits_for=f"made-{index}", next_kwargs=left)

    siblings, sensors = ([waiting(task_id, index) for index in range(20)] for task_id in ("generate", "wait"))
    read: list[str] = []
    with create_session() as session:
        engine = session.get_bind()

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        read.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        waking.take(siblings[7].recipient, "made-7")
    finally:
        event.remove(engine, "before_cursor_execute", note)
    woken = [task for task in (*siblings, *sensors) if task.state == "scheduled"]
    assert woken == [siblings[7], sensors[7]]
    assert sum("FROM trigger " in statement for statement in read) <= 2, read
    assert len(read) < 30


def test_a_task_that_has_only_submitted_lets_its_sensors_be_woken(
    caller: TestClient, history: History, dag: str
) -> None:
    submitted = Task(history, dag, state="success", waits_for=None, xcoms={"runway_task_id": "made"})
    sensor = Task(history, dag, "wait")
    assert caller.post(submitted.path(), json=body()).status_code == 200
    assert sensor.state == "scheduled"


def test_a_deferred_task_of_somebody_else_is_left_alone(
    caller: TestClient, history: History, dag: str
) -> None:
    task = Task(history, dag)
    with create_session() as session:
        session.execute(update(Trigger).values(classpath="other.Trigger").where(Trigger.classpath == TRIGGER))
    assert caller.post(task.path(), json=body()).status_code == 200
    assert task.state == "deferred"


def test_where_triggers_read_what_arrives_nobody_is_woken(
    caller: TestClient, history: History, dag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn_id = f"runway_posted_{uuid4().hex[:6]}"
    connection = {"conn_type": "runway", "password": KEY, "extra": {"callback_wake": "trigger"}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    tasks = [Task(history, dag), Task(history, dag, "generate_2")]
    for task in tasks:
        assert caller.post(task.path(conn_id), json=body()).status_code == 200
        assert (task.kept, task.state) == ("made", "deferred")
    with create_session() as session:
        row = session.scalar(select(Variable).where(Variable.key == f"runway_callbacks_{conn_id}"))
        assert row is not None
        posted = json.loads(row.get_val())
    assert posted == {task.recipient.name: "made" for task in tasks}


@pytest.mark.parametrize("path", ["/", "/runway_called", "/runway_called/", "/runway_called/x/y"])
def test_there_is_nothing_else(caller: TestClient, path: str) -> None:
    assert caller.post(PREFIX + path, json=body()).status_code == 404


def test_what_is_no_genuine_call_is_refused(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag)
    path = task.path()
    forged = path[:-1] + ("A" if path[-1] != "A" else "E")
    assert caller.post(forged, json=body()).status_code == 404
    assert caller.post(task.path(key="another"), json=body()).status_code == 404
    assert caller.post(task.path("nobody_s"), json=body()).status_code == 404
    assert caller.get(path).status_code == 405
    assert caller.post(path, content=b"garbage").status_code == 400
    assert caller.post(path, content=b"x" * (LARGEST_BODY + 1)).status_code == 413
    for length in ("9" * 5000, "-1", "a lot"):
        assert caller.post(path, content=b"", headers={"Content-Length": length}).status_code == 413
    chunks = (b"x" * 1024 for _ in range(100))
    assert caller.post(path, content=chunks).status_code == 413
    assert (task.kept, task.state) == (None, "deferred")


def test_with_a_webhook_key_only_what_is_signed_now_counts(
    caller: TestClient, history: History, dag: str
) -> None:
    task = Task(history, dag)
    path = task.path("runway_signed")
    now = int(time.time())
    for headers in (
        {},
        signature("made", now, "another"),
        signature("another", now, WEBHOOK_KEY),
        signature("made", now - 400, WEBHOOK_KEY),
    ):
        assert caller.post(path, json=body(), headers=headers).status_code == 401
    assert (task.kept, task.state) == (None, "deferred")
    assert caller.post(path, json=body(), headers=signature("made", now, WEBHOOK_KEY)).status_code == 200
    assert (task.kept, task.state) == ("made", "scheduled")


def test_what_cannot_be_stored_is_asked_for_again(
    caller: TestClient, history: History, dag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(history, dag)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(waking, "take", fail)
        assert caller.post(task.path(), json=body()).status_code == 503
    assert caller.post(task.path(), json=body()).status_code == 200
    assert task.state == "scheduled"


def token_of(conn_id: str = "runway_called") -> str:
    return Recipient.of(uuid4(), DIGEST).url("", conn_id, KEY).rpartition("/")[2]


async def status_of(
    app: receiver.Receiver,
    path: str,
    *headers: tuple[bytes, bytes],
    receive: Callable[[], Awaitable[Any]] | None = None,
) -> int:
    """Call as a server does, without Airflow around the receiver."""
    sent: list[Any] = []

    async def whole_body() -> Any:
        return {"type": "http.request", "body": json.dumps(body()).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
    await app(scope, receive or whole_body, send)
    return int(sent[0]["status"])


def test_a_body_that_does_not_come_is_not_waited_for(
    caller: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "BODY_SECONDS", 0.05)

    async def receive() -> Any:
        await asyncio.Event().wait()

    path = f"/runway_called/{token_of()}"
    assert asyncio.run(status_of(receiver.Receiver(), path, receive=receive)) == 408


def test_a_connection_may_have_slashes_in_its_id(
    caller: TestClient, history: History, dag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "runway", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_TEAM/RUNWAY", json.dumps(connection))
    task = Task(history, dag)
    assert caller.post(task.path("team/runway"), json=body()).status_code == 200
    assert task.state == "scheduled"


def test_another_spelling_of_an_address_is_none(caller: TestClient, history: History, dag: str) -> None:
    task = Task(history, dag)
    path = task.path()
    for spelling in (f"{path}/", f"{path}%00", f"{path}="):
        assert caller.post(spelling, json=body()).status_code == 404
    # A server has decoded a path once.
    twice = path.removeprefix(PREFIX).replace("runway_called", "runway%5Fcalled")
    assert asyncio.run(status_of(receiver.Receiver(), twice)) == 404
    assert (task.kept, task.state) == (None, "deferred")


@pytest.mark.parametrize("length", [b"9" * 5000, b"-1", b"1e3", b"\xb2"])
def test_a_length_that_is_none_is_no_error_of_ours(caller: TestClient, length: bytes) -> None:
    path = f"/runway_called/{token_of()}"
    assert asyncio.run(status_of(receiver.Receiver(), path, (b"content-length", length))) == 413


def test_a_name_that_no_connection_has_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "read_settings", lambda name: pytest.fail(f"looked up {name!r}"))
    app = receiver.Receiver()
    for name in ("a" * 251, "a\0b", "a\nb"):
        assert asyncio.run(status_of(app, f"/{name}/{token_of()}")) == 404


def test_a_connection_that_cannot_be_read_for_a_moment_is_not_taken_for_none(
    caller: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "take", lambda *_, **__: True)
    path, app = f"/runway_called/{token_of()}", receiver.Receiver()
    trouble: list[Exception] = [RunwayServerError("The database is away.")]

    def load(conn_id: str) -> Any:
        if trouble:
            raise trouble[0]
        return read_settings(conn_id)

    monkeypatch.setattr(receiver, "read_settings", load)
    monkeypatch.setattr(receiver, "_READ_AGAIN", 0.0)

    async def story() -> list[int]:
        statuses = [await status_of(app, path)]
        found, trouble[:] = trouble[:], []
        statuses.append(await status_of(app, path))
        # Once known, it is good for a while, also where Airflow says that there is none.
        for error in (*found, RunwayConnectionNotFoundError("There is none.")):
            trouble[:] = [error]
            statuses.append(await status_of(app, path))
        monkeypatch.setattr(receiver, "_GOOD_FOR", 0.0)
        statuses.append(await status_of(app, path))
        return statuses

    assert asyncio.run(story()) == [503, 200, 200, 200, 404]


class Connections:
    """The connections as the receiver reads them, each name noted; made-up ones can take their time."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, conn_id: str) -> Any:
        self.read.append(conn_id)
        if conn_id.startswith("made_up"):
            assert self.goes_on.wait(60)
        return read_settings(conn_id)


@pytest.fixture
def connections(caller: TestClient, monkeypatch: pytest.MonkeyPatch) -> Connections:
    found = Connections()
    monkeypatch.setattr(receiver, "read_settings", found)
    monkeypatch.setattr(waking, "take", lambda *_, **__: None)
    return found


def made_up(app: receiver.Receiver, numbers: range) -> list[asyncio.Task[int]]:
    """Call addresses of connections that nobody has."""
    paths = (f"/made_up_{number}/{token_of()}" for number in numbers)
    return [asyncio.create_task(status_of(app, path)) for path in paths]


def test_made_up_names_do_not_keep_a_real_one_waiting(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_READ_AGAIN", 0.0)
    path, app = f"/runway_called/{token_of()}", receiver.Receiver()
    forged = f"/runway_called/{'A' * 54}"

    async def story() -> tuple[int, int, set[int]]:
        assert await status_of(app, path) == 200
        assert await status_of(app, forged) == 404
        connections.goes_on.clear()
        junk = made_up(app, range(200))
        await asyncio.sleep(0)
        statuses = await status_of(app, path), await status_of(app, forged)
        connections.goes_on.set()
        return *statuses, set(await asyncio.gather(*junk))

    # Meanwhile nobody can tell what was not looked for from what is there.
    assert asyncio.run(story()) == (200, 503, {404, 503})


@pytest.mark.parametrize("conn_id", ["runway_called", "runway_default", "runway_stored", "runway_hidden"])
def test_made_up_names_use_up_nothing_that_a_genuine_call_needs(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, conn_id: str
) -> None:
    """Its connection is in the environment, is the default or is in the database; or nobody can tell."""
    clock = [1000.0]
    monkeypatch.setattr(receiver, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(waking, "connections", lambda: frozenset({"runway_stored"}))
    settings = read_settings("runway_called")
    monkeypatch.setattr(
        receiver,
        "read_settings",
        lambda name: replace(settings, conn_id=name) if name.startswith("runway_") else connections(name),
    )
    path, app = f"/{conn_id}/{token_of(conn_id)}", receiver.Receiver()

    async def story() -> list[int]:
        for number in range(0, 64, 4):
            await asyncio.gather(*made_up(app, range(number, number + 4)))
        statuses = []
        for number in range(64, 68):
            clock[0] += 1
            await asyncio.gather(*made_up(app, range(number, number + 1)))
            statuses.append(await status_of(app, path))
        return statuses

    assert asyncio.run(story()) == [503 if conn_id == "runway_hidden" else 200] * 4


def test_a_genuine_call_has_its_turn_though_made_up_names_hang(connections: Connections) -> None:
    path, app = f"/runway_called/{token_of()}", receiver.Receiver()

    async def story() -> int:
        connections.goes_on.clear()
        junk = made_up(app, range(4))
        await asyncio.sleep(0)
        status = await status_of(app, path)
        connections.goes_on.set()
        await asyncio.gather(*junk)
        return status

    assert asyncio.run(story()) == 200


def test_the_connections_in_the_database_are_listed(server: Any) -> None:
    from airflow.models.connection import Connection

    with create_session() as session:
        session.add(Connection(conn_id="runway_listed", conn_type="runway"))
    try:
        assert "runway_listed" in waking.connections()
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id == "runway_listed"))


def test_whoever_makes_up_names_makes_nobody_look_for_them_all(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(receiver, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    path, app = f"/runway_called/{token_of()}", receiver.Receiver()

    async def story() -> tuple[set[int], int, int, int]:
        assert await status_of(app, path) == 200
        statuses = {
            await status for begin in range(0, 1000, 4) for status in made_up(app, range(begin, begin + 4))
        }
        looked_for = len(connections.read)
        # Who is known is answered, read again in its time, and costs the others nothing.
        clock[0] += receiver._READ_AGAIN
        known = await status_of(app, path)
        # And by and by somebody else can become known.
        clock[0] += 60
        return (
            statuses,
            looked_for,
            known,
            await status_of(app, f"/runway_signed/{token_of('runway_signed')}"),
        )

    statuses, looked_for, known, signed = asyncio.run(story())
    assert statuses == {404, 503}
    assert looked_for < 100
    assert (known, signed) == (200, 401)


def test_files_that_only_workers_have_do_not_matter_here(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"verify": "/etc/worker/ca.pem", "cert": "/etc/worker/cert.pem", "proxies": {"https": "http://"}}
    connection = {"conn_type": "runway", "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_CALLED", json.dumps(connection))
    assert asyncio.run(status_of(receiver.Receiver(), f"/runway_called/{token_of()}")) == 200


def test_a_connection_that_cannot_be_used_is_a_warning_once(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"conn_type": "runway", "password": KEY}
    broken = {**good, "extra": {"api": "seventh"}}
    monkeypatch.setattr(receiver, "_READ_AGAIN", 0.0)
    path, app = f"/runway_called/{token_of()}", receiver.Receiver()

    async def story() -> list[int]:
        statuses = []
        for connection in (broken, broken, good, broken):
            monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_CALLED", json.dumps(connection))
            statuses.append(await status_of(app, path))
        statuses.append(await status_of(app, f"/nobody/{token_of()}"))
        return statuses

    assert asyncio.run(story()) == [404, 404, 200, 404, 404]
    said = [
        record for record in caplog.records if record.levelname == "WARNING" and "seventh" in record.message
    ]
    assert len(said) == 2, "once until it could be used again"
    assert all("'runway_called'" in record.message for record in said)
    assert "nobody" not in caplog.text


def test_what_no_address_takes_is_refused_at_each_alike(caller: TestClient) -> None:
    for path in (f"/runway_called/{token_of()}", f"/nobody/{token_of()}"):
        assert caller.get(PREFIX + path).status_code == 405
        large = caller.post(PREFIX + path, content=b"", headers={"Content-Length": str(LARGEST_BODY + 1)})
        assert large.status_code == 413

"""kie.ai is given an address for each submission; what it names there gives a lost answer back."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.compat import CAN_BE_CALLED, TaskDeferred
from airflow_provider_runway.exceptions import (
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayTaskRejectedError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator.server import Simulator
from airflow_provider_runway.submissions.tokens import Recipient
from airflow_provider_runway.triggers import arrivals, results
from tests.integration.durable.calling import BASE_URL, DEFERRED, asked_for, call, let_it_call, lost, woken
from tests.integration.durable.life import CREATION, Killed, Life
from tests.stores import TaskStateStore

pytestmark = pytest.mark.skipif(not CAN_BE_CALLED, reason="this Airflow cannot be called")
ADDRESS = re.compile(rf"{BASE_URL}/runway-callbacks/runway_default/[A-Za-z0-9_-]{{54}}")


@pytest.fixture(autouse=True)
def _callable(runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    let_it_call(monkeypatch)


@pytest.mark.parametrize("chosen", [None, "auto"])
def test_each_submission_has_an_address_of_its_own(
    chosen: str | None, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    addresses = set()
    for prompt in ("One", "Another"):
        life(prompt=prompt, callback_url=chosen).run()
        addresses.add(asked_for(runway_simulator))
    assert len(addresses) == 2
    assert all(ADDRESS.fullmatch(address) for address in addresses)


@pytest.mark.parametrize("chosen", ["", "https://gateway.example/kie"])
def test_another_wish_is_respected(
    chosen: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    life(callback_url=chosen).run()
    assert asked_for(runway_simulator) == (chosen or None)


def test_an_airflow_without_an_address_says_so(
    life: Callable[..., Life],
    runway_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
    del connection["extra"]["callback_base_url"]
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "/")
    with pytest.raises(RunwayValidationError, match=r"callback_url='auto': \[api\] base_url"):
        life(callback_url="auto").run()
    assert runway_simulator.creations == []


@pytest.mark.parametrize("api", ["dedicated", "market"])
@pytest.mark.parametrize("prompt", ["A lighthouse", ' "Ünïcode" & <b>\n\n  two lines '])
def test_a_lost_answer_comes_back(
    api: str,
    prompt: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
    connection["extra"]["api"] = api
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))
    runway_simulator.add_fault("drop_after", "/api/v1/", method="POST")
    task = life(prompt=prompt, **DEFERRED)
    recipient = lost(task)
    made = runway_simulator.creations[0]["task_id"]
    call(task, recipient, made)
    runway_simulator.advance(600)
    assert woken(task) == made
    assert task.ti.xcoms["runway_task_id"] == made
    assert len(runway_simulator.creations) == 1


def test_it_comes_back_in_a_worker_too(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life()

    def arrival(seconds: float) -> None:
        (noted,) = seen
        call(task, noted, runway_simulator.creations[0]["task_id"])

    seen: list[str] = []
    read = arrivals.arrival_for

    def note(context: Any, store: Any, recipient: str) -> str | None:
        seen[:] = [recipient]
        return read(context, store, recipient)

    monkeypatch.setattr(arrivals, "arrival_for", note)
    monkeypatch.setattr("airflow_provider_runway.operators.calling.time.sleep", arrival)
    assert task.run() == runway_simulator.creations[0]["task_id"]


@pytest.fixture
def time_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that lets the time pass in which calls are expected."""
    clock = SimpleNamespace(time=lambda: time.time() + 10_000, sleep=time.sleep)
    return lambda: monkeypatch.setattr("airflow_provider_runway.operators.calling.time", clock)


def trigger_of(task: Life) -> dict[str, Any]:
    assert task.deferral is not None
    assert task.deferral.method_name == "answer_awaited"
    return dict(task.deferral.trigger.serialize()[1])


def test_an_id_of_another_prompt_is_not_believed_and_the_right_one_is_waited_for(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    other = str(life(prompt="Another prompt", callback_url="").run())
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(**DEFERRED)
    recipient = lost(task)
    call(task, recipient, other)
    assert woken(task) is None
    # It does not go on by the same again.
    assert trigger_of(task)["foreign"] == other
    made = runway_simulator.creations[1]["task_id"]
    call(task, recipient, made)
    runway_simulator.advance(600)
    assert woken(task) == made
    assert len(runway_simulator.creations) == 2


def test_an_id_of_another_prompt_is_not_believed_in_the_end(
    life: Callable[..., Life], runway_simulator: Simulator, time_passes: Callable[[], None]
) -> None:
    other = str(life(prompt="Another prompt", callback_url="").run())
    runway_simulator.add_fault("drop_before", CREATION)
    task = life(**DEFERRED)
    call(task, lost(task), other)
    time_passes()
    with pytest.raises(RunwaySubmissionUnknownError):
        woken(task)
    assert len(runway_simulator.creations) == 1


def test_an_id_that_nobody_knows_yet_is_asked_for_again(
    life: Callable[..., Life], runway_simulator: Simulator, time_passes: Callable[[], None]
) -> None:
    runway_simulator.add_fault("drop_before", CREATION)
    task = life(**DEFERRED)
    call(task, lost(task), "0" * 32)
    assert woken(task) is None
    assert trigger_of(task)["foreign"] is None
    time_passes()
    with pytest.raises(RunwaySubmissionUnknownError):
        woken(task)


def test_an_id_that_nobody_knows_for_long_is_not_believed(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.add_fault("drop_before", CREATION)
    monkeypatch.setattr("airflow_provider_runway.operators.calling.GRACE", 0.0)
    task = life(**DEFERRED)
    call(task, lost(task), "0" * 32)
    assert woken(task) is None
    assert trigger_of(task)["foreign"] == "0" * 32


def test_a_look_up_that_fails_for_a_moment_does_not_lose_the_task(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(**DEFERRED)
    recipient = lost(task)
    made = runway_simulator.creations[0]["task_id"]
    call(task, recipient, made)
    with monkeypatch.context() as patch:
        patch.setattr(RunwayHook, "get_task", cannot_be_looked_up)
        assert woken(task) is None
    runway_simulator.advance(600)
    assert woken(task) == made
    assert len(runway_simulator.creations) == 1


def cannot_be_looked_up(*_: Any, **__: Any) -> Any:
    raise RunwayServerError("no answer")


def test_where_nothing_is_kept_no_look_up_that_fails_lets_a_retry_pay_again(
    runway_simulator: Simulator, time_passes: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = Life(None, **DEFERRED)
    recipient = lost(task)
    made = runway_simulator.creations[0]["task_id"]
    call(task, recipient, made)
    monkeypatch.setattr(RunwayHook, "get_task", cannot_be_looked_up)
    time_passes()
    # Airflow does not retry that.
    with pytest.raises(RunwaySubmissionUnknownError, match=made):
        woken(task)


@pytest.mark.parametrize("keeps", [True, False])
def test_where_the_trigger_fails_the_worker_waits_on(
    keeps: bool, runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = Life(TaskStateStore() if keeps else None, **DEFERRED)
    recipient = lost(task)
    made = runway_simulator.creations[0]["task_id"]

    def arrival(seconds: float) -> None:
        call(task, recipient, made)
        runway_simulator.advance(600)

    monkeypatch.setattr("airflow_provider_runway.operators.calling.time.sleep", arrival)
    assert task.trigger_fails() == made
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("keeps", [True, False])
def test_where_the_trigger_fails_and_nobody_calls_it_is_unknown_for_good(
    keeps: bool, runway_simulator: Simulator, time_passes: Callable[[], None]
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = Life(TaskStateStore() if keeps else None, **DEFERRED)
    lost(task)
    time_passes()
    with pytest.raises(RunwaySubmissionUnknownError, match="has not called back"):
        task.trigger_fails()


def test_an_answer_that_an_earlier_try_got_after_all_is_taken(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**DEFERRED)
    submit = RunwayHook.submit

    def given_up_for_dead(hook: RunwayHook, *arguments: Any, **keywords: Any) -> str:
        # Airflow starts the next try while this one still waits for its answer.
        patches.undo()
        lost(task)
        return submit(hook, *arguments, **keywords)

    patches = pytest.MonkeyPatch()
    patches.setattr(RunwayHook, "submit", given_up_for_dead)
    earlier = task.operator()
    task.ti.try_number += 1
    with pytest.raises(TaskDeferred):
        earlier.execute(task.context)
    (creation,) = runway_simulator.creations
    assert woken(task, {"status": "none"}) is None
    assert task.deferral is not None
    assert task.deferral.method_name == "execute_complete"
    assert task.ti.xcoms["runway_task_id"] == creation["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_without_a_call_it_stays_unknown(
    fault: str, life: Callable[..., Life], runway_simulator: Simulator, time_passes: Callable[[], None]
) -> None:
    runway_simulator.add_fault(fault, CREATION)
    task = life(**DEFERRED)
    lost(task)
    time_passes()
    with pytest.raises(RunwaySubmissionUnknownError, match="has not called back"):
        woken(task, {"status": "none"})
    assert len(runway_simulator.creations) == (fault == "drop_after")


def test_without_a_call_it_is_sent_again_where_that_is_wanted(
    life: Callable[..., Life], runway_simulator: Simulator, time_passes: Callable[[], None]
) -> None:
    runway_simulator.add_fault("drop_before", CREATION)
    task = life(on_unknown_submission="resubmit", **DEFERRED)
    lost(task)
    time_passes()
    assert woken(task, {"status": "none"}) is None
    assert task.deferral.method_name == "execute_complete"  # type: ignore[union-attr]
    assert len(runway_simulator.creations) == 1


def test_it_is_not_sent_again_for_ever(
    life: Callable[..., Life], runway_simulator: Simulator, time_passes: Callable[[], None]
) -> None:
    runway_simulator.add_fault("drop_before", CREATION, count=None)
    task = life(on_unknown_submission="resubmit", **DEFERRED)
    lost(task)
    time_passes()
    with pytest.raises(RunwaySubmissionUnknownError):
        woken(task, {"status": "none"})
    assert runway_simulator.stats()["faults"][0]["used"] == 3


def test_the_retry_after_a_death_takes_the_call(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = life(**DEFERRED)

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        # After kie.ai has answered, and before the answer is noted.
        patch.setattr("airflow_provider_runway.submissions.journal.SubmissionJournal.accepted", die)
        with pytest.raises(Killed):
            task.run()
    made = runway_simulator.creations[0]["task_id"]
    counted: list[Any] = []
    monkeypatch.setattr(results, "count_submission", counted.append)
    recipient = lost(task)
    call(task, recipient, made)
    runway_simulator.advance(600)
    assert woken(task) == made
    assert len(runway_simulator.creations) == 1
    # What it cost is counted in Airflow's metric, once.
    assert len(counted) == 1


def named_between_two_tries(task: Life, store: TaskStateStore, simulator: Simulator) -> str:
    """Let a worker die that is to be killed, and kie.ai's call name the Runway task; return the task's ID."""
    with pytest.raises(Killed):
        task.run()
    made = str(simulator.creations[0]["task_id"])
    store.set(arrivals.KEY, {store.get("runway_submission")["recipient"]: made})
    return made


def test_a_call_that_came_between_two_tries_is_taken_at_once(
    killed_at: Callable[[str], None], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TaskStateStore()
    task = Life(store, **DEFERRED)
    killed_at("after the creation")
    made = named_between_two_tries(task, store, runway_simulator)
    counted: list[Any] = []
    monkeypatch.setattr(results, "count_submission", counted.append)
    # A backend of one's own may make anything of an XCom, or nothing.
    monkeypatch.setattr(task.ti, "xcom_pull", lambda **_: 1 / 0)
    runway_simulator.advance(600)
    assert task.run() == made
    assert len(counted) == 1


def waits_anew(task: Life, since: float) -> bool:
    """Whether a task waits for its video, and has all of its timeout for that."""
    assert task.deferral is not None
    assert task.deferral.method_name == "execute_complete"
    end_time = task.deferral.trigger.serialize()[1]["end_time"]
    return bool(end_time >= since + task.arguments["timeout"])


def test_what_comes_back_after_the_deadline_gets_a_new_one(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(timeout=0.3, **DEFERRED)
    recipient = lost(task)
    call(task, recipient, runway_simulator.creations[0]["task_id"])
    time.sleep(0.4)
    began = time.time()
    assert woken(task) is None
    assert waits_anew(task, began)


def test_so_does_what_a_retry_is_told_of_after_the_deadline(
    killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    store = TaskStateStore()
    task = Life(store, timeout=0.3, **DEFERRED)
    killed_at("after the creation")
    named_between_two_tries(task, store, runway_simulator)
    time.sleep(0.4)
    began = time.time()
    assert task.run() is None
    assert waits_anew(task, began)
    assert store.get("runway_submission")["end_time"] >= began + 0.3


def test_in_a_worker_it_gets_one_too(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(wait_for_completion=True, timeout=2)
    pauses: list[float] = []
    monkeypatch.setattr("airflow_provider_runway.operators.calling.time.sleep", pauses.append)

    def late(context: Any, store: Any, recipient: str) -> str | None:
        if not pauses:
            return None
        passed = SimpleNamespace(time=lambda: time.time() + 3)
        monkeypatch.setattr("airflow_provider_runway.submissions.journal.time", passed)
        return str(runway_simulator.creations[0]["task_id"])

    waits: list[Any] = []
    monkeypatch.setattr(arrivals, "arrival_for", late)

    def begin(*_: Any, **how: Any) -> None:
        waits.append(how)
        raise Killed

    monkeypatch.setattr(RunwayHook, "wait_for_task", begin)
    with pytest.raises(Killed):
        task.run()
    assert waits[0]["timeout"] >= 5


def test_a_call_before_the_deferral_is_looked_at(
    life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = life(**DEFERRED)

    def early(context: Any, store: Any, recipient: str) -> str:
        runway_simulator.advance(600)
        return str(runway_simulator.creations[0]["task_id"])

    monkeypatch.setattr(arrivals, "arrival_for", early)
    assert task.run() == runway_simulator.creations[0]["task_id"]


def test_a_call_for_nothing_lets_it_wait_on(life: Callable[..., Life], runway_simulator: Simulator) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = life(**DEFERRED)
    assert task.run() is None
    before = task.deferral.trigger.serialize()[1]  # type: ignore[union-attr]
    assert before["recipient"]
    assert woken(task) is None
    after = task.deferral.trigger.serialize()[1]  # type: ignore[union-attr]
    assert {name: after[name] for name in ("runway_task_id", "started_at", "end_time", "kind")} == {
        name: before[name] for name in ("runway_task_id", "started_at", "end_time", "kind")
    }


def test_a_call_for_a_failure_ends_it_with_the_reason(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("moderation", CREATION)
    task = life(**DEFERRED)
    assert task.run() is None
    runway_simulator.advance(600)
    with pytest.raises(RunwayTaskRejectedError):
        woken(task)


@pytest.mark.parametrize(
    ("fault", "how", "method"),
    [
        ({}, DEFERRED, "execute_complete"),
        ({"kind": "drop_after"}, DEFERRED, "answer_awaited"),
        ({"kind": "body_code", "code": 429, "count": None}, {"deferrable": True}, "submit_again"),
    ],
)
def test_nothing_that_is_stored_for_a_deferral_holds_a_secret(
    fault: dict[str, Any],
    how: dict[str, Any],
    method: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
    connection["password"] = "0123456789abcdef"
    connection["extra"]["webhook_hmac_key"] = "fedcba9876543210"
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))
    addresses: list[str] = []
    url = Recipient.url

    def noted(recipient: Recipient, *given: Any) -> str:
        addresses.append(url(recipient, *given))
        return addresses[-1]

    monkeypatch.setattr(Recipient, "url", noted)
    if fault:
        runway_simulator.add_fault(path=CREATION, **fault)
    task = life(**how)
    assert task.run() is None
    assert task.deferral is not None
    assert task.deferral.method_name == method
    stored = repr((task.deferral.trigger.serialize(), task.deferral.kwargs, task.ti.xcoms))
    if task.store is not None:
        stored += repr(task.store.values)
    tokens = [address.rpartition("/")[2] for address in addresses]
    assert tokens
    for secret in ("0123456789abcdef", "fedcba9876543210", *tokens):
        assert secret not in stored
    assert method == "submit_again" or "recipient" in stored, "it does say by which name it can be called"

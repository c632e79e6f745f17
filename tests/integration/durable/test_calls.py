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

from airflow_provider_runway.compat import HAS_TABS
from airflow_provider_runway.exceptions import (
    RunwaySubmissionUnknownError,
    RunwayTaskRejectedError,
    RunwayValidationError,
)
from airflow_provider_runway.simulator.server import Simulator
from airflow_provider_runway.submissions.tokens import Recipient
from airflow_provider_runway.triggers import arrivals
from tests.integration.durable.life import CREATION, Killed, Life

pytestmark = pytest.mark.skipif(not HAS_TABS, reason="this Airflow cannot be called")
BASE_URL = "https://airflow.example/prefix"
ADDRESS = re.compile(rf"{BASE_URL}/runway-callbacks/runway_default/[A-Za-z0-9_-]{{54}}")
DEFERRED = {"wait_for_completion": True, "deferrable": True}


@pytest.fixture(autouse=True)
def _callable(runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
    connection["extra"] = {**connection.get("extra", {}), "callback_base_url": BASE_URL}
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))


def asked_for(simulator: Simulator) -> Any:
    return simulator.creations[-1]["body"].get("callBackUrl")


def call(task: Life, recipient: str, runway_task_id: str) -> None:
    """Let a call arrive, as the API server keeps it."""
    task.ti.xcoms[arrivals.KEY] = {recipient: runway_task_id}


def lost(task: Life) -> str:
    """Run a try whose answer is lost, and return at which address its task waits for a call."""
    assert task.run() is None
    assert task.deferral is not None
    assert task.deferral.method_name == "answer_awaited"
    return str(task.deferral.kwargs["submission"]["recipient"])  # type: ignore[index]


def woken(task: Life, event: Any = None) -> str | None:
    assert task.deferral is not None
    return task._go_on(
        task.deferral.method_name, {**(task.deferral.kwargs or {}), "event": event or {"status": "callback"}}
    )


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


def test_an_id_of_another_prompt_is_not_believed(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    other = life(prompt="Another prompt", callback_url="").run()
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(**DEFERRED)
    call(task, lost(task), str(other))
    with pytest.raises(RunwaySubmissionUnknownError):
        woken(task)
    assert len(runway_simulator.creations) == 2


def test_an_id_that_nobody_knows_is_not_believed(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_before", CREATION)
    task = life(**DEFERRED)
    call(task, lost(task), "0" * 32)
    with pytest.raises(RunwaySubmissionUnknownError):
        woken(task)


@pytest.fixture
def time_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that lets the time pass in which calls are expected."""
    clock = SimpleNamespace(time=lambda: time.time() + 10_000, sleep=time.sleep)
    return lambda: monkeypatch.setattr("airflow_provider_runway.operators.calling.time", clock)


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
    recipient = lost(task)
    call(task, recipient, made)
    runway_simulator.advance(600)
    assert woken(task) == made
    assert len(runway_simulator.creations) == 1


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
    monkeypatch.setattr(
        Recipient, "url", lambda self, *given: addresses.append(url(self, *given)) or addresses[-1]
    )
    if fault:
        runway_simulator.add_fault(path=CREATION, **fault)
    task = life(**how)
    assert task.run() is None
    assert task.deferral is not None
    assert task.deferral.method_name == method
    stored = repr((task.deferral.trigger.serialize(), task.deferral.kwargs, task.ti.xcoms))  # type: ignore[union-attr]
    if task.store is not None:
        stored += repr(task.store.values)
    tokens = [address.rpartition("/")[2] for address in addresses]
    assert tokens
    for secret in ("0123456789abcdef", "fedcba9876543210", *tokens):
        assert secret not in stored
    assert method == "submit_again" or "recipient" in stored, "it does say by which name it can be called"

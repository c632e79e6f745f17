"""Callbacks that never come, or late, or again and again, or before anybody knows what they are about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_runway.simulator import Fault, Simulator
from tests.integration.simulator.conftest import (
    MARKET_TEXT_TO_VIDEO,
    TEXT_TO_VIDEO,
    Client,
    MakeSimulator,
    Receiver,
    wait_for_callbacks,
)

GENERATE, MARKET = "/api/v1/runway/generate", "/api/v1/jobs/createTask"


@pytest.fixture
def simulator(make_simulator: MakeSimulator) -> Simulator:
    return make_simulator(callback_retry_seconds=0.01, webhook_key="webhook-key")


@pytest.fixture
def told(receiver: Receiver) -> dict[str, Any]:
    """A request that names the receiver."""
    return {**TEXT_TO_VIDEO, "callBackUrl": receiver.url}


def ids(received: list[tuple[dict[str, str], Any]]) -> list[str]:
    """Return the tasks that callbacks of dedicated generations told of."""
    return [body["data"]["task_id"] for _, body in received]


def used(simulator: Simulator) -> list[int]:
    return [fault["used"] for fault in simulator.stats()["faults"]]


def test_a_dropped_callback_is_noted_and_never_sent(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_dropped")
    dropped, other = client.create(body=told), client.create(body=told)
    simulator.advance(600)
    noted = {entry["task_id"]: entry for entry in wait_for_callbacks(simulator, 2)}
    assert (noted[dropped]["status"], noted[dropped]["attempt"]) == ("dropped", 0)
    assert (noted[other]["status"], noted[other]["attempt"]) == (200, 1)
    assert client.detail(dropped)["state"] == "success"
    simulator.stop()
    simulator.start()
    last = client.create(body=told)
    simulator.advance(600)
    assert ids(receiver.wait(2)) == [other, last]
    assert [entry["task_id"] for entry in simulator.stats()["callbacks"]].count(dropped) == 1


def test_a_late_callback_comes_so_much_after_the_end(
    make_simulator: MakeSimulator, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator = make_simulator(speed=2)
    client = Client(simulator.url)
    simulator.add_fault("callback_late", seconds=1000)
    late, other = client.create(body=told), client.create(body=told)
    simulator.advance(300)
    assert ids(receiver.wait()) == [other]
    assert client.detail(late)["state"] == "success"
    # Half of the thousand, since everything here is twice as fast.
    simulator.advance(500)
    assert ids(receiver.wait(2)) == [other, late]
    ended = {task["task_id"]: task["ends_at"] for task in simulator.tasks}
    sent = {entry["task_id"]: entry["time"] for entry in wait_for_callbacks(simulator, 2)}
    assert sent[late] >= ended[late] + 500


def test_a_late_callback_is_as_late_after_an_end_that_was_forced(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_late", seconds=3600)
    late, other = client.create(body=told), client.create(body=told)
    for task_id in (late, other):
        simulator.force_task(task_id, "fail", code=500)
    assert ids(receiver.wait()) == [other]
    simulator.advance(3600)
    assert ids(receiver.wait(2)) == [other, late]


@pytest.mark.parametrize("statuses", [[], [500], [500, 500, 500, 500, 500]])
def test_a_repeated_callback_comes_as_often_as_it_was_told_whatever_it_meets(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any], statuses: list[int]
) -> None:
    receiver.statuses = list(statuses)
    simulator.add_fault("callback_repeated", times=5)
    task_id = client.create(body=told)
    simulator.advance(600)
    sent = wait_for_callbacks(simulator, 5)
    assert [entry["attempt"] for entry in sent] == [1, 2, 3, 4, 5]
    assert [entry["status"] for entry in sent] == [*statuses, *[200] * (5 - len(statuses))]
    other = client.create(body=told)
    simulator.advance(1000)
    assert ids(receiver.wait(6)) == [task_id] * 5 + [other]
    bodies = [body for _, body in receiver.received[:5]]
    assert bodies == [bodies[0]] * 5
    assert all("X-Webhook-Signature" in headers for headers, _ in receiver.received)


def test_a_repeated_callback_comes_three_times(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_repeated")
    task_id = client.create(body=told)
    simulator.advance(600)
    wait_for_callbacks(simulator, 3)
    other = client.create(body=told)
    simulator.advance(600)
    assert ids(receiver.wait(4)) == [task_id] * 3 + [other]


@pytest.mark.parametrize("fails", [False, True])
def test_an_early_callback_comes_before_the_answer_and_again_at_the_end(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any], fails: bool
) -> None:
    simulator.add_fault("callback_early")
    if fails:
        simulator.add_fault("moderation")
    task_id = client.create(body=told)
    # It is not waited for: it was there before the answer.
    assert ids(receiver.received) == [task_id]
    assert client.detail(task_id)["state"] == "wait"
    simulator.advance(600)
    (early_headers, early), (_, final) = receiver.wait(2)
    assert early == final
    assert early["code"] == (400 if fails else 200)
    assert "X-Webhook-Signature" in early_headers
    noted = wait_for_callbacks(simulator, 2)
    assert [(entry["attempt"], entry["status"]) for entry in noted] == [(0, 200), (1, 200)]


def test_an_early_callback_of_the_market_is_that_of_its_end(
    simulator: Simulator, client: Client, receiver: Receiver
) -> None:
    simulator.add_fault("callback_early", MARKET)
    task_id = client.create_on_market({**MARKET_TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    assert [body["data"]["taskId"] for _, body in receiver.received] == [task_id]
    simulator.advance(600)
    (_, early), (_, final) = receiver.wait(2)
    assert early == final
    assert early["data"]["state"] == "success"


def test_an_early_callback_that_meets_an_error_is_not_tried_again_before_the_end(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_early")
    receiver.statuses = [500]
    client.create(body=told)
    assert [(entry["attempt"], entry["status"]) for entry in simulator.stats()["callbacks"]] == [(0, 500)]
    receiver.statuses = [500, 500, 500]
    simulator.advance(600)
    assert [entry["attempt"] for entry in wait_for_callbacks(simulator, 5)] == [0, 1, 2, 3, 4]


def test_a_task_that_never_ends_has_no_early_callback_either(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_early")
    simulator.add_fault("stuck")
    client.create(body=told)
    assert receiver.received == []


@pytest.mark.parametrize("kind", ["drop_after", "html", "garbage"])
def test_the_callback_comes_where_the_answer_to_the_creation_is_lost(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any], kind: str
) -> None:
    carried_out = {} if kind == "drop_after" else {"carried_out": True}
    simulator.add_fault(kind, GENERATE, **carried_out)
    simulator.add_fault("callback_early", GENERATE)
    try:
        answer = client.post(GENERATE, told).text
    except requests.ConnectionError:
        answer = ""
    (task,) = simulator.tasks
    assert task["task_id"] not in answer
    assert ids(receiver.received) == [task["task_id"]]
    assert used(simulator) == [1, 1]
    simulator.advance(600)
    assert ids(receiver.wait(2)) == [task["task_id"]] * 2


@pytest.mark.parametrize("first", ["drop_after", "callback_dropped"])
def test_a_lost_answer_and_a_lost_callback_meet_in_either_order(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any], first: str
) -> None:
    for kind in sorted(["drop_after", "callback_dropped"], key=lambda kind: kind != first):
        simulator.add_fault(kind)
    with pytest.raises(requests.ConnectionError):
        client.post(GENERATE, told)
    assert used(simulator) == [1, 1]
    simulator.advance(600)
    assert [entry["status"] for entry in wait_for_callbacks(simulator, 1)] == ["dropped"]
    assert receiver.received == []


def test_only_creations_that_are_accepted_and_name_a_receiver_use_a_fault_up(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_dropped")
    client.create()
    assert client.post(GENERATE, {**told, "duration": 7}).json()["code"] == 422
    simulator.add_fault("drop_before", GENERATE)
    with pytest.raises(requests.ConnectionError):
        client.post(GENERATE, told)
    assert used(simulator) == [0, 1]
    client.create(body=told)
    assert used(simulator) == [1, 1]


def test_an_account_without_credits_uses_no_fault_up(
    make_simulator: MakeSimulator, told: dict[str, Any]
) -> None:
    simulator = make_simulator(balance=11)
    simulator.add_fault("callback_dropped")
    assert Client(simulator.url).post(GENERATE, told).json()["code"] == 402
    assert used(simulator) == [0]


def test_a_fault_of_callbacks_knows_its_path_and_its_turn(
    simulator: Simulator, client: Client, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator.add_fault("callback_dropped", GENERATE, after=1, count=2)
    client.create_on_market({**MARKET_TEXT_TO_VIDEO, "callBackUrl": receiver.url})
    tasks = [client.create(body=told) for _ in range(4)]
    simulator.advance(600)
    noted = {entry["task_id"]: entry["status"] for entry in wait_for_callbacks(simulator, 5)}
    assert [noted[task_id] for task_id in tasks] == [200, "dropped", "dropped", 200]
    assert list(noted.values()).count("dropped") == 2


def test_every_third_is_dropped_while_every_fifth_comes_three_times(
    make_simulator: MakeSimulator, receiver: Receiver, told: dict[str, Any]
) -> None:
    simulator = make_simulator(rate_limit=0, callback_retry_seconds=0.01)
    client = Client(simulator.url)
    for number in range(1, 16):
        if number % 3 == 0:
            simulator.add_fault("callback_dropped")
        elif number % 5 == 0:
            simulator.add_fault("callback_repeated")
        client.create(body=told)
    simulator.advance(600)
    noted = wait_for_callbacks(simulator, 5 + 2 * 3 + 8)
    statuses = [entry["status"] for entry in noted]
    assert (statuses.count("dropped"), statuses.count(200)) == (5, 14)


@pytest.mark.parametrize("kind", ["callback_dropped", "callback_late", "callback_repeated"])
def test_a_callbacks_trouble_survives_a_restart(
    make_simulator: MakeSimulator, receiver: Receiver, told: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    first = make_simulator(state_file=tmp_path / "state.sqlite")
    first.add_fault(kind, seconds=5000, times=2)
    task_id = Client(first.url).create(body=told)
    first.close()
    second = make_simulator(state_file=tmp_path / "state.sqlite", callback_retry_seconds=0.01)
    other = Client(second.url).create(body=told)
    second.advance(600)
    ways: dict[str, list[tuple[str, int, int | str]]] = {
        "callback_dropped": [(task_id, 0, "dropped"), (other, 1, 200)],
        "callback_late": [(other, 1, 200)],
        "callback_repeated": [(task_id, 1, 200), (task_id, 2, 200), (other, 1, 200)],
    }
    expected = ways[kind]
    noted = wait_for_callbacks(second, len(expected))
    assert {(entry["task_id"], entry["attempt"], entry["status"]) for entry in noted} == set(expected)
    second.advance(5000)
    if kind == "callback_late":
        assert ids(receiver.wait(2)) == [other, task_id]


def test_a_restart_between_two_repetitions_starts_none_afresh(
    make_simulator: MakeSimulator, receiver: Receiver, told: dict[str, Any], tmp_path: Path
) -> None:
    state = tmp_path / "state.sqlite"
    first = make_simulator(state_file=state, callback_retry_seconds=3600)
    first.add_fault("callback_repeated", times=3)
    Client(first.url).create(body=told)
    first.advance(600)
    wait_for_callbacks(first, 1)
    first.close()
    second = make_simulator(state_file=state, callback_retry_seconds=0.01)
    assert [entry["attempt"] for entry in wait_for_callbacks(second, 2)] == [2, 3]
    Client(second.url).create(body=told)
    second.advance(600)
    assert len(set(ids(receiver.wait(4)))) == 2


def test_the_control_endpoint_takes_faults_of_callbacks(
    client: Client, simulator: Simulator, receiver: Receiver, told: dict[str, Any]
) -> None:
    fault = {"kind": "callback_repeated", "path": GENERATE, "times": 2}
    assert client.control("POST", "faults", json=fault).json()["faults"][0]["times"] == 2
    client.create(body=told)
    simulator.advance(600)
    assert len(wait_for_callbacks(simulator, 2)) == 2
    assert client.control("GET", "faults").json()["faults"][0]["used"] == 1
    assert client.control("DELETE", "faults").json() == {"faults": []}


@pytest.mark.parametrize("times", [1, 21, 0, -1, 2.0, "3", True, None])
def test_a_number_of_repetitions_that_makes_no_sense_is_refused(client: Client, times: Any) -> None:
    fault = {"kind": "callback_repeated", "times": times}
    answer = client.control("POST", "faults", data=json.dumps(fault))
    assert answer.status_code == 400
    assert "times must be an integer from 2 to 20" in answer.json()["error"]


@pytest.mark.parametrize("times", [2, 20])
def test_two_and_twenty_repetitions_are_allowed(times: int) -> None:
    assert Fault(kind="callback_repeated", times=times).times == times

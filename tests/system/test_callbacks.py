"""kie.ai calls back in a real Airflow: the waiting task wakes, and a lost answer comes back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import requests

from airflow_provider_runway.api.callbacks import signature
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.system.conftest import WEBHOOK_KEY, Run, Simulators
from tests.versions import AIRFLOW

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(AIRFLOW < (3, 1), reason="this Airflow cannot be called"),
]
LOOKUPS = ("/api/v1/runway/record-detail", "/api/v1/aleph/record-info")


class Called(Run):
    """A run of a DAG whose one video kie.ai calls about."""

    simulator: LocalSimulator
    prompt: str
    looked_before: int

    def creations(self) -> list[dict[str, Any]]:
        return [made for made in self.simulator.creations() if made["body"]["prompt"] == self.prompt]

    def creation(self) -> dict[str, Any]:
        """Wait for the creation, and return it."""
        found = self.airflow.api.wait_until("the creation", lambda: self.creations() or None, timeout=120)
        return dict(found[0])

    def callbacks(self) -> list[dict[str, Any]]:
        ids = {made["task_id"] for made in self.creations()}
        return [call for call in self.simulator.stats()["callbacks"] if call["task_id"] in ids]

    def lookups(self) -> int:
        return lookups(self.simulator) - self.looked_before


def lookups(simulator: LocalSimulator) -> int:
    """Return how often the status of a task was asked for."""
    return sum(entry["count"] for entry in simulator.stats()["requests"] if entry["path"] in LOOKUPS)


@dataclass
class Flood:
    """What became of much garbage: statuses or errors, and those of the health check meanwhile."""

    sent: int = 0
    answers: Counter[int | str] = field(default_factory=Counter)
    health: Counter[int] = field(default_factory=Counter)


@pytest.fixture
def start(airflow: LocalAirflow, simulators: Simulators) -> Callable[..., Called]:
    """Return a function that starts a run, with faults of its one creation."""
    simulator = simulators.with_keys

    def begin(dag_id: str, *faults: dict[str, Any]) -> Called:
        simulator.clear_faults()
        for fault in faults:
            simulator.add_fault(**{"path": "/api/v1/", "method": "POST", **fault})
        prompt = f"A boat {uuid4().hex}"
        looked_before = lookups(simulator)
        run = Called(airflow, dag_id, airflow.api.trigger_dag(dag_id, {"prompt": prompt}))
        run.simulator, run.prompt, run.looked_before = simulator, prompt, looked_before
        return run

    return begin


def worker_starts(run: Run, task_id: str) -> int:
    """Return how many worker processes asked to run a task."""
    log = run.airflow.processes.log_file("api-server").read_text(errors="replace")
    ids = [found["id"] for found in run.airflow.api.task_instances(run.dag_id, run.run_id)]
    return sum(log.count(f"path=/execution/task-instances/{name}/run ") for name in ids)


def test_a_call_wakes_the_task_and_one_look_is_enough(start: Callable[..., Called]) -> None:
    run = start("called_aleph")
    run.assert_success()
    (creation,) = run.creations()
    (call,) = run.callbacks()
    assert call["status"] == 200
    assert run.lookups() == 1
    assert run.xcoms("video")["runway_task_id"] == creation["task_id"]
    # One to submit, one that was woken.
    assert worker_starts(run, "video") == 2
    # Airflow tells a trigger whose task was woken as if a person had ended it.
    folder = run.airflow.log_folder / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
    logs = "".join(file.read_text(errors="replace") for file in folder.rglob("*.log*"))
    assert "Submitted Runway task" in logs
    assert "cannot cancel" not in logs


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="this Airflow ends every task in a worker")
def test_a_trigger_that_reads_of_the_call_ends_the_task_itself(start: Callable[..., Called]) -> None:
    run = start("called_in_trigger")
    run.assert_success()
    assert run.callbacks()[0]["status"] == 200
    assert run.lookups() == 1
    assert worker_starts(run, "video") == 1


def test_a_call_that_comes_before_the_guard_is_over_is_kept(start: Callable[..., Called]) -> None:
    run = start("called_generate", {"kind": "callback_early"})
    run.assert_success()
    assert [call["attempt"] for call in run.callbacks()] == [0, 1]
    assert {call["status"] for call in run.callbacks()} == {200}
    assert len(run.creations()) == 1


def test_a_call_that_never_comes_costs_a_bounded_delay(start: Callable[..., Called]) -> None:
    run = start("called_generate", {"kind": "callback_dropped"})
    run.assert_success(timeout=200)
    assert run.lookups() <= 3


def test_the_same_call_three_times_ends_the_task_once(start: Callable[..., Called]) -> None:
    run = start("called_aleph", {"kind": "callback_repeated", "times": 3})
    run.assert_success()
    run.airflow.api.wait_until("three calls", lambda: len(run.callbacks()) == 3 or None, timeout=60)
    assert {call["status"] for call in run.callbacks()} == {200}
    assert run.states() == {"video": "success"}
    assert worker_starts(run, "video") == 2


@pytest.mark.parametrize("dag_id", ["called_generate", "called_aleph"])
def test_a_lost_answer_comes_back(start: Callable[..., Called], dag_id: str) -> None:
    run = start(dag_id, {"kind": "drop_after"})
    run.assert_success()
    (creation,) = run.creations()
    assert run.xcoms("video")["runway_task_id"] == creation["task_id"]


def test_a_lost_answer_of_a_request_that_was_not_taken_stays_unknown(start: Callable[..., Called]) -> None:
    run = start("called_generate", {"kind": "drop_before"})
    assert run.airflow.api.wait_for_run(run.dag_id, run.run_id, timeout=300) == "failed"
    assert run.creations() == []
    assert "has not called back" in run.xcoms("video")["runway_error"]["text"]


def test_a_sensor_that_started_without_a_worker_is_woken(start: Callable[..., Called]) -> None:
    run = start("called_sensor")
    run.assert_success()
    assert run.callbacks()[0]["status"] == 200
    assert run.lookups() <= 3
    assert str(run.xcoms("video")["return_value"]).startswith("http")


def test_a_call_during_the_triggerers_restart_is_taken(start: Callable[..., Called]) -> None:
    run = start("called_aleph")
    run.wait_for_task("video", "deferred")
    run.airflow.kill("triggerer")
    try:
        run.airflow.api.wait_until("the call", lambda: run.callbacks() or None, timeout=120)
    finally:
        run.airflow.start("triggerer")
    run.assert_success()
    assert run.callbacks()[0]["status"] == 200
    assert len(run.creations()) == 1


def test_a_call_for_an_earlier_video_does_not_wake_the_task_of_a_cleared_one(
    start: Callable[..., Called],
) -> None:
    run = start("called_aleph")
    run.wait_for_task("video", "deferred")
    first = run.creation()
    run.airflow.api.clear(run.dag_id, run.run_id, ["video"])
    run.airflow.api.wait_until("another", lambda: len(run.creations()) == 2 or None, timeout=120)
    run.assert_success()
    (second,) = [made for made in run.creations() if made["task_id"] != first["task_id"]]
    assert run.xcoms("video")["runway_task_id"] == second["task_id"]
    assert {call["status"] for call in run.callbacks()} == {200}


async def flood(airflow: LocalAirflow, urls: list[str], *, seconds: float, per_second: int) -> Flood:
    """Post garbage, and ask for the health meanwhile.

    :param seconds: for how long
    :param per_second: how many are sent, whether or not they are answered; those that wait are bounded
    """
    seen = Flood()
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=100)) as session:

        async def post(url: str, body: bytes) -> None:
            try:
                async with session.post(url, data=body) as answer:
                    seen.answers[answer.status] += 1
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                seen.answers[type(error).__name__] += 1

        async def ask_for_health() -> None:
            while True:
                async with session.get(f"{airflow.url}/api/v2/monitor/health") as answer:
                    seen.health[answer.status] += 1
                await asyncio.sleep(0.25)

        health = asyncio.create_task(ask_for_health())
        posts: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            while seen.sent < passed * per_second and len(posts) < 2000:
                task = asyncio.create_task(post(urls[seen.sent % len(urls)], b"garbage"))
                posts.add(task)
                task.add_done_callback(posts.discard)
                seen.sent += 1
            await asyncio.sleep(0.01)
        await asyncio.gather(*posts)
        health.cancel()
    return seen


def test_what_nobody_sent_wakes_nothing(start: Callable[..., Called]) -> None:
    run = start("called_aleph")
    run.wait_for_task("video", "deferred")
    creation = run.creation()
    url = str(creation["body"]["callBackUrl"])
    body = {"code": 200, "msg": "", "data": {"task_id": creation["task_id"]}}
    forged = url[:-1] + ("A" if url[-1] != "A" else "E")
    # The guard is over before it ends.
    seen = asyncio.run(flood(run.airflow, [forged, url + "x", url], seconds=10, per_second=1000))
    assert set(seen.answers) == {404, 400}, seen
    assert set(seen.health) == {200}, seen
    assert requests.post(forged, json=body, timeout=30).status_code == 404
    assert requests.post(url, json=body, timeout=30).status_code == 401
    old = signature(creation["task_id"], int(time.time()) - 400, WEBHOOK_KEY)
    assert requests.post(url, json=body, headers=old, timeout=30).status_code == 401
    assert requests.post(url, data=b"x" * 10 * 1024 * 1024, timeout=30).status_code == 413
    assert requests.get(url, timeout=30).status_code == 405
    run.assert_success()
    assert worker_starts(run, "video") == 2

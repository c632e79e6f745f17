"""Paid for once, and never lost: workers and triggerers of a real Airflow are killed, tasks are cleared.

The last test searches all that this Airflow has written for the API key.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.system.conftest import API_KEY, WEBHOOK_KEY, Simulators

pytestmark = pytest.mark.timeout(600)

CREATION = "/api/v1/runway/generate"
UNKNOWN = "RunwaySubmissionUnknownError"


@pytest.fixture(scope="module")
def simulator(simulators: Simulators) -> LocalSimulator:
    """The simulated kie.ai that these DAGs' connection leads to."""
    return simulators.with_keys


@dataclass
class Run:
    """A run of one of the DAGs, with a prompt that no other run has."""

    airflow: LocalAirflow
    simulator: LocalSimulator
    dag_id: str
    prompt: str
    run_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.run_id = self.airflow.api.trigger_dag(self.dag_id, {"prompt": self.prompt})

    @property
    def charged(self) -> list[str]:
        """The Runway task IDs that this run was charged for, in order."""
        return [
            creation["task_id"]
            for creation in self.simulator.creations()
            if creation["body"]["prompt"].startswith(self.prompt)
        ]

    def state(self, task_id: str = "generate") -> str:
        return self.airflow.api.task_states(self.dag_id, self.run_id).get(task_id, "none")

    def wait_until(self, what: str, look: Any, *, timeout: float = 180) -> Any:
        return self.airflow.api.wait_until(f"{self.dag_id}: {what}", look, timeout=timeout)

    def wait_for(self, *states: str, task_id: str = "generate") -> None:
        self.wait_until(" or ".join(states), lambda: self.state(task_id) in states or None)

    def wait_until_charged(self, times: int = 1) -> None:
        self.wait_until(f"{times} charges", lambda: len(self.charged) >= times or None)

    def wait_until_noted(self, map_index: int = -1) -> None:
        """Wait until the Runway task ID is an XCom, which it becomes after it was noted."""
        xcom = (self.dag_id, self.run_id, "generate", "runway_task_id")

        def look() -> bool | None:
            with suppress(requests.HTTPError):
                return bool(self.airflow.api.xcom(*xcom, map_index=map_index))
            return None

        self.wait_until("the Runway task ID", look)

    def ends(self, state: str) -> None:
        """See that the run ends in this state."""
        ended = self.airflow.api.wait_for_run(self.dag_id, self.run_id, timeout=240)
        assert ended == state, self.airflow.api.errors(self.dag_id, self.run_id)

    def result(self, key: str = "return_value") -> Any:
        return self.airflow.api.xcom(self.dag_id, self.run_id, "generate", key)

    def tries(self) -> int:
        (instance,) = self.airflow.api.task_instances(self.dag_id, self.run_id)
        return int(instance["try_number"])

    def mapped_tries(self) -> list[int]:
        """How often each of the mapped tasks was tried, in order."""
        instances = self.airflow.api.task_instances(self.dag_id, self.run_id)
        tries = {ti["map_index"]: int(ti["try_number"]) for ti in instances if ti["task_id"] == "generate"}
        return [tries[index] for index in sorted(tries)]

    def clear(self) -> None:
        self.airflow.api.clear(self.dag_id, self.run_id, ["generate"])

    def kill_worker(self, *, with_supervisor: bool = False) -> None:
        """Kill the processes that run tasks, and their supervisors if asked to."""
        for worker in self.airflow.busy_workers():
            victims = worker.children(recursive=True)
            for victim in (worker, *victims) if with_supervisor else victims:
                with suppress(psutil.NoSuchProcess):
                    victim.kill()


@pytest.fixture
def start(airflow: LocalAirflow, simulator: LocalSimulator, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A function that starts a run of a DAG; faults end with the test."""
    yield lambda dag_id: Run(airflow, simulator, dag_id, f"{request.node.name} {time.time():.3f}")
    simulator.clear_faults()


@pytest.mark.parametrize("with_supervisor", [False, True], ids=["process", "process and supervisor"])
def test_a_worker_killed_before_it_noted_the_id_ends_as_unknown(
    start: Any, simulator: LocalSimulator, with_supervisor: bool
) -> None:
    # The creation is carried out at once, and its answer comes when the worker is dead.
    simulator.add_fault(kind="slow", path=CREATION, seconds=60)
    run = start("submit_only")
    run.wait_until_charged()
    run.kill_worker(with_supervisor=with_supervisor)
    run.ends("failed")
    (error,) = run.airflow.api.errors("submit_only", run.run_id)["generate"]
    assert UNKNOWN in error
    assert run.prompt[:60] in error
    assert "https://kie.ai/logs" in error
    # The retry found out, and there was none after it.
    assert run.tries() == 2
    assert len(run.charged) == 1


@pytest.mark.parametrize("with_supervisor", [False, True], ids=["process", "process and supervisor"])
def test_a_worker_killed_after_it_noted_the_id_costs_nothing(start: Any, with_supervisor: bool) -> None:
    run = start("in_worker")
    run.wait_until_noted()
    run.kill_worker(with_supervisor=with_supervisor)
    run.ends("success")
    assert run.tries() == 2
    assert run.charged == [run.result()]
    assert run.result() in run.result("video_url")


def test_a_triggerer_killed_while_a_task_is_deferred_costs_nothing(start: Any, airflow: LocalAirflow) -> None:
    run = start("deferred")
    run.wait_for("deferred")
    airflow.kill("triggerer")
    airflow.start("triggerer")
    run.ends("success")
    assert run.tries() == 1
    assert run.charged == [run.result()]


def test_an_answer_lost_after_the_creation_was_carried_out_is_not_asked_for_again(
    start: Any, simulator: LocalSimulator
) -> None:
    simulator.add_fault(kind="drop_after", path=CREATION)
    run = start("deferred")
    run.ends("failed")
    (error,) = run.airflow.api.errors("deferred", run.run_id)["generate"]
    assert UNKNOWN in error
    assert run.tries() == 1
    assert len(run.charged) == 1


def test_a_rate_limit_uses_up_no_retry_and_no_credits(start: Any, simulator: LocalSimulator) -> None:
    simulator.add_fault(kind="http_error", path=CREATION, status=429, count=2, headers={"Retry-After": "1"})
    run = start("deferred")
    run.ends("success")
    assert run.tries() == 1
    assert run.charged == [run.result()]


def test_a_retry_after_a_failed_generation_makes_a_new_video(start: Any, simulator: LocalSimulator) -> None:
    simulator.add_fault(kind="upstream_failure", path=CREATION)
    run = start("deferred")
    run.ends("success")
    assert run.tries() == 2
    assert len(run.charged) == 2
    assert run.charged[1] == run.result()


def test_clearing_a_task_that_succeeded_makes_a_new_video(start: Any) -> None:
    run = start("deferred")
    run.ends("success")
    first = run.result()
    run.clear()
    run.wait_until_charged(2)
    run.ends("success")
    assert run.charged == [first, run.result()]


def test_clearing_a_task_that_failed_makes_a_new_video(start: Any, simulator: LocalSimulator) -> None:
    simulator.add_fault(kind="drop_after", path=CREATION)
    run = start("submit_only")
    run.ends("failed")
    run.clear()
    run.wait_until_charged(2)
    run.ends("success")
    assert len(run.charged) == 2
    assert run.charged[1] == run.result()


def test_clearing_a_deferred_task_makes_a_new_video(start: Any) -> None:
    run = start("deferred")
    run.wait_for("deferred")
    run.clear()
    run.wait_until_charged(2)
    run.ends("success")
    assert len(run.charged) == 2
    assert run.charged[1] == run.result()


def test_a_retry_with_another_prompt_is_another_request(start: Any) -> None:
    run = start("other_prompt_each_try")
    run.wait_until_noted()
    run.kill_worker()
    run.ends("success")
    assert len(run.charged) == 2
    assert run.charged[1] == run.result()


def test_mapped_tasks_that_are_killed_cost_nothing(start: Any, simulator: LocalSimulator) -> None:
    # None has an end before all of them have been killed.
    simulator.add_fault(kind="stuck", path=CREATION, count=4)
    run = start("mapped")
    for index in range(4):
        run.wait_until_noted(index)
    submitted = run.charged
    assert len(submitted) == 4
    run.kill_worker()
    run.wait_until("4 second tries", lambda: run.mapped_tries() == [2] * 4 or None)
    for runway_task_id in submitted:
        simulator.finish(runway_task_id)
    run.ends("success")
    assert run.mapped_tries() == [2] * 4
    results = [run.airflow.api.xcom("mapped", run.run_id, "generate", map_index=index) for index in range(4)]
    assert sorted(run.charged) == sorted(submitted) == sorted(results)
    videos = [run.airflow.api.xcom("mapped", run.run_id, "wait", map_index=index) for index in range(4)]
    assert all(result in video for result, video in zip(results, videos, strict=True))


def test_mapped_tasks_that_are_refused_at_first_are_paid_for_once(
    start: Any, simulator: LocalSimulator
) -> None:
    simulator.add_fault(kind="body_code", path=CREATION, code=500, count=2)
    run = start("mapped")
    run.ends("success")
    assert sum(run.mapped_tries()) == 4 + 2
    results = [run.airflow.api.xcom("mapped", run.run_id, "generate", map_index=index) for index in range(4)]
    assert sorted(run.charged) == sorted(results)


def test_no_key_is_in_the_database_in_any_log_or_at_any_foreign_host(
    start: Any, airflow: LocalAirflow, simulator: LocalSimulator
) -> None:
    # A last run with every kind of trouble in it, after all that the other tests have left behind.
    for fault in ("garbage", "html", "drop_after"):
        simulator.add_fault(kind=fault, path="/api/v1/runway/record-detail", count=2)
    run = start("deferred")
    run.ends("success")
    written = {"database": _dump(airflow.folder / "airflow.db")}
    for file in (*airflow.folder.rglob("*"), *simulator.processes.folder.glob("*.log")):
        if file.is_file() and not file.name.startswith("airflow.db"):
            written[str(file)] = file.read_bytes().decode(errors="replace")

    def where(needle: str) -> set[str]:
        return {name for name, text in written.items() if needle in text}

    assert where(API_KEY) == set()
    assert where(WEBHOOK_KEY) == set()
    assert simulator.stats()["violations"] == []
    # The search looks where it should: it finds what is surely there.
    runway_task_id = run.result()
    assert "database" in where(runway_task_id)
    assert any("attempt=1.log" in name for name in where(runway_task_id))
    for component in ("scheduler", "triggerer", "api-server", "dag-processor"):
        assert written[str(airflow.processes.log_file(component))]


def _dump(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump())

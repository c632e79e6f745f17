"""A watcher in a real Airflow: each noted video is one event, a restart of the triggerer or not."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.system.conftest import Run, Simulators
from tests.versions import AIRFLOW

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(AIRFLOW < (3, 0), reason="this Airflow has no watchers"),
]


def submit(airflow: LocalAirflow, simulator: LocalSimulator) -> tuple[Run, str]:
    """Submit a video that is not ready before the test says so; return the run and the Runway task ID."""
    simulator.clear_faults()
    simulator.add_fault(kind="stuck", path="/api/v1/", method="POST")
    prompt = f"A watched boat {uuid4().hex}"
    run = Run(airflow, "watched_submit", airflow.api.trigger_dag("watched_submit", {"prompt": prompt}))
    run.assert_success()
    (made,) = [made for made in simulator.creations() if made["body"]["prompt"] == prompt]
    return run, str(made["task_id"])


def told(airflow: LocalAirflow, runway_task_id: str) -> list[dict[str, Any]]:
    """Return what the runs were told that have been started for a video so far."""
    api = airflow.api
    runs = api.request("GET", "/dags/watched_process/dagRuns")["dag_runs"]
    ended = [found["dag_run_id"] for found in runs if found["state"] == "success"]
    events = [event for run_id in ended for event in api.xcom("watched_process", run_id, "list_finished")]
    return [event for event in events if event["runway_task_id"] == runway_task_id]


@pytest.mark.parametrize("restarts", [False, True], ids=["", "after a restart"])
def test_a_video_that_ends_starts_a_run_which_is_told_all(
    airflow: LocalAirflow, simulators: Simulators, restarts: bool
) -> None:
    simulator = simulators.with_keys
    first, first_id = submit(airflow, simulator)
    second, second_id = submit(airflow, simulator)
    simulator.finish(first_id)
    airflow.api.wait_until("the first event", lambda: told(airflow, first_id) or None, timeout=120)
    if restarts:
        files = airflow.folder / "watched"
        gone = files / f"{first_id}.json"
        airflow.api.wait_until("the end of the first", lambda: not gone.exists() or None, timeout=60)
        airflow.kill("triggerer")
        simulator.finish(second_id)
        airflow.start("triggerer")
    else:
        simulator.finish(second_id)
    (event,) = airflow.api.wait_until(
        "the second event", lambda: told(airflow, second_id) or None, timeout=120
    )
    video_url = event.pop("video_url")
    assert video_url.startswith(simulator.url)
    assert event == {
        "runway_task_id": second_id,
        "dag_id": second.dag_id,
        "run_id": second.run_id,
        "task_id": "watch",
        "map_index": -1,
        "model": "runway",
        "state": "success",
        "error": None,
    }
    airflow.api.wait_until(
        "an empty folder", lambda: not any((airflow.folder / "watched").iterdir()) or None, timeout=60
    )
    # Whatever comes twice would have come with the second one.
    end = time.monotonic() + 5
    airflow.api.wait_until("a while", lambda: time.monotonic() > end or None, timeout=30)
    assert len(told(airflow, first_id)) == len(told(airflow, second_id)) == 1
    assert first.run_id != second.run_id

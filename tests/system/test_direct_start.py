"""In a real Airflow 3.3: waits that end and sensors that start without a worker, as if they had one."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
from airflow import __version__ as airflow_version

from airflow_provider_runway.waiting.ending import DEFERRAL_MARGIN
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        tuple(int(part) for part in airflow_version.split(".")[:2]) < (3, 3),
        reason="this Airflow starts every task in a worker",
    ),
]


def create(simulator: LocalSimulator, fault: str | None = None) -> str:
    """Return the ID of a new Runway task, made with a fault if one is named."""
    if fault:
        simulator.add_fault(kind=fault)
    answer = requests.post(
        f"{simulator.url}/api/v1/runway/generate",
        json={"prompt": "A paper boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"},
        headers={"Authorization": "Bearer any-key"},
        timeout=30,
    )
    return str(answer.json()["data"]["taskId"])


@pytest.fixture(scope="module")
def run_id(simulator: LocalSimulator, airflow: LocalAirflow) -> str:
    """A run of all sensors that has ended."""
    ids = {
        "stuck": create(simulator, "stuck"),
        "failing": create(simulator, "upstream_failure"),
        "ready": create(simulator),
        "other": create(simulator),
    }
    run_id = airflow.api.trigger_dag("direct_start", {"ids": ids})
    airflow.api.wait_for_run("direct_start", run_id, timeout=600)
    return run_id


def instance(airflow: LocalAirflow, run_id: str, task_id: str) -> dict[str, Any]:
    """Return what Airflow says of a task, ``id[3]`` for a mapped one."""
    name, _, index = task_id.removesuffix("]").partition("[")
    (found,) = (
        found
        for found in airflow.api.task_instances("direct_start", run_id)
        if (found["task_id"], found["map_index"]) == (name, int(index or -1))
    )
    return found


def worker_starts(airflow: LocalAirflow, run_id: str, task_id: str) -> int:
    """Return how many worker processes asked to run a task: each does so once, with the API server."""
    log = airflow.processes.log_file("api-server").read_text(errors="replace")
    return log.count(f"path=/execution/task-instances/{instance(airflow, run_id, task_id)['id']}/run ")


def worker_logs(airflow: LocalAirflow, run_id: str, task_id: str) -> list[str]:
    """Return the names of the logs that workers have written for a task; a trigger's is another."""
    folder = airflow.log_folder / "dag_id=direct_start" / f"run_id={run_id}" / f"task_id={task_id}"
    return [file.name for file in folder.rglob("*.log") if ".trigger." not in file.name]


def test_a_sensor_succeeds_without_any_worker_process(airflow: LocalAirflow, run_id: str) -> None:
    assert instance(airflow, run_id, "ready")["state"] == "success"
    assert worker_starts(airflow, run_id, "ready") == 0
    assert worker_logs(airflow, run_id, "ready") == []
    # The same look finds the workers of a task that has one.
    assert worker_starts(airflow, run_id, "given") == 1
    assert worker_logs(airflow, run_id, "given")


def test_its_xcoms_are_those_of_a_sensor_in_a_worker(
    airflow: LocalAirflow, simulator: LocalSimulator, run_id: str
) -> None:
    found = airflow.api.xcoms("direct_start", run_id, "ready")
    assert found["return_value"] == found["video_url"]
    assert found["video_url"].startswith(simulator.url)
    assert found["image_url"].startswith(simulator.url)
    usual = airflow.api.xcoms("direct_start", run_id, "with_outlets")
    assert {key: found[key] for key in ("return_value", "video_url", "image_url", "video_id")} == {
        key: usual[key] for key in ("return_value", "video_url", "image_url", "video_id")
    }


def test_what_comes_after_it_gets_the_video_url(airflow: LocalAirflow, run_id: str) -> None:
    video_url = airflow.api.xcom("direct_start", run_id, "ready")
    assert airflow.api.xcom("direct_start", run_id, "downstream") == f"got {video_url}"


def test_a_success_callback_runs(airflow: LocalAirflow, run_id: str) -> None:
    """In a worker: Airflow drops those of tasks that end in the triggerer."""
    assert instance(airflow, run_id, "telling")["state"] == "success"
    told(airflow, "told-telling-")


def test_a_time_out_fails_it_and_is_not_retried(airflow: LocalAirflow, run_id: str) -> None:
    late = instance(airflow, run_id, "late")
    assert (late["state"], late["try_number"], late["max_tries"]) == ("failed", 1, 3)
    told(airflow, "told-late-")


def test_a_time_out_with_soft_fail_skips_it(airflow: LocalAirflow, run_id: str) -> None:
    assert instance(airflow, run_id, "late_softly")["state"] == "skipped"


def test_a_failed_runway_task_goes_through_its_retries(airflow: LocalAirflow, run_id: str) -> None:
    failing = instance(airflow, run_id, "failing")
    assert (failing["state"], failing["try_number"]) == ("failed", 2)
    assert worker_starts(airflow, run_id, "failing") > 0
    told(airflow, "told-failing-")


def test_with_outlets_it_emits_its_asset_event(airflow: LocalAirflow, run_id: str) -> None:
    assert instance(airflow, run_id, "with_outlets")["state"] == "success"
    events = airflow.api.request("GET", "/assets/events", params={"limit": 100})["asset_events"]
    assert {event["source_task_id"] for event in events if event["source_run_id"] == run_id} == {
        "with_outlets",
        "operator_with_outlets",
    }


@pytest.mark.parametrize("task_id", ["mapped[0]", "mapped[1]", "operator", "operators[0]", "operators[1]"])
def test_a_mapped_sensor_and_an_operator_take_one_worker(
    airflow: LocalAirflow, run_id: str, task_id: str
) -> None:
    assert instance(airflow, run_id, task_id)["state"] == "success"
    assert worker_starts(airflow, run_id, task_id) == 1


def test_an_operators_xcoms_are_those_of_one_in_a_worker(airflow: LocalAirflow, run_id: str) -> None:
    found = airflow.api.xcoms("direct_start", run_id, "operator")
    usual = airflow.api.xcoms("direct_start", run_id, "operator_with_outlets")
    assert set(found) == set(usual)
    assert found["return_value"] == found["runway_task_id"]
    assert airflow.api.xcom("direct_start", run_id, "after_operator") == f"got {found['video_url']}"


def test_an_operator_with_outlets_takes_a_worker_to_end(airflow: LocalAirflow, run_id: str) -> None:
    assert instance(airflow, run_id, "operator_with_outlets")["state"] == "success"
    assert worker_starts(airflow, run_id, "operator_with_outlets") == 2


def test_each_mapped_sensor_has_the_xcoms_of_its_own_video(airflow: LocalAirflow, run_id: str) -> None:
    urls = [
        airflow.api.xcom("direct_start", run_id, "mapped", "video_url", map_index=index) for index in (0, 1)
    ]
    assert urls[0] == airflow.api.xcom("direct_start", run_id, "ready")
    assert urls[1] != urls[0]


def test_a_cleared_sensor_leaves_nothing_of_its_first_video(
    airflow: LocalAirflow, simulator: LocalSimulator
) -> None:
    run_id = airflow.api.trigger_dag("cleared")
    assert airflow.api.wait_for_run("cleared", run_id, timeout=240) == "success"
    first = airflow.api.xcom("cleared", run_id, "wait")
    assert airflow.api.xcom("cleared", run_id, "seen") == [first, first]
    simulator.add_fault(kind="moderation")
    airflow.api.clear("cleared", run_id, ["generate", "wait", "seen"])
    airflow.api.wait_for_task("cleared", run_id, "wait", {"failed"}, timeout=240)
    airflow.api.wait_for_run("cleared", run_id, timeout=240)
    assert airflow.api.xcom("cleared", run_id, "seen") == [None, None]


def test_a_triggerer_that_dies_does_not_move_the_deadline(
    airflow: LocalAirflow, simulator: LocalSimulator
) -> None:
    run_id = airflow.api.trigger_dag("interrupted", {"ids": {"stuck": create(simulator, "stuck")}})
    airflow.api.wait_for_task("interrupted", run_id, "wait", {"deferred"}, timeout=240)
    deadline = trigger_timeout(airflow, run_id) - DEFERRAL_MARGIN
    airflow.kill("triggerer")
    airflow.start("triggerer")
    assert airflow.api.wait_for_run("interrupted", run_id, timeout=400) == "failed"
    (error,) = airflow.api.errors("interrupted", run_id)["wait"]
    named = re.search(r"deadline (.+?) UTC\)", error)
    assert named, error
    moment = datetime.fromisoformat(named[1]).replace(tzinfo=timezone.utc)
    assert moment.timestamp() == pytest.approx(deadline, abs=1)


def told(airflow: LocalAirflow, beginning: str) -> None:
    """Wait for what a callback leaves behind; Airflow runs it some time after the end of the task."""
    airflow.api.wait_until(
        f"a file {beginning}*", lambda: next(airflow.folder.glob(f"{beginning}*"), None), timeout=120
    )


def trigger_timeout(airflow: LocalAirflow, run_id: str) -> float:
    """Return when Airflow ends the deferral of ``wait``, epoch seconds."""
    with closing(sqlite3.connect(airflow.folder / "airflow.db")) as database:
        (found,) = database.execute(
            "select trigger_timeout from task_instance where run_id = ? and task_id = 'wait'", (run_id,)
        ).fetchone()
    return datetime.fromisoformat(f"{found}+00:00").timestamp()

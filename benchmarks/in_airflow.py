"""The same wait many times at once in a full Airflow, written in three ways: what it costs in workers."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.local_server import LocalServer
from benchmarks.server import Task
from benchmarks.tables import table
from tests.harness.local_airflow import LocalAirflow
from tests.harness.processes import HarnessError

#: Row to its import and its sensor.
WAYS = {
    "ours, default": (
        "from airflow_provider_runway.sensors.runway import RunwayTaskSensor",
        "RunwayTaskSensor(task_id=name, runway_task_id=runway_task_id, deferrable=True)",
    ),
    "`HttpSensor`, deferrable, 5 s": (
        "from airflow.providers.http.sensors.http import HttpSensor",
        'HttpSensor(task_id=name, endpoint=f"ready/{runway_task_id}", deferrable=True, poke_interval=5)',
    ),
    "`HttpSensor`, `mode='reschedule'`, 5 s": (
        "from airflow.providers.http.sensors.http import HttpSensor",
        'HttpSensor(task_id=name, endpoint=f"ready/{runway_task_id}", mode="reschedule", poke_interval=5)',
    ),
}

_DAG = """\
from airflow.sdk import DAG
{imports}

with DAG({dag_id!r}, schedule=None, max_active_tasks=1000):
    for name, runway_task_id in {tasks!r}.items():
        {sensor}
"""

#: A line of the API server's access log: each worker process asks once whether it may run its task, and says
#: once how that ended.
_REQUEST = re.compile(r"^(\S+Z) .*path=/execution/task-instances/([0-9a-f-]+)/(run|state) ")


def run(*, sensors: int, patience: float) -> str:
    """
    Run each way in turn in one Airflow and return the table.

    :param sensors: How many wait at once.
    :param patience: Seconds that each way has.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-") as name:
        folder = Path(name)
        dags = folder / "dags"
        dags.mkdir()
        with LocalServer(folder, https=False) as server:
            connections: dict[str, dict[str, Any]] = {
                "runway_default": {"conn_type": "runway", "host": server.url, "password": "benchmark-key"},
                "http_default": {"conn_type": "http", "host": server.url},
            }
            with LocalAirflow(folder / "airflow", dags_folder=dags, connections=connections) as airflow:
                for number, (title, (imports, sensor)) in enumerate(WAYS.items()):
                    began = _log_size(airflow)
                    # They are made while Airflow reads the DAG, and ready well after it has begun to wait.
                    created_at = time.time() + 20
                    tasks = [
                        Task(created_at, created_at + 30 + 15 * index / sensors, index)
                        for index in range(sensors)
                    ]
                    dag_id = f"way_{number}"
                    (dags / f"{dag_id}.py").write_text(
                        _DAG.format(
                            imports=imports,
                            dag_id=dag_id,
                            tasks={f"wait_{task.number}": task.id for task in tasks},
                            sensor=sensor,
                        )
                    )
                    run_id = airflow.api.trigger_dag(dag_id)
                    try:
                        state = airflow.api.wait_for_run(dag_id, run_id, timeout=patience)
                    except HarnessError:
                        state = "not over in time"
                    ends = _delays(airflow, dag_id, run_id, tasks)
                    starts, held = _workers(airflow, began)
                    rows.append(
                        [
                            title,
                            str(starts),
                            f"{starts / sensors:.1f}",
                            f"{held:.0f} s",
                            f"{median(ends):.1f} s" if ends else "",
                            f"{ends[int(len(ends) * 0.95)]:.1f} s" if ends else "",
                            f"{len(ends)} of {sensors} ({state})",
                        ]
                    )
                    print(f"  {rows[-1]}", file=sys.stderr, flush=True)
                    if state == "not over in time":
                        airflow.api.request(
                            "PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"}
                        )
    head = [
        "the wait",
        "worker processes started",
        "a sensor",
        "held together",
        "ready → downstream may start, p50",
        "p95",
        "succeeded",
    ]
    version = importlib.metadata.version("apache-airflow")
    return f"### {sensors} sensors at once, Airflow {version}, LocalExecutor, 8 workers\n\n" + table(
        head, rows
    )


def _log_size(airflow: LocalAirflow) -> int:
    return airflow.processes.log_file("api-server").stat().st_size


def _workers(airflow: LocalAirflow, began: int) -> tuple[int, float]:
    """Return how many worker processes began a task since, and for how many seconds they had one."""
    starts, held = 0, 0.0
    running: dict[str, float] = {}
    with airflow.processes.log_file("api-server").open("rb") as log:
        log.seek(began)
        for line in log.read().decode("utf-8", "replace").splitlines():
            if not (found := _REQUEST.search(line)):
                continue
            moment = datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp()
            if found[3] == "run":
                starts += 1
                running[found[2]] = moment
            elif found[2] in running:
                held += moment - running.pop(found[2])
    return starts, held


def _delays(airflow: LocalAirflow, dag_id: str, run_id: str, tasks: list[Task]) -> list[float]:
    """Return, sorted, the seconds from when a task was ready to when its sensor had succeeded."""
    ready_at = {f"wait_{task.number}": task.ready_at for task in tasks}
    return sorted(
        datetime.fromisoformat(instance["end_date"].replace("Z", "+00:00")).timestamp()
        - ready_at[instance["task_id"]]
        for instance in airflow.api.task_instances(dag_id, run_id)
        if instance["state"] == "success"
    )

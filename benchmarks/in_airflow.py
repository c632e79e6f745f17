"""Many waits at once in a full Airflow, written in several ways: what each costs in workers."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.local_server import LocalServer
from benchmarks.server import Task
from benchmarks.tables import Found, table
from tests.harness.local_airflow import LocalAirflow
from tests.harness.processes import HarnessError

NOT_OVER = "not over in time"


@dataclass(frozen=True)
class Way:
    """
    A way to wait.

    :param title: The row's.
    :param imports: A line of the DAG file.
    :param tasks: Lines of the DAG file, for Runway task IDs in ``ids``.
    :param submits: Whether its tasks submit videos of their own instead of waiting for those.
    """

    title: str
    imports: str
    tasks: str
    submits: bool = False


_SENSOR = "from airflow_provider_runway.sensors.runway import RunwayTaskSensor"
_OPERATOR = "from airflow_provider_runway.operators.runway import RunwayGenerateOperator"
_HTTP = "from airflow.providers.http.sensors.http import HttpSensor"

OURS = "ours: sensor"
PEER = "`HttpSensor`, deferrable, 5 s"
PEER_RESCHEDULE = "`HttpSensor`, `mode='reschedule'`, 5 s"

WAYS = [
    Way(OURS, _SENSOR, "[RunwayTaskSensor(task_id=f'wait_{i}', runway_task_id=id, deferrable=True) "
        "for i, id in enumerate(ids)]"),
    Way("ours: mapped sensor", _SENSOR, "RunwayTaskSensor.partial(task_id='wait', deferrable=True)"
        ".expand(runway_task_id=ids)"),
    Way("ours: operator that submits and waits", _OPERATOR,
        "[RunwayGenerateOperator(task_id=f'wait_{i}', prompt=f'Boat {i}', wait_for_completion=True, "
        "deferrable=True) for i in range(len(ids))]", submits=True),
    Way(PEER, _HTTP, "[HttpSensor(task_id=f'wait_{i}', endpoint=f'ready/{id}', deferrable=True, "
        "poke_interval=5) for i, id in enumerate(ids)]"),
    Way(PEER_RESCHEDULE, _HTTP, "[HttpSensor(task_id=f'wait_{i}', endpoint=f'ready/{id}', "
        "mode='reschedule', poke_interval=5) for i, id in enumerate(ids)]"),
]  # fmt: skip

_DAG = """\
from airflow.sdk import DAG
{imports}

ids = {ids!r}
with DAG({dag_id!r}, schedule=None, max_active_tasks=1000):
    {tasks}
"""

HEAD = [
    "the wait",
    "worker processes started",
    "per wait",
    "worker time in total",
    "ready → downstream can start, p50",
    "p95",
    "succeeded",
]

#: A line of the API server's access log: each worker process asks once whether it may run its task, and says
#: once how that ended.
_REQUEST = re.compile(r"^(\S+Z) .*path=/execution/task-instances/([0-9a-f-]+)/(run|state) ")


def run(
    *,
    tasks: int,
    patience: float,
    ways: list[Way] | None = None,
    keep: Callable[[str], None] = lambda _: None,
) -> Found:
    """
    Run each way in turn in one Airflow and return the table.

    :param tasks: How many wait at once.
    :param patience: Seconds that each way has.
    :param ways: The rows; ``None`` means all.
    :param keep: Is given the table as far as it is known.
    """
    rows: list[list[str]] = []
    facts: dict[str, str] = {}
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
                for number, way in enumerate(ways or WAYS):
                    rows.append(_run_way(airflow, way, f"way_{number}", dags, tasks, patience))
                    facts[f"{way.title}, starts"] = rows[-1][1]
                    print(f"  {rows[-1]}", file=sys.stderr, flush=True)
                    keep(_text(rows, tasks))
    return Found(_text(rows, tasks), facts)


def _text(rows: list[list[str]], tasks: int) -> str:
    version = importlib.metadata.version("apache-airflow")
    ready = f"{_lead(tasks) + 30:.0f} to {_lead(tasks) + 45:.0f} s"
    conditions = (
        f"One row after another in one Airflow {version} with the LocalExecutor, 8 workers, one triggerer "
        f"and SQLite. A sensor's video is ready {ready} after the DAG file was written, when all are "
        "waiting; an operator's 30 to 45 s after it was submitted. Worker processes are counted by their "
        "requests to the API server."
    )
    return f"### {tasks} waits at once, Airflow {version}\n\n{conditions}\n\n{table(HEAD, rows)}"


def _lead(tasks: int) -> float:
    return 20 + tasks / 8


def _run_way(
    airflow: LocalAirflow, way: Way, dag_id: str, dags: Path, count: int, patience: float
) -> list[str]:
    began = log_size(airflow)
    # Ready when all have begun to wait: until then Airflow reads the DAG, and starts workers for some.
    created_at = time.time() + _lead(count)
    tasks = [Task(created_at, created_at + 30 + 15 * index / count, index) for index in range(count)]
    (dags / f"{dag_id}.py").write_text(
        _DAG.format(imports=way.imports, dag_id=dag_id, ids=[task.id for task in tasks], tasks=way.tasks)
    )
    run_id = airflow.api.trigger_dag(dag_id)
    try:
        state = airflow.api.wait_for_run(dag_id, run_id, timeout=patience)
    except HarnessError:
        state = NOT_OVER
    starts, held = workers(airflow, began)
    ends = _delays(airflow, dag_id, run_id, way, tasks)
    if state == NOT_OVER:
        airflow.api.request("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
    return [
        way.title,
        str(starts),
        f"{starts / count:.1f}",
        f"{held:.0f} s",
        f"{median(ends):.1f} s" if ends else "",
        f"{ends[int(len(ends) * 0.95)]:.1f} s" if ends else "",
        f"{len(ends)} of {count}" + ("" if state == "success" else f" ({state})"),
    ]


def log_size(airflow: LocalAirflow) -> int:
    return airflow.processes.log_file("api-server").stat().st_size


def workers(airflow: LocalAirflow, began: int) -> tuple[int, float]:
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


def starts_by_instance(airflow: LocalAirflow, began: int) -> Counter[str]:
    """Return how many worker processes began each task instance since, by its ID."""
    with airflow.processes.log_file("api-server").open("rb") as log:
        log.seek(began)
        text = log.read().decode("utf-8", "replace")
    found = map(_REQUEST.search, text.splitlines())
    return Counter(request[2] for request in found if request and request[3] == "run")


def _delays(airflow: LocalAirflow, dag_id: str, run_id: str, way: Way, tasks: list[Task]) -> list[float]:
    """Return, sorted, the seconds from when a task was ready to when the one that waited had succeeded."""
    ends = []
    for instance in airflow.api.task_instances(dag_id, run_id):
        if instance["state"] != "success":
            continue
        name, index = instance["task_id"], instance["map_index"]
        if way.submits:
            task = Task.from_id(str(airflow.api.xcom(dag_id, run_id, name, map_index=index)))
        else:
            task = tasks[index if index >= 0 else int(name.rpartition("_")[2])]
        ended = datetime.fromisoformat(instance["end_date"].replace("Z", "+00:00")).timestamp()
        ends.append(ended - task.ready_at)
    return sorted(ends)

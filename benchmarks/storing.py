"""From the prompt to the file in a full Airflow, written in several ways: what a video costs in workers."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from benchmarks.in_airflow import NOT_OVER, log_size, workers
from benchmarks.tables import Found, table
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.processes import HarnessError


@dataclass(frozen=True)
class Way:
    """
    A way to make and store a video.

    :param title: The row's.
    :param body: Lines of the DAG file that make the tasks of one video, number ``i``, whose file is ``path``.
    """

    title: str
    body: str


OURS = "ours: one task, `path=`"
THREE = "ours: operator, sensor, download"
PEER = "HTTP provider: `HttpOperator`, `HttpSensor`, a `@task` with `HttpHook`"

WAYS = [
    Way(OURS, """
RunwayGenerateOperator(task_id=f"video_{i}", prompt=f"Boat {i}", path=path, deferrable=True)
"""),
    Way(THREE, """
made = RunwayGenerateOperator(task_id=f"make_{i}", prompt=f"Boat {i}", deferrable=True)
there = RunwayTaskSensor(task_id=f"wait_{i}", runway_task_id=made.output, deferrable=True)
RunwayDownloadOperator(task_id=f"video_{i}", video_url=there.output, path=path)
"""),
    # With a check of the answer, the sensor waits in a worker, deferrable or not: so it is rescheduled.
    Way(PEER, """
made = HttpOperator(
    task_id=f"make_{i}",
    endpoint="api/v1/runway/generate",
    data=json.dumps({"prompt": f"Boat {i}", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}),
    headers=HEADERS,
    response_filter=task_id,
)
there = HttpSensor(
    task_id=f"wait_{i}",
    endpoint="api/v1/runway/record-detail",
    request_params={"taskId": made.output},
    headers=HEADERS,
    response_check=is_done,
    mode="reschedule",
    poke_interval=10,
)
there >> store.override(task_id=f"video_{i}")(made.output, path)
"""),
]  # fmt: skip

_DAG = """\
import json
from pathlib import Path

from airflow.providers.http.hooks.http import HttpHook
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG, task

from airflow_provider_runway.operators.runway import RunwayDownloadOperator, RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

HEADERS = {{"Authorization": "Bearer benchmark-key", "Content-Type": "application/json"}}


def task_id(response):
    return response.json()["data"]["taskId"]


def is_done(response):
    return response.json()["data"]["state"] == "success"


@task
def store(runway_task_id, path):
    hook = HttpHook("GET")
    found = hook.run("api/v1/runway/record-detail", {{"taskId": runway_task_id}}, HEADERS).json()
    url = found["data"]["videoInfo"]["videoUrl"]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with hook.get_conn().get(url, stream=True, timeout=30) as answer, open(path, "wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(256 * 1024):
            file.write(chunk)


with DAG({dag_id!r}, schedule=None, max_active_tasks=1000):
    for i in range({count}):
        path = f"{folder}/{{i}}.mp4"
{body}
"""

HEAD = [
    "written as",
    "worker processes started per video",
    "worker seconds per video",
    "prompt to file, p50",
    "p95",
    "complete files",
]


def run(*, videos: int, patience: float, keep: Callable[[str], None] = lambda _: None) -> Found:
    """
    Make and store as many videos each way, in turn in one Airflow, and return the table.

    :param videos: How many at once.
    :param patience: Seconds that each way has.
    :param keep: Is given the table as far as it is known.
    """
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-") as name:
        folder = Path(name)
        (folder / "dags").mkdir()
        options = ["--no-render", "--rate-limit", "0", "--running-limit", "0", "--balance", "1000000"]
        with LocalSimulator(folder / "simulator", options=options) as simulator:
            connections = {
                "runway_default": {**simulator.connection, "password": "benchmark-key"},
                "http_default": {"conn_type": "http", "host": simulator.url},
            }
            with LocalAirflow(
                folder / "airflow", dags_folder=folder / "dags", connections=connections
            ) as airflow:
                for number, way in enumerate(WAYS):
                    rows.append(_run_way(airflow, way, f"way_{number}", folder, videos, patience))
                    print(f"  {rows[-1]}", file=sys.stderr, flush=True)
                    keep(_text(rows, videos))
    facts = {name: value for row in rows for name, value in facts_of(row).items()}
    return Found(_text(rows, videos), facts)


def facts_of(row: list[str]) -> dict[str, str]:
    """
    Return the numbers of a row that the summary needs, by name.

    :param row: As it is printed.
    """
    title, starts, held, *_ = row
    return {f"{title}, starts per video": starts, f"{title}, seconds per video": held}


def _text(rows: list[list[str]], videos: int) -> str:
    version = importlib.metadata.version("apache-airflow")
    conditions = (
        f"{videos} videos at once, one row after another in one Airflow {version} with the LocalExecutor, 8 "
        "workers, one triggerer and SQLite, against one simulator. Worker processes are counted by their "
        "requests to the API server; prompt to file is from the start of the first task to the end of the "
        "last."
    )
    return f"### From the prompt to the file\n\n{conditions}\n\n{table(HEAD, rows)}"


def _run_way(
    airflow: LocalAirflow, way: Way, dag_id: str, folder: Path, count: int, patience: float
) -> list[str]:
    began = log_size(airflow)
    files = folder / "files" / dag_id
    body = "\n".join(f"        {line}" for line in way.body.strip().splitlines())
    source = _DAG.format(dag_id=dag_id, count=count, folder=files, body=body)
    (folder / "dags" / f"{dag_id}.py").write_text(source)
    run_id = airflow.api.trigger_dag(dag_id)
    try:
        airflow.api.wait_for_run(dag_id, run_id, timeout=patience)
        state = ""
    except HarnessError:
        state = f" ({NOT_OVER})"
    starts, held = workers(airflow, began)
    begins: dict[str, list[datetime]] = {}
    ends: dict[str, datetime] = {}
    for instance in airflow.api.task_instances(dag_id, run_id):
        step, _, number = instance["task_id"].rpartition("_")
        if instance["start_date"]:
            begins.setdefault(number, []).append(_moment(instance["start_date"]))
        if step == "video" and instance["state"] == "success":
            ends[number] = _moment(instance["end_date"])
    took = sorted((end - min(begins[number])).total_seconds() for number, end in ends.items())
    if state:
        airflow.api.request("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
    whole = [path for path in files.glob("*.mp4") if path.read_bytes()[4:8] == b"ftyp"]
    return [
        way.title,
        f"{starts / count:.1f}",
        f"{held / count:.1f}",
        f"{median(took):.0f} s" if took else "",
        f"{took[int(len(took) * 0.95)]:.0f} s" if took else "",
        f"{len(whole)} of {count}{state}",
    ]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


if __name__ == "__main__":
    print(run(videos=int(sys.argv[1]) if len(sys.argv) > 1 else 200, patience=900.0).text)

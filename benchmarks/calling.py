"""From a video's end at kie.ai to the task's end in a full Airflow: with callbacks and with polling only."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import requests

from benchmarks.in_airflow import NOT_OVER, log_size, starts_by_instance
from benchmarks.tables import Found, table
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_postgres import LocalPostgres
from tests.harness.local_simulator import LocalSimulator
from tests.harness.processes import HarnessError, free_port

#: Videos of one run of the DAG, which begin together.
TOGETHER = 4
#: Seconds from one run to the next. A video takes up to three worker starts, the task after it included, each
#: of some 0.7 s of CPU in all of Airflow. Four videos in six seconds leave two cores some air, so that it is
#: not just measured how long a start waits for its turn.
PAUSE = 6.0

_WEBHOOK_KEY = "whsec-benchmark"


@dataclass(frozen=True)
class Side:
    """
    A way to learn of a video's end.

    :param title: The row's.
    :param arguments: Arguments of the operator, as they stand in the DAG file.
    :param troubled: Every third callback is dropped, and every fifth sent three times.
    """

    title: str
    arguments: str
    troubled: bool = False


DEFAULT = "polling only, default schedule"
FIXED = "polling only, every 5 s"
CALLED = "callbacks"
READ = "callbacks, `callback_wake: trigger`"
TROUBLED = "callbacks, every third dropped, every fifth sent three times"
ARRIVED, DROPPED = f"{TROUBLED}: those that arrived", f"{TROUBLED}: those that did not"

SIDES = [
    Side(DEFAULT, 'callback_url=""'),
    Side(FIXED, 'callback_url="", poll_interval=5'),
    Side(CALLED, ""),
    Side(READ, 'runway_conn_id="runway_read"'),
    Side(TROUBLED, "", troubled=True),
]

_DAG = """\
from airflow.sdk import DAG, task, task_group

from airflow_provider_runway.operators.runway import RunwayGenerateOperator


@task
def after(runway_task_id):
    return runway_task_id


@task_group
def make(prompt):
    video = RunwayGenerateOperator(
        task_id="video", prompt=prompt, wait_for_completion=True, deferrable=True, {arguments}
    )
    after(video.output)


with DAG({dag_id!r}, schedule=None, max_active_tasks=1000, max_active_runs=1000):
    make.expand(prompt=[f"Boat {{i}}" for i in range({together})])
"""

HEAD = [
    "end detected by",
    "end at kie.ai → task finished, p50",
    "p95",
    "p50 ÷ default schedule's",
    "→ downstream task starts, p50",
    "p95",
    "status requests per task",
    "worker starts per task",
    "callbacks accepted",
    "succeeded",
    "ran or paid twice",
]


@dataclass(frozen=True)
class Ending:
    """
    What became of one video.

    :param over: Seconds from its end at kie.ai to the end of the task, ``None`` where that has not succeeded.
    :param downstream: The same to the start of the task after it.
    :param lookups: How often its state was asked for.
    :param starts: How many worker processes ran its task.
    :param twice: Whether its task or the one after it ran more often than it should.
    :param runway_task_id: Its ID, empty where the task left none.
    """

    over: float | None
    downstream: float | None
    lookups: int
    starts: int
    twice: bool
    runway_task_id: str


def run(
    *,
    videos: int,
    patience: float,
    pause: float = PAUSE,
    sides: list[Side] | None = None,
    keep: Callable[[str], None] = lambda _: None,
) -> Found:
    """
    Make as many videos on each side, one side after another in one Airflow, and return the table.

    :param videos: How many on each side, a multiple of :data:`TOGETHER`.
    :param patience: Seconds that each side has after its last run was started.
    :param pause: Seconds from one run of :data:`TOGETHER` videos to the next.
    :param sides: The sides, the default schedule first; ``None`` means all.
    :param keep: Is given the table as far as it is known.
    """
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-") as name:
        folder = Path(name)
        (folder / "dags").mkdir()
        options = ["--no-render", "--rate-limit", "0", "--running-limit", "0", "--balance", "1000000"]
        port = free_port()
        with (
            LocalPostgres(folder / "postgres") as postgres,
            LocalSimulator(
                folder / "simulator", options=[*options, "--webhook-key", _WEBHOOK_KEY]
            ) as simulator,
        ):
            called = {"callback_base_url": f"http://127.0.0.1:{port}", "webhook_hmac_key": _WEBHOOK_KEY}
            connection = {**simulator.connection, "password": "benchmark-key"}
            connection["extra"] = {**connection["extra"], **called}
            read = {**connection, "extra": {**connection["extra"], "callback_wake": "trigger"}}
            with LocalAirflow(
                folder / "airflow",
                dags_folder=folder / "dags",
                connections={"runway_default": connection, "runway_read": read},
                port=port,
                database_url=postgres.url,
            ) as airflow:
                # The first end after a triggerer's start takes it seconds, in which it loads what it needs.
                _run_side(airflow, simulator, SIDES[0], "first", folder / "dags", TOGETHER, patience, pause)
                base: float | None = None
                for number, side in enumerate(sides or SIDES):
                    endings, calls = _run_side(
                        airflow, simulator, side, f"side_{number}", folder / "dags", videos, patience, pause
                    )
                    base = base or _median([ending.over for ending in endings])
                    new = rows_of(side, endings, calls, base)
                    rows += new
                    for row in new:
                        print(f"  {row}", file=sys.stderr, flush=True)
                    keep(_text(rows, videos, pause))
    facts = {name: value for row in rows for name, value in facts_of(row).items()}
    return Found(_text(rows, videos, pause), facts)


def facts_of(row: list[str]) -> dict[str, str]:
    """
    Return the numbers of a row that the summary needs, by name.

    :param row: As it is printed.
    """
    title, over = row[:2]
    return {f"{title}, over": over, f"{title}, status requests": row[HEAD.index("status requests per task")]}


def rows_of(
    side: Side, endings: Collection[Ending], calls: Collection[dict[str, Any]], base: float | None
) -> list[list[str]]:
    """
    Return the rows of a side: one, and where callbacks were dropped, one for each fate of a callback.

    :param side: The side.
    :param endings: What became of its videos.
    :param calls: The callbacks, as the simulator has noted them.
    :param base: The median of the default schedule in seconds, if it is known.
    """
    if not side.troubled:
        return [_row(side.title, endings, calls, base)]
    dropped = {call["task_id"] for call in calls if call["status"] == "dropped"}
    came = [ending for ending in endings if ending.runway_task_id not in dropped]
    missing = [ending for ending in endings if ending.runway_task_id in dropped]
    sent = [call for call in calls if call["status"] != "dropped"]
    return [_row(ARRIVED, came, sent, base), _row(DROPPED, missing, [], base)]


def faults(videos: int) -> list[dict[str, Any]]:
    """
    Return the faults by which every third callback is dropped and every fifth of the others sent three times.

    :param videos: How many creations there will be.
    """
    found: list[dict[str, Any]] = []
    for number in range(videos):
        if number % 3 == 2:
            trouble: dict[str, Any] = {"kind": "callback_dropped"}
        elif number % 5 == 4:
            trouble = {"kind": "callback_repeated", "times": 3}
        else:
            continue
        # A creation that meets an earlier fault does not count for the later ones.
        found.append({**trouble, "count": 1, "after": number - len(found)})
    return found


def _text(rows: list[list[str]], videos: int, pause: float) -> str:
    version = importlib.metadata.version("apache-airflow")
    conditions = (
        f"{videos} videos per side, {TOGETHER} mapped tasks per run and a run every {pause:g} s, one side "
        f"after another in one Airflow {version} with the LocalExecutor, 8 workers, one triggerer and "
        "PostgreSQL, against one simulator at kie.ai's pace, which calls the API server over HTTP; a "
        "warm-up run is not counted. All times are measured from the video's end at kie.ai. The downstream "
        "task is a `@task`, which also needs a worker; worker starts count the video's task only."
    )
    return f"### From kie.ai's end to the task's\n\n{conditions}\n\n{table(HEAD, rows)}"


def _row(
    title: str, endings: Collection[Ending], calls: Collection[dict[str, Any]], base: float | None
) -> list[str]:
    over = sorted(ending.over for ending in endings if ending.over is not None)
    downstream = sorted(ending.downstream for ending in endings if ending.downstream is not None)
    count = len(endings) or 1
    taken = sum(call["status"] == 200 for call in calls)
    return [
        title,
        *_quantiles(over),
        f"{median(over) / base:.2f}" if over and base else "",
        *_quantiles(downstream),
        f"{sum(ending.lookups for ending in endings) / count:.1f}",
        f"{sum(ending.starts for ending in endings) / count:.1f}",
        f"{taken} of {len(calls)}" if calls else "",
        f"{min(len(over), len(downstream))} of {len(endings)}",
        str(sum(ending.twice for ending in endings)),
    ]


def _quantiles(values: list[float]) -> tuple[str, str]:
    if not values:
        return "", ""
    return f"{median(values):.1f} s", f"{values[int(len(values) * 0.95)]:.1f} s"


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _run_side(
    airflow: LocalAirflow,
    simulator: LocalSimulator,
    side: Side,
    dag_id: str,
    dags: Path,
    videos: int,
    patience: float,
    pause: float,
) -> tuple[list[Ending], list[dict[str, Any]]]:
    simulator.control("POST", "reset")
    if side.troubled:
        simulator.control("POST", "faults", json=faults(videos))
    began = log_size(airflow)
    source = _DAG.format(dag_id=dag_id, arguments=side.arguments, together=TOGETHER)
    (dags / f"{dag_id}.py").write_text(source)
    airflow.api.wait_for_dag(dag_id)
    run_ids = []
    start = time.monotonic()
    for number in range(videos // TOGETHER):
        time.sleep(max(0.0, start + number * pause - time.monotonic()))
        run_ids.append(airflow.api.trigger_dag(dag_id))
    deadline = time.monotonic() + patience
    for run_id in run_ids:
        try:
            airflow.api.wait_for_run(dag_id, run_id, timeout=max(1.0, deadline - time.monotonic()))
        except HarnessError:
            print(f"  {dag_id} {run_id}: {NOT_OVER}", file=sys.stderr, flush=True)
    starts = starts_by_instance(airflow, began)
    seen = simulator.stats()
    endings: list[Ending] = []
    for run_id in run_ids:
        endings += _endings(airflow, dag_id, run_id, starts, seen)
        if airflow.api.dag_run_state(dag_id, run_id) not in ("success", "failed"):
            airflow.api.request("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
    # A video that no task knows of was paid for by one that has another.
    known = {ending.runway_task_id for ending in endings}
    lost = [task for task in seen["tasks"] if task["task_id"] not in known]
    endings += [Ending(None, None, task["lookups"], 0, True, task["task_id"]) for task in lost]
    return endings, list(seen["callbacks"])


def _endings(
    airflow: LocalAirflow, dag_id: str, run_id: str, starts: Counter[str], seen: dict[str, Any]
) -> list[Ending]:
    made = {task["task_id"]: task for task in seen["tasks"]}
    found = airflow.api.task_instances(dag_id, run_id)
    instances = {(each["task_id"], each["map_index"]): each for each in found}
    endings = []
    for index in range(TOGETHER):
        video, after = instances[("make.video", index)], instances[("make.after", index)]
        over, downstream = None, None
        try:
            key = "runway_task_id"
            runway_task_id = str(airflow.api.xcom(dag_id, run_id, "make.video", key, map_index=index))
        except requests.HTTPError:
            runway_task_id = ""
        task = made.get(runway_task_id)
        if task is not None and video["state"] == "success":
            over = _moment(video["end_date"]) - task["ends_at"]
            if after["state"] == "success":
                downstream = _moment(after["start_date"]) - task["ends_at"]
        endings.append(
            Ending(
                over=over,
                downstream=downstream,
                lookups=task["lookups"] if task else 0,
                starts=starts[video["id"]],
                # One start to submit, and one to go on.
                twice=starts[video["id"]] > 2 or starts[after["id"]] > 1 or video["try_number"] > 1,
                runway_task_id=runway_task_id,
            )
        )
    return endings


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    print(run(videos=int(sys.argv[1]) if len(sys.argv) > 1 else 200, patience=600.0).text)

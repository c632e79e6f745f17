"""``make demo``: one command from a clone to three videos, made by a DAG in a running Airflow.

Everything it writes lies in ``.demo/``. Without a key of one's own it asks the simulated kie.ai, which draws
real videos; with ``RUNWAY_API_KEY`` it asks the real one, which costs credits.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from airflow_provider_runway.links.addresses import GALLERY_TAB
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.processes import (
    OWN_FOLDER,
    REPOSITORY,
    HarnessError,
    end_marked_processes,
    free_port,
    port_is_free,
    renew_folder,
)
from tests.harness.progress import Progress
from tests.harness.video import describe_video

DAG_ID = "complete_story"
TASKS = (
    *("generate", "wait_for_generated", "download_generated"),
    *("extend", "wait_for_extended", "download_extended"),
    *("restyle", "wait_for_restyled", "download_restyled"),
)
# Enough to see every state pass by, short enough not to bore.
SIMULATOR_SPEED = 4
#: In the folder of an Airflow that has spent credits: its logs, with the Runway task IDs, are never deleted.
REAL_SERVICE = "asked-the-real-service"


def main() -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="leave Airflow running until Ctrl-C")
    parser.add_argument("--port", type=int, help="port of Airflow's UI (default: 8080, or a free one)")
    parser.add_argument(
        "--simulator-port", type=int, help="port of the simulator (default: 8089, or a free one)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPOSITORY / ".demo",
        help="everything is written there (default: .demo)",
    )
    parser.add_argument(
        "--callbacks", action="store_true", help="let the simulated kie.ai call back when a video is done"
    )
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    # `kill` and a closed terminal end the demo as orderly as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with _the_only_demo(folder):
            return _run(folder, arguments)
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.")
        if (folder / "airflow" / REAL_SERVICE).exists():
            print(
                "kie.ai goes on with what was submitted to it, and charges for it. The Runway task IDs are "
                f"in the logs, which the next demo keeps: {folder / 'airflow' / 'logs'}"
            )
        return 130
    except (HarnessError, requests.RequestException) as error:
        print(f"\nThe demo failed: {error}\nAll logs: {folder}", file=sys.stderr)
        return 1


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _the_only_demo(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HarnessError(f"another demo is running in {folder}; stop it first.") from None
        yield


def _run(folder: Path, arguments: argparse.Namespace) -> int:
    _clean_up(folder)
    key = os.environ.get("RUNWAY_API_KEY", "").strip()
    port = _port(arguments.port, 8080, "Airflow's UI", "--port")
    simulator = None
    with ExitStack() as running:
        if key and arguments.callbacks:
            raise HarnessError("--callbacks: kie.ai cannot reach this machine; unset RUNWAY_API_KEY.")
        if key:
            print(
                "Using the real kie.ai with RUNWAY_API_KEY: this spends credits (at least 134, about $0.70)."
            )
            connection: Mapping[str, Any] = {"conn_type": "runway", "password": key}
            (folder / "airflow" / REAL_SERVICE).touch()
        else:
            simulator_port = _port(arguments.simulator_port, 8089, "the simulator", "--simulator-port")
            simulator = LocalSimulator(
                folder / "simulator", port=simulator_port, options=["--speed", str(SIMULATOR_SPEED)]
            )
            running.enter_context(simulator)
            print(f"A simulated kie.ai answers at {simulator.url} (no key, no cost).")
            extra = {**simulator.connection["extra"], "speed": SIMULATOR_SPEED}
            if arguments.callbacks:
                extra["callback_base_url"] = f"http://127.0.0.1:{port}"
            connection = {**simulator.connection, "extra": extra}
        print("Starting Airflow ...", flush=True)
        airflow = LocalAirflow(
            folder / "airflow",
            dags_folder=REPOSITORY / "example_dags",
            connections={"runway_default": connection},
            port=port,
            # The pages of the UI play the videos from there.
            config={"AIRFLOW__RUNWAY__VIDEO_ROOTS": str(folder / "videos")},
        )
        running.enter_context(airflow)
        print(f"Airflow {airflow.version} is running; its UI: {airflow.url}/dags/{DAG_ID}")
        run_id = time.strftime("demo-%Y%m%d-%H%M%S")
        code = _tell_the_story(airflow, run_id, folder / "videos")
        if simulator is not None and arguments.callbacks:
            calls = simulator.stats()["callbacks"]
            taken = sum(call["status"] == 200 for call in calls)
            print(f"The simulated kie.ai called back {len(calls)} times; Airflow took {taken} of these.")
        if arguments.ui:
            print(
                f"\nLook around at {airflow.url} (no password); Ctrl-C stops everything.\n"
                f"The videos of this run: {airflow.url}/dags/{DAG_ID}/runs/{run_id}/plugin/{GALLERY_TAB}",
                flush=True,
            )
            while True:
                airflow.processes.check()
                time.sleep(1)
        print("\nStopping ...", flush=True)
    return code


def _clean_up(folder: Path) -> None:
    ended = end_marked_processes(folder / "airflow" / "components") + end_marked_processes(
        folder / "simulator"
    )
    if ended:
        print(f"Ended {ended} processes that an interrupted run had left behind.")
    airflow = folder / "airflow"
    if (airflow / OWN_FOLDER).is_file() and (airflow / REAL_SERVICE).is_file():
        kept = folder / time.strftime("airflow-%Y%m%d-%H%M%S")
        airflow.rename(kept)
        print(f"The logs of the earlier demo with the real kie.ai are kept in {kept / 'logs'}.")
    # A run that was cut off must not go on, and pay, in this one.
    for leftover in (airflow, folder / "simulator"):
        renew_folder(leftover)


def _port(asked: int | None, usual: int, what: str, option: str) -> int:
    if asked is not None:
        if not port_is_free(asked):
            raise HarnessError(f"port {asked} ({option}, for {what}) is in use by another program.")
        return asked
    if port_is_free(usual):
        return usual
    port = free_port()
    print(f"Port {usual} is in use by another program; taking {port} for {what}.")
    return port


def _tell_the_story(airflow: LocalAirflow, run_id: str, videos: Path) -> int:
    airflow.api.trigger_dag(DAG_ID, {"folder": str(videos)}, run_id=run_id)
    print(f"\nDAG {DAG_ID}, run {run_id}:\n")
    with Progress(TASKS) as progress:
        while True:
            state = airflow.api.dag_run_state(DAG_ID, run_id)
            progress.update(airflow.api.task_states(DAG_ID, run_id))
            if state in {"success", "failed"}:
                break
            airflow.processes.check()
            time.sleep(0.5)
    if state == "failed":
        _explain(airflow, run_id)
        return 1
    _show_videos(airflow, run_id)
    return 0


def _show_videos(airflow: LocalAirflow, run_id: str) -> None:
    print("\nThe videos:\n")
    for task in TASKS:
        if task.startswith("download_"):
            path = Path(airflow.api.xcom(DAG_ID, run_id, task))
            print(f"  {path}\n      {describe_video(path)}")


def _explain(airflow: LocalAirflow, run_id: str) -> None:
    print("\nThe DAG run failed.", file=sys.stderr)
    for task, errors in airflow.api.errors(DAG_ID, run_id).items():
        print(f"\n  {task} failed:", *errors, sep="\n    ", file=sys.stderr)
        folder = airflow.log_folder / f"dag_id={DAG_ID}" / f"run_id={run_id}" / f"task_id={task}"
        print(f"  Its log: {folder}", file=sys.stderr)
    print(f"\nThe logs of Airflow itself: {airflow.processes.folder}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

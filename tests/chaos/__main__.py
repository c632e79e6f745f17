"""``make chaos``: kill everything at random moments, and see whether a video was paid for twice, or lost.

A real Airflow on PostgreSQL with the LocalExecutor and two triggerers asks a simulated kie.ai for hundreds of
videos, while its processes and the simulator are killed with SIGKILL and answers are lost, late or broken. At
the end, what the DAG asked for is compared with what was charged. Two such runs go on at the same time, with
the notes of what was submitted and without: the second shows what the notes prevent.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import requests

from airflow_provider_runway.files.mp4 import Boxes
from tests.chaos import plan
from tests.chaos.verdict import Charge, Ending, Verdict, judge
from tests.harness.documents import write_between
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_postgres import LocalPostgres
from tests.harness.local_simulator import LocalSimulator
from tests.harness.processes import (
    REPOSITORY,
    HarnessError,
    end_marked_processes,
    free_port,
    renew_folder,
)

FOLDER = REPOSITORY / ".chaos"
PAGE = REPOSITORY / "docs" / "reliability.md"
TABLE_HEAD = '| `make chaos FLAGS="'
RUN_ID = "chaos"
API_KEY = "sk-chaos-5f3e9d0c7b1a4826"
WEBHOOK_KEY = "whsec-chaos-90b2d4e6f8a1c3"
#: How many times as fast as kie.ai the simulator is.
SPEED = 2.5
TRIGGERERS = ("triggerer", "triggerer-2")
#: Seconds between a kill and the restart: some triggerers stay away long enough for the other to take over.
AWAY = {"triggerer": (1, 20), "simulator": (0, 8), "scheduler": (0, 4), "api-server": (0, 2)}

FINAL_STATES = ("success", "failed", "upstream_failed", "skipped")
#: Seconds for which a kill waits for a victim of its kind before one of another kind falls in its place.
PATIENCE = 5
#: How often troubles are added; each hits from one to four requests.
FAULTS_PER_VIDEO = 0.4

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    # A dead worker is noticed after so many seconds, and a dead scheduler's tasks are taken over.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    # A short absence of the API server is for the task's processes to sit out.
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "10",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "10",
}


def main() -> int:
    """Run it and return the exit code: 0 where, with the notes, nothing was charged twice or lost."""
    arguments = _arguments()
    folder = arguments.folder
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.notes == "both":
            return _run_both(arguments)
        for name in ("airflow/components", "simulator", "postgres"):
            end_marked_processes(folder / name)
            renew_folder(folder / name.partition("/")[0])
        with ExitStack() as running:
            return Chaos(arguments, running).run()
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.")
        return 130
    except HarnessError as error:
        print(f"\n{error}\nAll logs: {folder}", file=sys.stderr)
        return 2


def _run_both(arguments: argparse.Namespace) -> int:
    """Run with the notes and without at the same time, each in a folder of its own."""
    given = ["--tasks", arguments.tasks, "--kills", arguments.kills, "--pause", arguments.pause]
    given += ["--seed", arguments.seed, "--minutes", arguments.minutes]
    given += ["--write-docs"] if arguments.write_docs else []
    given += ["--callbacks"] if arguments.callbacks else []
    runs = {}
    for notes in ("with", "without"):
        folder = arguments.folder / notes
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.chaos", "--notes", notes, "--folder", folder, *given]
        print(f"{notes} the notes: {folder}/output.txt", flush=True)
        with (folder / "output.txt").open("w") as output:
            runs[notes] = subprocess.Popen(
                [str(part) for part in command], cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT
            )
    try:
        codes = {notes: run.wait() for notes, run in runs.items()}
    finally:
        for run in runs.values():
            # Interrupted: each stops what it has started.
            with suppress(ProcessLookupError):
                run.terminate()
            run.wait()
    for notes in runs:
        output = (arguments.folder / notes / "output.txt").read_text()
        print(f"\n{notes} the notes:\n{output[output.rfind(TABLE_HEAD) :]}", flush=True)
    # Without the notes, charges too many are what is expected.
    return codes["with"] or (0 if codes["without"] in (0, 1) else codes["without"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=300, help="videos to ask for")
    parser.add_argument("--kills", type=int, default=42, help="processes to kill")
    parser.add_argument(
        "--pause", type=float, default=6, help="mean seconds from one kill to the next, at the least"
    )
    parser.add_argument("--seed", type=int, default=None, help="decides kills and faults; default: random")
    parser.add_argument("--short", action="store_true", help="60 videos, 8 kills, with the notes: minutes")
    parser.add_argument(
        "--notes",
        choices=("both", "with", "without"),
        default=None,
        help="durable=True, durable=False (shows the charges that the notes prevent), or both at the same "
        "time; default: both, and with --short: with",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=FOLDER,
        help="where everything is written; a run ends an earlier one that still uses it",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help=f"put the tables into {PAGE.relative_to(REPOSITORY)}"
    )
    parser.add_argument(
        "--callbacks", action="store_true", help="let kie.ai call back; a lost answer comes back by that"
    )
    parser.add_argument("--minutes", type=float, default=90, help="give up after so many")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.tasks, arguments.kills, arguments.pause = 60, 8, 5
    if arguments.notes is None:
        arguments.notes = "with" if arguments.short or arguments.callbacks else "both"
    arguments.folder = arguments.folder.resolve()
    if arguments.tasks < 3:
        parser.error("--tasks must be at least 3")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(10**6)
    return arguments


class Chaos:
    """One run.

    :param arguments: those of the command line
    :param running: stops at the end what was started
    """

    def __init__(self, arguments: argparse.Namespace, running: ExitStack) -> None:
        self.arguments = arguments
        self.started = time.monotonic()
        self.kills: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._restarts: list[tuple[float, str]] = []
        self._ended = 0.0
        self._chance = random.Random(arguments.seed + 2)
        self.folder = arguments.folder
        print(f"seed {arguments.seed}; logs: {self.folder}", flush=True)
        renew_folder(self.folder / "videos")
        # Beside the file by which the next run knows the folder as its own.
        self.videos = self.folder / "videos" / "kept"
        self.postgres = running.enter_context(LocalPostgres(self.folder / "postgres"))
        self.simulator = running.enter_context(
            LocalSimulator(
                self.folder / "simulator",
                options=[
                    *("--speed", str(SPEED), "--no-render", "--balance", "1000000"),
                    *("--running-limit", "0", "--api-key", API_KEY, "--webhook-key", WEBHOOK_KEY),
                ],
            )
        )
        port = free_port()
        connection: dict[str, Any] = {**self.simulator.connection, "password": API_KEY}
        if arguments.callbacks:
            called = {"callback_base_url": f"http://127.0.0.1:{port}", "webhook_hmac_key": WEBHOOK_KEY}
            connection["extra"] = {**connection["extra"], **called, "speed": SPEED}
        self.airflow = running.enter_context(
            LocalAirflow(
                self.folder / "airflow",
                dags_folder=Path(__file__).with_name("dags"),
                connections={"runway_default": connection},
                port=port,
                database_url=self.postgres.url,
                config={
                    **SETTINGS,
                    "CHAOS_FOLDER": str(self.videos),
                    "CHAOS_TASKS": str(arguments.tasks),
                    "CHAOS_DURABLE": str(int(arguments.notes == "with")),
                },
            )
        )
        self._launch("triggerer-2")

    def run(self) -> int:
        """Do it, print the table, and return the exit code."""
        self.airflow.api.trigger_dag(plan.DAG_ID, run_id=RUN_ID)
        self._say(f"Airflow {self.airflow.version} runs; {self.arguments.tasks} videos are asked for")
        state = self._rage()
        # A process that Airflow has given up, but that nobody killed, may still be at work.
        time.sleep(5)
        self._revive(everything=True)
        self._say(f"the run has ended ({state}); comparing")
        verdict = self._judge()
        leaks, marker_found = self._leaks()
        self._print(verdict, leaks)
        if sum(self.kills.values()) < self.arguments.kills:
            print("The run ended before all kills had fallen: ask for more videos, or a shorter --pause.")
            return 2
        if not marker_found:
            print("The search for the key looked in the wrong place: it did not even find the run's name.")
            return 2
        return 0 if verdict.passed and not leaks and not self._rests() else 1

    def _rage(self) -> str:
        give_up_at = time.monotonic() + 60 * self.arguments.minutes
        blows = plan.blows(self.arguments.kills, self.arguments.seed, self.arguments.pause)
        faults = plan.faults(self.arguments.seed)
        next_fault = time.monotonic()
        next_blow = time.monotonic() + 5 + blows[0].pause if blows else float("inf")
        waiting_since: float | None = None
        next_look = 0.0
        while time.monotonic() < give_up_at:
            now = time.monotonic()
            self._revive()
            if now >= next_fault:
                self._add_fault(faults)
                next_fault = now + self._chance.uniform(0.5, 2)
            # Spread over the whole run, whatever the pace of the machine.
            due = now >= next_blow and self._ended >= 0.6 * (1 - len(blows) / self.arguments.kills)
            waiting_since = (waiting_since or now) if due else None
            if waiting_since and self._fall(blows, any_kind=now - waiting_since > PATIENCE):
                next_blow = time.monotonic() + blows[0].pause if blows else float("inf")
            if now >= next_look:
                if state := self._look():
                    return state
                next_look = time.monotonic() + 5
            time.sleep(0.2)
        raise HarnessError(f"the run has not ended after {self.arguments.minutes:g} minutes")

    def _fall(self, blows: list[plan.Blow], *, any_kind: bool) -> bool:
        """Let the first kill fall that has a victim, and tell whether one had; the others stay in the list.

        :param any_kind: where none has, let the first one fall on whatever there is
        """
        for blow in blows:
            if self._strike(blow):
                blows.remove(blow)
                return True
        if any_kind and any(self._strike(replace(blows[0], kind=kind)) for kind in plan.KILLS):
            blows.pop(0)
            return True
        return False

    def _strike(self, blow: plan.Blow) -> bool:
        """Kill; tell whether there was something to kill."""
        processes = self.airflow.processes
        if blow.kind in ("task process", "worker"):
            workers = self.airflow.busy_workers()
            if not workers:
                return False
            worker = workers[int(blow.chance * len(workers))]
            with suppress(psutil.NoSuchProcess):
                tasks = worker.children(recursive=True)
                if not tasks:
                    return False
                what = worker.cmdline()[0].rpartition("LocalExecutor:")[2].strip()
                for victim in (worker, *tasks) if blow.kind == "worker" else tasks:
                    victim.kill()
                return self._killed(blow.kind, what)
            return False
        if blow.kind == "triggerer":
            alive = [name for name in TRIGGERERS if processes.is_running(name)]
            if not alive:
                return False
            name = alive[int(blow.chance * len(alive))]
            processes.kill(name)
        elif blow.kind == "simulator":
            name = "simulator"
            if not self.simulator.processes.is_running(name):
                return False
            self.simulator.kill()
        else:
            name = "api-server" if blow.kind == "API server" else "scheduler"
            if not processes.is_running(name):
                return False
            processes.kill(name, alone=blow.kind == "scheduler alone")
        away = self._chance.uniform(*AWAY[name.removesuffix("-2")])
        self._restarts.append((time.monotonic() + away, name))
        return self._killed(blow.kind, f"{name}, away for {away:.1f} s")

    def _killed(self, kind: str, what: str) -> bool:
        self.kills[kind] += 1
        self._say(f"killed ({sum(self.kills.values())}): {kind} [{what}]")
        return True

    def _revive(self, *, everything: bool = False) -> None:
        for due, name in list(self._restarts):
            if everything or time.monotonic() >= due:
                self._restarts.remove((due, name))
                if name == "simulator":
                    self.simulator.start()
                else:
                    self._launch(name)
        # Whatever else has ended by itself did so because of a kill, as its service manager would see it.
        waiting = {name for _, name in self._restarts}
        for name in (*self.airflow.components, "triggerer-2"):
            if name not in waiting and not self.airflow.processes.is_running(name):
                self._say(f"{name} has ended by itself; starting it again")
                self._launch(name)

    def _launch(self, name: str) -> None:
        component = "triggerer" if name in TRIGGERERS else name
        ports = ("AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT")
        self.airflow.launch(name, component, {port: str(free_port()) for port in ports})

    def _add_fault(self, faults: Iterator[dict[str, Any]]) -> None:
        with suppress(requests.RequestException):
            stats = self.simulator.control("GET", "stats", params={"lists": "false"})
            # In step with the videos, so that a slow machine's do not all meet with trouble.
            if sum(self.faults.values()) < 3 + FAULTS_PER_VIDEO * stats["creation_count"]:
                fault = next(faults)
                self.simulator.add_fault(**fault)
                self.faults[fault["kind"]] += 1

    def _look(self) -> str | None:
        """Say how things stand; return the run's state once it has ended."""
        try:
            state = self.airflow.api.dag_run_state(plan.DAG_ID, RUN_ID)
            states = Counter(self.airflow.api.task_states(plan.DAG_ID, RUN_ID).values())
        except (requests.RequestException, KeyError):
            return None
        self._ended = sum(states[name] for name in FINAL_STATES) / sum(states.values())
        self._say(", ".join(f"{count} {name}" for name, count in sorted(states.items())))
        return state if state in ("success", "failed") else None

    def _judge(self) -> Verdict:
        api = self.airflow.api
        api.wait_until("the API server", lambda: api.health() or None, timeout=120)
        asked = plan.prompts(self.arguments.tasks)
        endings, watched = [], {}
        for ti in api.task_instances(plan.DAG_ID, RUN_ID):
            name, index, state = ti["task_id"], ti["map_index"], ti["state"]
            if name == "watched":
                if index >= 0 and (runway_task_id := self._watched_task(index)):
                    watched[runway_task_id] = state == "success"
                continue
            returned = stored = None
            if state == "success":
                key = "runway_task_id" if name in plan.STORING else "return_value"
                returned = api.xcom(plan.DAG_ID, RUN_ID, name, key=key, map_index=index)
                stored = self._is_stored(index, name) if name in plan.STORING else None
            error = None if state == "success" else self._error(name, index, ti["try_number"])
            endings.append(Ending(asked[name][index], state, returned, error, stored))
        stats = self.simulator.stats()
        failed = {task["task_id"] for task in stats["tasks"] if task["state"] == "fail"}
        charges = [
            Charge(made["body"]["prompt"], made["task_id"], made["task_id"] in failed)
            for made in stats["creations"]
        ]
        called = {call["task_id"] for call in stats["callbacks"] if call["status"] == 200}
        return judge(charges, endings, watched, called)

    def _is_stored(self, index: int, name: str) -> bool:
        """Return whether the file is there, with the size and the SHA-256 that the task said it has."""
        path, size, sha256 = (
            self.airflow.api.xcom(plan.DAG_ID, RUN_ID, name, key=key, map_index=index)
            for key in ("path", "size", "sha256")
        )
        content = Path(str(path)).read_bytes() if path and Path(str(path)).is_file() else b""
        boxes = Boxes()
        boxes.feed(content)
        return boxes.are_whole and len(content) == size and hashlib.sha256(content).hexdigest() == sha256

    def _rests(self) -> list[str]:
        """Return the files that nobody meant to leave."""
        return sorted(
            str(path)
            for path in self.videos.rglob("*")
            if path.suffix not in (".mp4", ".json") and path.is_file()
        )

    def _watched_task(self, index: int) -> str | None:
        path = f"/dags/{plan.DAG_ID}/dagRuns/{RUN_ID}/taskInstances/watched/{index}"
        fields = self.airflow.api.request("GET", path)["rendered_fields"]
        return str(fields["runway_task_id"]) if "runway_task_id" in fields else None

    def _error(self, task_id: str, index: int, try_number: int) -> str:
        folder = self.airflow.log_folder / f"dag_id={plan.DAG_ID}" / f"run_id={RUN_ID}" / f"task_id={task_id}"
        log = folder / f"map_index={index}" / f"attempt={try_number}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        for line in reversed(lines):
            # The last exception of the last try is what ended the task; its causes follow it.
            with suppress(ValueError):
                if causes := json.loads(line).get("error_detail"):
                    return str(causes[0]["exc_type"])
        return "no exception"

    def _leaks(self) -> tuple[list[str], bool]:
        """Search database and logs for the key; also tell whether the search finds what is surely there."""
        leaks, markers = [], 0
        files = [path for path in self.folder.rglob("*.log") if path.is_file()]
        for name, text in [
            ("the database", self.postgres.dump()),
            *((str(path), path.read_text(errors="replace")) for path in files),
        ]:
            markers += plan.DAG_ID in text
            if API_KEY in text or WEBHOOK_KEY in text:
                leaks.append(name)
        if self.simulator.stats()["violations"]:
            leaks.append("requests to result hosts")
        return leaks, markers >= 2

    def _print(self, verdict: Verdict, leaks: list[str]) -> None:
        seconds = time.monotonic() - self.started
        chosen = self.arguments
        flags = f"--seed {chosen.seed} --kills {chosen.kills} --tasks {chosen.tasks} --notes {chosen.notes}"
        unknown = f"{verdict.unknown_charged} charged, {verdict.unknown_not_charged} not"
        rows: list[tuple[str, object]] = [
            ("asked", verdict.asked),
            ("charged", verdict.charged),
            ("of these, failed at kie.ai", verdict.failed_generations),
            ("delivered", verdict.delivered),
            ("only submitted, and failed at kie.ai later", verdict.submitted_in_vain),
            ("**charged twice**", f"**{len(verdict.charged_twice)}** ({verdict.surplus} charges too many)"),
            ("**lost** (charged, no video, not called unknown)", f"**{len(verdict.lost)}**"),
            (
                "unknown, ended as `RunwaySubmissionUnknownError`",
                f"{verdict.unknown_charged + verdict.unknown_not_charged} ({unknown})",
            ),
            *(
                [("**unknown, though kie.ai had called**", f"**{len(verdict.unknown_though_called)}**")]
                if chosen.callbacks
                else []
            ),
            ("other failures", len(verdict.other_failures)),
            ("kills", f"{sum(self.kills.values())} ({_counts(self.kills)})"),
            ("faults", f"{sum(self.faults.values())} ({_counts(self.faults)})"),
            ("API key in database and logs", len(leaks)),
            ("of the delivered, stored as whole files", verdict.stored),
            ("rests of files", len(self._rests())),
            ("time", f"{seconds / 60:.1f} minutes"),
        ]
        flags += " --callbacks" if chosen.callbacks else ""
        table = f'{TABLE_HEAD}{flags}"` | |\n|---|---|\n'
        table += "".join(f"| {name} | {value} |\n" for name, value in rows)
        print(f"\n{table}")
        if chosen.write_docs and sum(self.kills.values()) >= chosen.kills:
            where = "with callbacks" if chosen.callbacks else f"{chosen.notes} notes"
            write_between(PAGE, f"chaos {where}", table)
        for title, cases in (
            ("Charged twice", verdict.charged_twice),
            ("Lost", verdict.lost),
            ("Unknown, though kie.ai had called", verdict.unknown_though_called),
            ("Other failures", verdict.other_failures),
            ("The key is in", leaks),
            ("Rests of files", self._rests()),
        ):
            if cases:
                print(f"\n{title}:\n" + "\n".join(f"  {case}" for case in cases))
        print(flush=True)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:5.0f} s  {text}", flush=True)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())

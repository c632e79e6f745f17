"""``make chaos``: kill everything at random moments, and see whether a video was paid for twice, or lost.

A real Airflow on PostgreSQL with the LocalExecutor and two triggerers asks a simulated kie.ai for hundreds of
videos, while its processes and the simulator are killed with SIGKILL and answers are lost, late or broken. At
the end, what the DAG asked for is compared with what was charged. Two such runs go on at the same time, with
the notes of what was submitted and without: the second shows what the notes prevent.

With ``--executor celery`` it is a deployment of several machines: see :mod:`tests.chaos.celery`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

from tests.chaos import plan
from tests.chaos.celery import CeleryDeployment
from tests.chaos.deployment import Deployment
from tests.chaos.evidence import RUN_ID, Evidence
from tests.chaos.options import Options, read_options
from tests.chaos.report import TABLE_HEAD, Report
from tests.chaos.storm import Storm
from tests.harness.processes import REPOSITORY, HarnessError, end_marked_processes, renew_folder


def main() -> int:
    """Run it and return the exit code: 0 where, with the notes, nothing was charged twice or lost."""
    options = read_options(__doc__)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.notes == "both":
            return _run_both(options)
        kind = CeleryDeployment if options.executor == "celery" else Deployment
        for name in kind.FOLDERS:
            end_marked_processes(options.folder / name)
            renew_folder(options.folder / name.partition("/")[0])
        print(f"seed {options.seed}; logs: {options.folder}", flush=True)
        with ExitStack() as running:
            return _run(options, kind(options, running))
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.")
        return 130
    except HarnessError as error:
        print(f"\n{error}\nAll logs: {options.folder}", file=sys.stderr)
        return 2


def _run(options: Options, deployment: Deployment) -> int:
    """Do it, print the table, and return the exit code."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", flush=True)

    airflow = deployment.airflow
    airflow.api.trigger_dag(plan.DAG_ID, run_id=RUN_ID)
    say(f"Airflow {airflow.version} runs; {options.tasks} videos are asked for")
    storm = Storm(options, deployment, say)
    state = storm.rage()
    # A process that Airflow has given up, but that nobody killed, may still be at work.
    time.sleep(5)
    storm.revive(everything=True)
    say(f"the run has ended ({state}); comparing")
    evidence = Evidence(deployment, options.tasks)
    report = Report(options, evidence, storm.kills, storm.faults, seconds=time.monotonic() - started)
    report.publish()
    if sum(storm.kills.values()) < options.kills:
        print("The run ended before all kills had fallen: ask for more videos, or a shorter --pause.")
        return 2
    if not evidence.marker_found:
        print("The search for the key looked in the wrong place: it did not even find the run's name.")
        return 2
    return 0 if evidence.passed else 1


def _run_both(options: Options) -> int:
    """Run with the notes and without at the same time, each in a folder of its own."""
    given: list[object] = ["--tasks", options.tasks, "--kills", options.kills, "--pause", options.pause]
    given += ["--seed", options.seed, "--minutes", options.minutes]
    given += ["--write-docs"] if options.write_docs else []
    given += ["--callbacks"] if options.callbacks else []
    runs = {}
    for notes in ("with", "without"):
        folder = options.folder / notes
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
        printed = (options.folder / notes / "output.txt").read_text()
        print(f"\n{notes} the notes:\n{printed[printed.rfind(TABLE_HEAD) :]}", flush=True)
    # Without the notes, charges too many are what is expected.
    return codes["with"] or (0 if codes["without"] in (0, 1) else codes["without"])


if __name__ == "__main__":
    sys.exit(main())

"""Whether Airflow itself runs a task here: ``python -m tests.matrix.alone`` ends with 0 if it does.

What fails here as well is no defect of this package: an old Airflow with today's packages may not work.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.harness.local_airflow import LocalAirflow
from tests.harness.processes import HarnessError

_DAG = """\
try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task

with DAG("alone", schedule=None):

    @task
    def hello():
        return "hello"

    hello()
"""


def main() -> int:
    """Run a DAG with one task of Airflow's own, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="airflow-alone-") as name:
        dags = Path(name) / "dags"
        dags.mkdir()
        (dags / "alone.py").write_text(_DAG)
        try:
            with LocalAirflow(Path(name) / "airflow", dags_folder=dags) as airflow:
                run_id = airflow.api.trigger_dag("alone")
                state = airflow.api.wait_for_run("alone", run_id, timeout=180)
        except HarnessError as error:
            state = str(error)
    print(state)
    return 0 if state == "success" else 1


if __name__ == "__main__":
    sys.exit(main())

"""What importing operators and sensors adds to a DAG file that imports ``airflow.sdk`` anyway."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import environment, run_module
from benchmarks.tables import Found, table

OURS = "ours: operators and sensor"
PEER = "HTTP provider: operator and sensor"

#: Row to what its DAG file imports.
IMPORTS = {
    "nothing more": "",
    OURS: (
        "from airflow_provider_runway.operators.runway import (RunwayAlephOperator, RunwayDownloadOperator, "
        "RunwayExtendOperator, RunwayGenerateOperator, RunwayUploadOperator)\n"
        "from airflow_provider_runway.sensors.runway import RunwayTaskSensor"
    ),
    PEER: (
        "from airflow.providers.http.operators.http import HttpOperator\n"
        "from airflow.providers.http.sensors.http import HttpSensor"
    ),
    "dbt Cloud provider: operator and sensor": (
        "from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator\n"
        "from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor"
    ),
}


def run(*, repetitions: int) -> Found:
    """
    Import each in fresh processes, in turn, and return the table.

    :param repetitions: How often; the median counts.
    """
    results: dict[str, list[dict[str, float]]] = {name: [] for name in IMPORTS}
    with tempfile.TemporaryDirectory(prefix="runway-benchmark-") as home:
        env = environment(Path(home))
        # The first round writes what is compiled, and does not count.
        for repetition in range(repetitions + 1):
            for name, code in IMPORTS.items():
                measured = run_module("benchmarks.parsing", {"code": code}, env, timeout=120)
                if repetition:
                    results[name].append(measured)

    def middle(name: str, key: str) -> float:
        return median(result[key] for result in results[name])

    base = median(result["base"] for each in results.values() for result in each)
    rows = [
        [
            f"{name}",
            f"{middle(name, 'cpu') * 1000:.0f} ms",
            f"{100 * middle(name, 'cpu') / base:.0f} %",
            f"{middle(name, 'wall') * 1000:.0f} ms",
            f"{middle(name, 'memory') / 1024 / 1024:.1f} MiB",
        ]
        for name in IMPORTS
        if IMPORTS[name]
    ]
    head = [
        "on top of `from airflow.sdk import DAG, task`",
        "CPU",
        "compared with `airflow.sdk`",
        "wall clock",
        "memory",
    ]
    conditions = f"Medians of {repetitions} fresh processes each, in turn."
    facts = {name: f"{middle(name, 'cpu') * 1000:.0f} ms" for name in IMPORTS}
    return Found(f"### Imports of a DAG file\n\n{conditions}\n\n{table(head, rows)}", facts)


def measure(code: str) -> dict[str, float]:
    """Import ``airflow.sdk``, then run the code, and return what the latter took."""
    from benchmarks.waiter import memory

    before = time.process_time()
    exec("from airflow.sdk import DAG, task, BaseOperator, BaseSensorOperator", {})
    base = time.process_time() - before
    memory_before, wall, cpu = memory(), time.perf_counter(), time.process_time()
    exec(code, {})
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "memory": memory() - memory_before,
        "base": base,
    }


def main() -> None:
    what: dict[str, Any] = json.loads(sys.argv[1])
    print(json.dumps(measure(what["code"])))


if __name__ == "__main__":
    main()

"""How the benchmark starts its processes: alike for all sides, and untouched by the user's own Airflow."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.processes import REPOSITORY, clean_environment

__all__ = ["REPOSITORY", "allow_many_files", "environment", "run_module"]


def environment(home: Path | None = None, **more: str) -> dict[str, str]:
    """
    Return the environment of a process of the benchmark.

    :param home: Airflow's folder, for a process that imports Airflow.
    :param more: Further variables.
    """
    clean = clean_environment()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        clean.pop(name, None)
        clean.pop(name.upper(), None)
    if home:
        clean |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return clean | more


def allow_many_files() -> None:
    """Raise this process's limit of open files, which 10,000 waiting tasks can reach, as far as allowed."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_module(
    module: str, task: Mapping[str, Any], env: dict[str, str], *, timeout: float
) -> dict[str, Any]:
    """
    Run ``python -m module`` in a fresh process and return the JSON object that it writes to descriptor 1's
    last line.

    :param module: The module.
    :param task: What it is to do, its one argument, as JSON.
    :param env: Its environment.
    :param timeout: Seconds that it has.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(dict(task))],
        cwd=REPOSITORY,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=True,
        preexec_fn=allow_many_files,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))

"""Whoever checks the types of a DAG file can use this package in it as the docs show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import REPOSITORY
from tests.versions import AIRFLOW

api = pytest.importorskip("mypy.api")
pytestmark = pytest.mark.skipif(AIRFLOW < (3, 3), reason="the types are those of the newest Airflow")

DAG_FILE = """\
from airflow.sdk import DAG

from airflow_provider_runway.operators.runway import (
    RunwayAlephOperator,
    RunwayDownloadOperator,
    RunwayExtendOperator,
    RunwayGenerateOperator,
    RunwayUploadOperator,
)
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

with DAG("chained", schedule=None):
    upload = RunwayUploadOperator(task_id="upload", path="/data/pictures/fox.jpg")
    generate = RunwayGenerateOperator(task_id="generate", prompt="A fox", image_url=upload.output)
    wait = RunwayTaskSensor(task_id="wait", runway_task_id=generate.output, deferrable=True)
    extend = RunwayExtendOperator(task_id="extend", parent_task_id=generate.output, prompt="It runs")
    RunwayAlephOperator(task_id="restyle", prompt="Ink", video_url=wait.output, reference_image=upload.output)
    RunwayDownloadOperator(task_id="download", video_url=wait.output, path="/data/videos/")
    RunwayDownloadOperator(task_id="by_id", runway_task_id=extend.output, path="/data/videos/")
"""


def errors_in(folder: Path, source: str) -> list[str]:
    """Return what mypy finds wrong with a DAG file."""
    (folder / "dag_file.py").write_text(source)
    cache = REPOSITORY / ".mypy_cache" / "dag_file"
    asked = ["--strict", "--follow-imports=silent", f"--cache-dir={cache}", "--config-file="]
    printed, problems, _ = api.run([*asked, "--no-error-summary", str(folder / "dag_file.py")])
    assert not problems
    return [line for line in str(printed).splitlines() if ": error: " in line]


def test_what_a_task_returns_can_be_an_argument_of_the_next(tmp_path: Path) -> None:
    assert errors_in(tmp_path, DAG_FILE) == []
    wrong = DAG_FILE.replace('prompt="A fox"', "prompt=5")
    (error,) = errors_in(tmp_path, wrong)
    assert '"prompt" to "RunwayGenerateOperator" has incompatible type "int"' in error

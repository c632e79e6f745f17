"""Waits that kie.ai calls about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_runway.operators.runway import RunwayAlephOperator, RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

COMMON: dict[str, Any] = {
    "runway_conn_id": "runway_called",
    "callback_url": "auto",
    "deferrable": True,
    "retries": 2,
    "retry_delay": timedelta(seconds=1),
}
ALEPH: dict[str, Any] = {"prompt": "{{ params.prompt }}", "video_url": "https://example.com/a.mp4", **COMMON}

with DAG("called_generate", schedule=None, params={"prompt": ""}):
    RunwayGenerateOperator(task_id="video", prompt="{{ params.prompt }}", wait_for_completion=True, **COMMON)

with DAG("called_in_trigger", schedule=None, params={"prompt": ""}):
    RunwayAlephOperator(
        task_id="video", wait_for_completion=True, **{**ALEPH, "runway_conn_id": "runway_called_in_trigger"}
    )

with DAG("called_aleph", schedule=None, params={"prompt": ""}):
    RunwayAlephOperator(task_id="video", wait_for_completion=True, **ALEPH)

with DAG("called_sensor", schedule=None, params={"prompt": ""}):
    submit = RunwayAlephOperator(task_id="submit", **ALEPH)
    RunwayTaskSensor(
        task_id="video",
        runway_task_id=submit.output,
        model="aleph",
        runway_conn_id="runway_called",
        deferrable=True,
    )

"""One small DAG for each way to submit and to wait, for the tests that kill what runs it."""

from __future__ import annotations

from datetime import timedelta

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2.11
    from airflow import DAG

from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

DEFAULTS = {
    "runway_conn_id": "runway_with_keys",
    "retries": 3,
    "retry_delay": timedelta(seconds=1),
    "poll_interval": 1,
}
PARAMS = {"prompt": "A lighthouse"}

with DAG("submit_only", schedule=None, params=PARAMS, default_args=DEFAULTS):
    RunwayGenerateOperator(task_id="generate", prompt="{{ params.prompt }}")

with DAG("in_worker", schedule=None, params=PARAMS, default_args=DEFAULTS):
    RunwayGenerateOperator(task_id="generate", prompt="{{ params.prompt }}", wait_for_completion=True)

with DAG("deferred", schedule=None, params=PARAMS, default_args=DEFAULTS):
    RunwayGenerateOperator(
        task_id="generate", prompt="{{ params.prompt }}", wait_for_completion=True, deferrable=True
    )

with DAG("other_prompt_each_try", schedule=None, params=PARAMS, default_args=DEFAULTS):
    RunwayGenerateOperator(
        task_id="generate", prompt="{{ params.prompt }}, take {{ ti.try_number }}", wait_for_completion=True
    )

with DAG("mapped", schedule=None, params=PARAMS, default_args=DEFAULTS):
    generate = RunwayGenerateOperator.partial(task_id="generate", wait_for_completion=True).expand(
        prompt=[f"{{{{ params.prompt }}}} {number}" for number in range(4)]
    )
    RunwayTaskSensor.partial(task_id="wait", deferrable=True, poke_interval=1).expand(
        runway_task_id=generate.output
    )

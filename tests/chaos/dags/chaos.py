"""The DAG under fire: hundreds of videos, each with a prompt of its own, in every way to wait for them."""

from __future__ import annotations

import os
from datetime import timedelta

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from tests.chaos.plan import DAG_ID, prompts

FOLDER = os.environ.get("CHAOS_FOLDER", "/tmp/chaos-videos")
DURABLE = os.environ.get("CHAOS_DURABLE", "1") == "1"

with DAG(
    dag_id=DAG_ID,
    schedule=None,
    catchup=False,
    max_active_tasks=64,
    default_args={
        # Many more than anyone needs: a kill must not be what ends a task.
        "retries": 25,
        "retry_delay": timedelta(seconds=1),
        "owner": "chaos",
    },
):
    asked = prompts(int(os.environ.get("CHAOS_TASKS", "8")))
    common = {"durable": DURABLE, "resubmissions": 25, "timeout": timedelta(hours=2), "poll_interval": 2}

    deferred = RunwayGenerateOperator.partial(
        task_id="deferred", path=f"{FOLDER}/", manifest=True, deferrable=True, **common
    ).expand(prompt=asked["deferred"])

    in_worker = RunwayGenerateOperator.partial(
        task_id="in_worker", path=f"{FOLDER}/", deferrable=False, max_active_tis_per_dag=3, **common
    ).expand(prompt=asked["in_worker"])

    submitted = RunwayGenerateOperator.partial(task_id="submitted", deferrable=True, **common).expand(
        prompt=asked["submitted"]
    )

    # One that ended as unknown has no ID to wait for; the others have.
    watched = RunwayTaskSensor.partial(
        task_id="watched", deferrable=True, poke_interval=2, timeout=7200, retries=8, trigger_rule="all_done"
    ).expand(runway_task_id=submitted.output)

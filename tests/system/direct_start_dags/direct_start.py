"""Sensors that start in the triggerer and, where there is a video, end there; and some that do not."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor


def note(context: Any) -> None:
    """Leave a file behind, as a callback that tells somebody would."""
    ti = context["ti"]
    Path(os.environ["AIRFLOW_HOME"], f"told-{ti.task_id}-{ti.state}").touch()


DEFAULTS = {"deferrable": True, "poke_interval": 1, "poll_interval": 1, "retry_delay": timedelta(seconds=1)}

with DAG("direct_start", schedule=None, params={"ids": Param({}, type="object")}, default_args=DEFAULTS):

    @task(multiple_outputs=True)
    def given(params: Any = None) -> dict[str, str]:
        return dict(params["ids"])

    @task
    def several(ids: dict[str, str]) -> list[str]:
        return [ids["ready"], ids["other"]]

    @task
    def downstream(video_url: str) -> str:
        return f"got {video_url}"

    ids = given()
    ready = RunwayTaskSensor(task_id="ready", runway_task_id=ids["ready"])
    downstream(ready.output)
    RunwayTaskSensor(
        task_id="late", runway_task_id=ids["stuck"], timeout=5, retries=3, on_failure_callback=note
    )
    RunwayTaskSensor(task_id="late_softly", runway_task_id=ids["stuck"], timeout=5, soft_fail=True)
    RunwayTaskSensor(task_id="failing", runway_task_id=ids["failing"], retries=1, on_failure_callback=note)
    RunwayTaskSensor(task_id="telling", runway_task_id=ids["ready"], on_success_callback=note)
    RunwayTaskSensor(task_id="with_outlets", runway_task_id=ids["ready"], outlets=[Asset("video")])
    RunwayTaskSensor.partial(task_id="mapped").expand(runway_task_id=several(ids))
    operator = RunwayGenerateOperator(task_id="operator", prompt="A paper boat", wait_for_completion=True)
    downstream.override(task_id="after_operator")(operator.output["video_url"])
    RunwayGenerateOperator.partial(task_id="operators", wait_for_completion=True).expand(
        prompt=["A paper boat", "Another one"]
    )
    RunwayGenerateOperator(
        task_id="operator_with_outlets",
        prompt="A paper boat",
        wait_for_completion=True,
        outlets=[Asset("operator's video")],
    )

with DAG("cleared", schedule=None, default_args=DEFAULTS):
    submitted = RunwayGenerateOperator(task_id="generate", prompt="A paper boat")

    @task(trigger_rule="all_done")
    def seen(ti: Any = None) -> list[str | None]:
        return [ti.xcom_pull("wait"), ti.xcom_pull("wait", key="video_url")]

    RunwayTaskSensor(task_id="wait", runway_task_id=submitted.output) >> seen()

with DAG("interrupted", schedule=None, params={"ids": Param({}, type="object")}, default_args=DEFAULTS):

    @task(multiple_outputs=True, task_id="given")
    def given_again(params: Any = None) -> dict[str, str]:
        return dict(params["ids"])

    RunwayTaskSensor(task_id="wait", runway_task_id=given_again()["stuck"], timeout=60)

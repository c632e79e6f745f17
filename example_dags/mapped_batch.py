"""A mapped batch: a list of prompts becomes as many videos, however many prompts a run is given.

A task group is mapped over the prompts, so each video goes its own way: a prompt that is refused fails only
its own tasks, and the other videos are still made and stored.
"""

from __future__ import annotations

# One import for Airflow 2.11 and 3; with Airflow 3 alone, import the same names from `airflow.sdk`.
try:
    from airflow.sdk import DAG, Param, task, task_group
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task, task_group
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import RunwayDownloadOperator, RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

with DAG(
    dag_id="mapped_batch",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "prompts": Param(
            [
                "A snail crosses a garden path after the rain",
                "A tram climbs a steep street at dusk",
                "A kite rises over a windy beach",
            ],
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 1800},
            minItems=1,
            description="One video is made for each.",
        ),
        "aspect_ratio": Param("16:9", enum=["16:9", "9:16", "1:1", "4:3", "3:4"]),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the videos go: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:

    @task
    def list_prompts(params: dict) -> list[str]:
        """Return the run's prompts, for the task group to be mapped over."""
        return params["prompts"]

    @task_group
    def video(prompt: str) -> None:
        """Make and store one video."""
        generate = RunwayGenerateOperator(
            task_id="generate", prompt=prompt, aspect_ratio="{{ params.aspect_ratio }}"
        )
        wait = RunwayTaskSensor(task_id="wait", runway_task_id=generate.output, deferrable=True)
        RunwayDownloadOperator(
            task_id="download",
            # A sensor's output is the URL of the video that it waited for.
            video_url=wait.output,
            path="{{ params.folder }}/{{ run_id }}/{{ ti.map_index }}.mp4",
        )

    video.expand(prompt=list_prompts())

"""Restyle with Aleph: a video of your own gets another look.

Aleph fetches the source video from a public URL and uses its first five seconds; it may have 10 MB. The first
task uploads the file and returns such a URL, which is good for three days and for as many tasks as one likes.
(For one alone, `video_url` takes the file's path itself.)
"""

from __future__ import annotations

from pathlib import Path

# One import for Airflow 2.11 and 3; with Airflow 3 alone: `from airflow.sdk import DAG, Param`.
try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import (
    RunwayAlephOperator,
    RunwayDownloadOperator,
    RunwayUploadOperator,
)
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

with DAG(
    dag_id="restyle_with_aleph",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "video": Param(
            str(Path(__file__).with_name("media") / "hills.mp4"),
            type="string",
            description="The source video: a file of the worker, or a URL such as s3://bucket/video.mp4.",
        ),
        "prompt": Param("Make it a charcoal drawing on rough paper", type="string"),
        "aspect_ratio": Param("16:9", enum=["16:9", "9:16", "4:3", "3:4", "1:1", "21:9"]),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the video goes: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:
    upload = RunwayUploadOperator(task_id="upload", path="{{ params.video }}")
    restyle = RunwayAlephOperator(
        task_id="restyle",
        video_url=upload.output,
        prompt="{{ params.prompt }}",
        aspect_ratio="{{ params.aspect_ratio }}",
    )
    # Runway and Aleph tasks are looked up in different places, so the sensor is told which one it is.
    wait = RunwayTaskSensor(task_id="wait", runway_task_id=restyle.output, model="aleph", deferrable=True)
    download = RunwayDownloadOperator(
        task_id="download",
        # A sensor's output is the URL of the video that it waited for.
        video_url=wait.output,
        path="{{ params.folder }}/{{ run_id }}.mp4",
    )

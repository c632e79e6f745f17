"""Text to video: a prompt becomes a video file.

One task submits the request, a deferred one waits for the video without holding a worker, and the last one
stores it.
"""

from __future__ import annotations

# One import for Airflow 2.11 and 3; with Airflow 3 alone: `from airflow.sdk import DAG, Param`.
try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import RunwayDownloadOperator, RunwayGenerateOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

with DAG(
    dag_id="text_to_video",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "prompt": Param("A lighthouse in a storm, seen from the sea", type="string", maxLength=1800),
        "duration": Param(5, enum=[5, 10], description="Seconds; 10 only with 720p."),
        "quality": Param("720p", enum=["720p", "1080p"]),
        "aspect_ratio": Param("16:9", enum=["16:9", "9:16", "1:1", "4:3", "3:4"]),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the video goes: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:
    generate = RunwayGenerateOperator(
        task_id="generate",
        prompt="{{ params.prompt }}",
        duration="{{ params.duration }}",
        quality="{{ params.quality }}",
        aspect_ratio="{{ params.aspect_ratio }}",
    )
    wait = RunwayTaskSensor(task_id="wait", runway_task_id=generate.output, deferrable=True)
    download = RunwayDownloadOperator(
        task_id="download",
        # A sensor's output is the URL of the video that it waited for.
        video_url=wait.output,
        path="{{ params.folder }}/{{ run_id }}.mp4",
    )

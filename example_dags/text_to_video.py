"""Text to video: a prompt becomes a video file, in one task.

A worker submits the request, the triggerer waits for the video, and a worker stores it. The event of the
asset carries the story of the video; the DAG `by_events` starts from it.
"""

from __future__ import annotations

# With Airflow 3 alone: `from airflow.sdk import DAG, Asset, Param`.
try:
    from airflow.sdk import DAG, Asset, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import RunwayGenerateOperator

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
        path="{{ params.folder }}/{{ run_id }}.mp4",
        deferrable=True,
        outlets=[Asset("runway-videos://stored")],
    )

"""Image to video: a picture of your own starts to move.

kie.ai fetches the picture from a public URL. A file is uploaded in the same task, which makes such a URL,
good for three days. The video takes its aspect ratio from the picture.
"""

from __future__ import annotations

from pathlib import Path

# One import for Airflow 2.11 and 3; with Airflow 3 alone: `from airflow.sdk import DAG, Param`.
try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import RunwayGenerateOperator

with DAG(
    dag_id="image_to_video",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "picture": Param(
            str(Path(__file__).with_name("media") / "mountains.jpg"),
            type="string",
            description="The picture: its URL, a file of the worker, or a URI such as s3://bucket/picture.jpg.",
        ),
        "prompt": Param("The camera glides over the mountains", type="string", maxLength=1800),
        "duration": Param(5, enum=[5, 10], description="Seconds; 10 only with 720p."),
        "quality": Param("720p", enum=["720p", "1080p"]),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the video goes: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:
    generate = RunwayGenerateOperator(
        task_id="generate",
        image_url="{{ params.picture }}",
        prompt="{{ params.prompt }}",
        duration="{{ params.duration }}",
        quality="{{ params.quality }}",
        path="{{ params.folder }}/{{ run_id }}.mp4",
        deferrable=True,
    )

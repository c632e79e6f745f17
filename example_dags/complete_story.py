"""The complete story: a prompt becomes a video, the video goes on, and the longer one gets another style.

Each paid step has a task that submits it and a deferred one that waits for it, so no worker is held while
Runway works. Each of the three videos is downloaded as soon as it is there.
"""

from __future__ import annotations

# One import for Airflow 2.11 and 3; with Airflow 3 alone: `from airflow.sdk import DAG, Param`.
try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import (
    RunwayAlephOperator,
    RunwayDownloadOperator,
    RunwayExtendOperator,
    RunwayGenerateOperator,
)
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

with DAG(
    dag_id="complete_story",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "prompt": Param("A paper boat sails down a brook in spring", type="string", maxLength=1800),
        "extension_prompt": Param("The boat reaches the open sea at sunset", type="string", maxLength=1800),
        "style_prompt": Param("Turn it into a hand-painted watercolour animation", type="string"),
        "duration": Param(5, enum=[5, 10], description="Seconds; 10 only with 720p."),
        "quality": Param("720p", enum=["720p", "1080p"], description="A 1080p video cannot be extended."),
        "aspect_ratio": Param("16:9", enum=["16:9", "9:16", "1:1", "4:3", "3:4"]),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the videos go: a folder of the worker, or a URL such as s3://bucket/videos.",
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
    wait_for_generated = RunwayTaskSensor(
        task_id="wait_for_generated", runway_task_id=generate.output, deferrable=True
    )

    extend = RunwayExtendOperator(
        task_id="extend",
        parent_task_id=generate.output,
        prompt="{{ params.extension_prompt }}",
        quality="{{ params.quality }}",
    )
    wait_for_extended = RunwayTaskSensor(
        task_id="wait_for_extended", runway_task_id=extend.output, deferrable=True
    )

    restyle = RunwayAlephOperator(
        task_id="restyle",
        # A sensor's output is the URL of the video that it waited for.
        video_url=wait_for_extended.output,
        prompt="{{ params.style_prompt }}",
    )
    wait_for_restyled = RunwayTaskSensor(
        task_id="wait_for_restyled", runway_task_id=restyle.output, model="aleph", deferrable=True
    )

    wait_for_generated >> extend

    for name, wait in {
        "generated": wait_for_generated,
        "extended": wait_for_extended,
        "restyled": wait_for_restyled,
    }.items():
        RunwayDownloadOperator(
            task_id=f"download_{name}",
            video_url=wait.output,
            path="{{ params.folder }}/{{ run_id }}/" + f"{name}.mp4",
        )

"""A long sequence: a video is extended again and again, scene after scene.

The first scene is generated; a loop in this file adds one extension for each further scene. Only a finished
video can be extended, so each extension waits for the one before. To have more scenes, add prompts to SCENES.
"""

from __future__ import annotations

# One import for Airflow 2.11 and 3; with Airflow 3 alone: `from airflow.sdk import DAG, Param`.
try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import (
    RunwayDownloadOperator,
    RunwayExtendOperator,
    RunwayGenerateOperator,
)
from airflow_provider_runway.sensors.runway import RunwayTaskSensor

SCENES = [
    "A seed falls into dark soil",
    "A green shoot breaks through and unfolds its leaves",
    "The plant grows into a sunflower that turns to the light",
]

with DAG(
    dag_id="long_sequence",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "scenes": Param(
            SCENES,
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 1800},
            # The tasks are made from SCENES when Airflow reads this file; a run can change the texts only.
            minItems=len(SCENES),
            maxItems=len(SCENES),
            description="One prompt a scene.",
        ),
        "aspect_ratio": Param("16:9", enum=["16:9", "9:16", "1:1", "4:3", "3:4"]),
        "folder": Param(
            "file:///tmp/runway-videos",
            type="string",
            description="Where the videos go: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:

    def wait_and_download(
        number: int, scene: RunwayGenerateOperator | RunwayExtendOperator
    ) -> RunwayTaskSensor:
        """Add the two tasks that follow each scene, and return the one that waits."""
        wait = RunwayTaskSensor(task_id=f"wait_{number}", runway_task_id=scene.output, deferrable=True)
        RunwayDownloadOperator(
            task_id=f"download_{number}",
            # A sensor's output is the URL of the video that it waited for.
            video_url=wait.output,
            path=f"{{{{ params.folder }}}}/{{{{ run_id }}}}/{number}.mp4",
        )
        return wait

    scene: RunwayGenerateOperator | RunwayExtendOperator = RunwayGenerateOperator(
        task_id="scene_1",
        prompt="{{ params.scenes[0] }}",
        # A video of 1080p cannot be extended.
        quality="720p",
        aspect_ratio="{{ params.aspect_ratio }}",
    )
    wait = wait_and_download(1, scene)
    for number in range(2, len(SCENES) + 1):
        scene = RunwayExtendOperator(
            task_id=f"scene_{number}",
            parent_task_id=scene.output,
            prompt=f"{{{{ params.scenes[{number - 1}] }}}}",
            quality="720p",
        )
        wait >> scene
        wait = wait_and_download(number, scene)

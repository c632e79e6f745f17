"""A longer story: a video is extended again and again, scene after scene, and the last one is stored.

`runway_sequence` makes a task group: one task generates the first scene, and one for each further scene
extends what is there. Each waits for its video without holding a worker and is retried alone: a scene that
fails does not pay again for those before it. To have more scenes, add prompts to SCENES.
"""

from __future__ import annotations

# One import for Airflow 2.11 and 3; with Airflow 3 alone: `from airflow.sdk import DAG, Param`.
try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.models.param import Param

from airflow_provider_runway.operators.sequence import runway_sequence

SCENES = [
    "A seed falls into dark soil",
    "A green shoot breaks through and unfolds its leaves",
    "The plant grows into a sunflower that turns to the light",
]

with DAG(
    dag_id="longer_story",
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
            description="Where the video goes: a folder of the worker, or a URL such as s3://bucket/videos.",
        ),
    },
) as dag:
    runway_sequence(
        group_id="story",
        prompt="{{ params.scenes[0] }}",
        continuations=[f"{{{{ params.scenes[{number}] }}}}" for number in range(1, len(SCENES))],
        path="{{ params.folder }}/{{ run_id }}.mp4",
        manifest=True,
        aspect_ratio="{{ params.aspect_ratio }}",
        deferrable=True,
        retries=2,
    )

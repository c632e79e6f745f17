"""A mapped batch: a list of prompts becomes as many videos, however many prompts a run is given.

One task is mapped over the prompts, and makes and stores one video for each: a prompt that is refused fails
only its own. In the UI, each carries its prompt instead of a number.
"""

from __future__ import annotations

# One import for Airflow 2.11 and 3; with Airflow 3 alone, import the same names from `airflow.sdk`.
try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import RunwayGenerateOperator

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
        """Return the run's prompts, for the task to be mapped over."""
        return params["prompts"]

    RunwayGenerateOperator.partial(
        task_id="video",
        map_index_template="{{ task.prompt }}",
        aspect_ratio="{{ params.aspect_ratio }}",
        path="{{ params.folder }}/{{ run_id }}/",
        manifest=True,
        deferrable=True,
    ).expand(prompt=list_prompts())

"""Submit in one DAG, process in another: nothing waits in between, neither a worker nor the triggerer.

kie.ai calls back when a video has ended, and the callback is an event of an asset, which starts the second
DAG: `[runway] callback_asset` names that asset in Airflow's configuration, and kie.ai has to reach Airflow.
An event says which Runway task has ended, not how: the task that stores the video looks that up.
"""

from __future__ import annotations

from datetime import datetime, timezone

# With Airflow 3 alone: `from airflow.sdk import DAG, Asset, Param, task`.
try:
    from airflow.sdk import DAG, Asset, Param, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task
    from airflow.models.param import Param

from airflow_provider_runway.operators.runway import RunwayDownloadOperator, RunwayGenerateOperator

with DAG(
    dag_id="submit_videos",
    schedule=None,
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
    params={
        "prompts": Param(
            ["A ferry crosses a fjord at dawn", "A market opens under coloured awnings"],
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 1800},
            minItems=1,
            description="One video is made for each.",
        ),
    },
) as submit_videos:

    @task
    def list_prompts(params: dict) -> list[str]:
        """Return the run's prompts, for the task to be mapped over."""
        return params["prompts"]

    RunwayGenerateOperator.partial(
        task_id="submit",
        map_index_template="{{ task.prompt }}",
        callback_url="auto",
    ).expand(prompt=list_prompts())

with DAG(
    dag_id="process_videos",
    schedule=[Asset("runway-videos://finished")],
    # Airflow 2.11 asks for one wherever there is a schedule.
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
) as process_videos:

    @task
    def list_finished(**context) -> list[str]:
        """Return the Runway task IDs of the events that this run was started for; a burst is one run."""
        # Airflow 2.11 calls assets datasets.
        kind = "asset" if "triggering_asset_events" in context else "dataset"
        by_asset = context[f"triggering_{kind}_events"].values()
        told = [event.extra for events in by_asset for event in events]
        return sorted({extra["runway_task_id"] for extra in told if extra.get("dag_id") == "submit_videos"})

    RunwayDownloadOperator.partial(
        task_id="store",
        path="file:///tmp/runway-videos/finished/",
        manifest=True,
        retries=2,
    ).expand(runway_task_id=list_finished())

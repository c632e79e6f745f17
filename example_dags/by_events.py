"""By events: a DAG that starts when a video was stored, and reads its story.

The task that stored it (in the DAG `text_to_video`) has an asset among its `outlets`, and the event of that
asset carries the video's manifest: what was asked for, IDs, times, credits, path, size and SHA-256.
"""

from __future__ import annotations

from datetime import datetime, timezone

# With Airflow 3 alone: `from airflow.sdk import DAG, Asset, task`.
try:
    from airflow.sdk import DAG, Asset, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task

with DAG(
    dag_id="by_events",
    schedule=[Asset("runway-videos://stored")],
    # Airflow 2.11 asks for one wherever there is a schedule.
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["runway"],
    doc_md=__doc__,
) as dag:

    @task
    def read_manifests(**context) -> list[dict]:
        """Return the manifests of the videos that this run was started for, without what has none."""
        # Airflow 2.11 calls assets datasets.
        kind = "asset" if "triggering_asset_events" in context else "dataset"
        by_asset = context[f"triggering_{kind}_events"].values()
        return [event.extra for events in by_asset for event in events if event.extra.get("path")]

    @task
    def publish(manifest: dict) -> str:
        """Do something with one video; here, say what is known of it."""
        return f"{manifest['path']}: {manifest['prompt']} ({manifest['size']} bytes)"

    publish.expand(manifest=read_manifests())

"""One DAG submits and notes the ID, another starts by a watcher's event; nothing is called back."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow_provider_runway.operators.runway import RunwayGenerateOperator

try:
    from airflow.sdk import DAG, Asset, AssetWatcher, task
except ImportError:  # Airflow 2.11 has no watchers.
    pass
else:
    from airflow_provider_runway.assets.finished import RunwayFinishedTrigger, watch_task

    FOLDER = f"{os.environ['AIRFLOW_HOME']}/watched/"
    TRIGGER = RunwayFinishedTrigger(FOLDER, "runway_with_keys", poll_interval=1, scan_interval=1)
    WATCHED = Asset("runway-videos://watched", watchers=[AssetWatcher(name="watched", trigger=TRIGGER)])

    with DAG("watched_submit", schedule=None, params={"prompt": ""}):

        @task
        def watch(runway_task_id: str, **context: Any) -> None:
            watch_task(runway_task_id, path=FOLDER, context=context)

        submit = RunwayGenerateOperator(
            task_id="submit",
            prompt="{{ params.prompt }}",
            callback_url="",
            runway_conn_id="runway_with_keys",
        )
        watch(submit.output)

    with DAG("watched_process", schedule=[WATCHED], start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):

        @task
        def list_finished(**context: Any) -> list[dict[str, Any]]:
            by_asset = context["triggering_asset_events"].values()
            return [event.extra["payload"] for events in by_asset for event in events]

        list_finished()

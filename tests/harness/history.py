"""Writes what Airflow's database would hold after runs of DAGs, without running any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import insert, select

OURS = {
    "generate": "RunwayGenerateOperator",
    "extend": "RunwayExtendOperator",
    "aleph": "RunwayAlephOperator",
    "wait": "RunwayTaskSensor",
    "download": "RunwayDownloadOperator",
}


class History:
    """Runs of DAGs that have never been. Beware: it commits, so each test takes IDs of its own."""

    def add_run(self, dag_id: str, run_id: str, *, state: str = "success") -> None:
        """Add a run.

        :param dag_id: its DAG, of which nothing else need be there
        :param run_id: its ID
        :param state: its state
        """
        now = datetime.now(timezone.utc)
        with create_session() as session:
            session.execute(
                insert(DagRun.__table__).values(
                    dag_id=dag_id,
                    run_id=run_id,
                    state=state,
                    run_type="manual",
                    run_after=now,
                    logical_date=None,
                    span_status="not_started",
                    clear_number=0,
                )
            )

    def add(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int = -1,
        *,
        state: str | None = "success",
        operator: str | None = None,
        xcoms: Mapping[str, Any] | None = None,
        encoded: Mapping[str, Any] | None = None,
        rendered: Any = None,
        label: str | None = None,
        try_number: int = 1,
        age: timedelta = timedelta(minutes=5),
    ) -> None:
        """Add a task instance of a run.

        :param dag_id: the DAG
        :param run_id: the run
        :param task_id: the task
        :param map_index: its map index
        :param state: its state
        :param operator: its class; by default that of ours which a name like ``generate_2`` begins with
        :param xcoms: its XComs, stored as Airflow's workers store them
        :param encoded: XComs stored as Airflow's own model stores them: as JSON in a text
        :param rendered: its rendered fields
        :param label: its rendered map index
        :param try_number: which try it is
        :param age: for how long its XComs have been there
        """
        then = datetime.now(timezone.utc) - age
        key = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        with create_session() as session:
            query = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            run = session.scalar(query)
            session.execute(
                insert(TaskInstance.__table__).values(
                    **key,
                    state=state,
                    operator=operator or OURS.get(task_id.partition("_")[0], "PythonOperator"),
                    try_number=try_number,
                    start_date=then if state else None,
                    end_date=then if state in ("success", "failed") else None,
                    rendered_map_index=label,
                    pool="default_pool",
                    pool_slots=1,
                )
            )
            values = dict(xcoms or {}) | {name: json.dumps(value) for name, value in (encoded or {}).items()}
            for name, value in values.items():
                session.execute(
                    insert(XComModel.__table__).values(
                        **key, dag_run_id=run, key=name, value=value, timestamp=then
                    )
                )
            if rendered is not None:
                session.execute(
                    insert(RenderedTaskInstanceFields.__table__).values(**key, rendered_fields=rendered)
                )

"""Reads what the pages show from Airflow's database, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.links import xcoms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

#: What is read of all task instances of a run: enough to tell which belong together and what became of them.
MARKS = ("runway_task_id", "runway_request", "runway_error", "credits_consumed", "video_url", "path")
#: What is read of those that are shown.
_OF_OURS = ("runway_task_id", "runway_error")
DETAILS = ("image_url", "size", "sha256")

SUBMITTING = ("RunwayGenerateOperator", "RunwayExtendOperator", "RunwayAlephOperator")
DOWNLOADING = "RunwayDownloadOperator"
OPERATORS = (*SUBMITTING, DOWNLOADING, "RunwayTaskSensor")

#: Task ID and map index.
Key = tuple[str, int]


@dataclass(frozen=True)
class Instance:
    """
    A task instance and what it left behind.

    :param xcoms: The values of its XComs, by their keys.
    :param pushed_at: When each was pushed.
    :param rendered: Its rendered fields, where they were asked for.
    """

    task_id: str
    map_index: int
    label: str | None
    state: str | None
    operator: str | None
    try_number: int
    started_at: datetime | None
    ended_at: datetime | None
    xcoms: dict[str, Any] = field(default_factory=dict)
    pushed_at: dict[str, datetime] = field(default_factory=dict)
    rendered: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What names it in its run."""
        return self.task_id, self.map_index

    @property
    def is_ours(self) -> bool:
        """Whether it is one of a Runway video: by its XComs, since a subclass may have any name."""
        return self.operator in OPERATORS or any(key in self.xcoms for key in _OF_OURS)


class RunReader:
    """
    Reads one run.

    :param session: A session of Airflow's database, for as long as the reader is used.
    :param dag_id: The DAG.
    :param run_id: The run.
    """

    def __init__(self, session: Session, dag_id: str, run_id: str) -> None:
        self._session = session
        self.dag_id = dag_id
        self.run_id = run_id

    def state(self) -> str | None:
        """Return the run's state; ``None`` if there is no such run."""
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        query = select(DagRun.state).where(DagRun.dag_id == self.dag_id, DagRun.run_id == self.run_id)
        found = self._session.scalar(query)
        return None if found is None else str(getattr(found, "value", found))

    def instance(self, task_id: str, map_index: int) -> Instance | None:
        """
        Return one task instance with all its XComs of ours and its rendered fields.

        :param task_id: The task.
        :param map_index: Its map index, -1 where it is not mapped.
        """
        from airflow.models.taskinstance import TaskInstance

        found = self._instances(TaskInstance.task_id == task_id, TaskInstance.map_index == map_index)
        if not found:
            return None
        self._add_xcoms(found, (*MARKS, *DETAILS), task_ids=[task_id], map_indexes=[map_index])
        self.add_rendered(found.values())
        return found[task_id, map_index]

    def instances(self) -> dict[Key, Instance]:
        """Return all task instances of the run that have to do with a Runway video, without details."""
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import or_

        rows = xcoms.read(self._session, MARKS, dag_id=self.dag_id, run_id=self.run_id)
        marked = sorted({row[0] for row in rows if row[2] in _OF_OURS})
        found = self._instances(or_(TaskInstance.operator.in_(OPERATORS), TaskInstance.task_id.in_(marked)))
        _fill(found, rows)
        return {key: instance for key, instance in found.items() if instance.is_ours}

    def add_details(self, instances: Iterable[Instance]) -> None:
        """
        Read what is shown of some task instances.

        :param instances: Which; they are changed.
        """
        wanted = {instance.key: instance for instance in instances}
        if wanted:
            self._add_xcoms(
                wanted,
                DETAILS,
                task_ids=sorted({key[0] for key in wanted}),
                map_indexes=sorted({key[1] for key in wanted}),
            )

    def add_rendered(self, instances: Iterable[Instance]) -> None:
        """
        Read the rendered fields of some task instances.

        :param instances: Which; they are changed.
        """
        from airflow.models.renderedtifields import RenderedTaskInstanceFields as Rendered
        from sqlalchemy import select

        wanted = {instance.key: instance for instance in instances}
        if not wanted:
            return
        query = select(Rendered.task_id, Rendered.map_index, Rendered.rendered_fields).where(
            Rendered.dag_id == self.dag_id,
            Rendered.run_id == self.run_id,
            Rendered.task_id.in_(sorted({key[0] for key in wanted})),
            Rendered.map_index.in_(sorted({key[1] for key in wanted})),
        )
        for task_id, map_index, fields in self._session.execute(query):
            instance = wanted.get((task_id, map_index))
            if instance is not None and isinstance(fields, dict):
                instance.rendered.update(fields)

    def _instances(self, *conditions: Any) -> dict[Key, Instance]:
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import select

        query = select(
            TaskInstance.task_id,
            TaskInstance.map_index,
            TaskInstance._rendered_map_index,
            TaskInstance.state,
            TaskInstance.operator,
            TaskInstance.try_number,
            TaskInstance.start_date,
            TaskInstance.end_date,
        ).where(TaskInstance.dag_id == self.dag_id, TaskInstance.run_id == self.run_id, *conditions)
        found = (Instance(*row) for row in self._session.execute(query))
        return {instance.key: instance for instance in found}

    def _add_xcoms(self, instances: dict[Key, Instance], keys: tuple[str, ...], **only: Any) -> None:
        _fill(instances, xcoms.read(self._session, keys, dag_id=self.dag_id, run_id=self.run_id, **only))


def _fill(instances: dict[Key, Instance], rows: list[tuple[str, int, str, Any, datetime]]) -> None:
    for task_id, map_index, key, value, pushed_at in rows:
        instance = instances.get((task_id, map_index))
        if instance is not None:
            instance.xcoms[key] = value
            instance.pushed_at[key] = pushed_at

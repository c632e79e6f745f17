"""Links on the page of a task instance: to its video, and to kie.ai's own list of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import HAS_TABS, BaseOperatorLink
from airflow_provider_runway.exceptions import LOGS_URL
from airflow_provider_runway.links import addresses

if TYPE_CHECKING:
    from airflow_provider_runway.compat import BaseOperator


class _RunwayLink(BaseOperatorLink):
    @property
    def operators(self) -> Sequence[type[BaseOperator]]:  # type: ignore[override]
        """The classes that have the link: imported when links are asked for, which few processes do."""
        from airflow_provider_runway.operators import runway as operators
        from airflow_provider_runway.sensors.runway import RunwayTaskSensor

        return (
            operators.RunwayGenerateOperator,
            operators.RunwayExtendOperator,
            operators.RunwayAlephOperator,
            operators.RunwayDownloadOperator,
            RunwayTaskSensor,
        )


class RunwayLogsLink(_RunwayLink):
    """Where kie.ai shows its customers what became of each task."""

    name = "kie.ai logs"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """
        Return the address, which is the same for all tasks.

        :param operator: The task.
        :param ti_key: Which task instance.
        """
        return LOGS_URL


class RunwayVideoLink(_RunwayLink):
    """The Video tab of the task instance; where there is none, the video at kie.ai."""

    name = "Video"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """
        Return the address; it is empty where there is nothing to see yet.

        :param operator: The task.
        :param ti_key: Which task instance.
        """
        key = (ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
        if HAS_TABS and addresses.has_tab("video_tab"):
            return addresses.below_base(addresses.task_instance(*key, tab=addresses.VIDEO_TAB))
        return _vendor_url(*key) or ""


def _vendor_url(dag_id: str, run_id: str, task_id: str, map_index: int) -> str | None:
    from airflow.utils.session import create_session

    from airflow_provider_runway.links import xcoms

    with create_session() as session:
        found = xcoms.read(
            session,
            ("video_url",),
            dag_id=dag_id,
            run_id=run_id,
            task_ids=[task_id],
            map_indexes=[map_index],
        )
    return xcoms.http_url(found[0][3]) if found else None

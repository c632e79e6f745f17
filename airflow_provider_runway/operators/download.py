"""Keeps a video: stores it before kie.ai deletes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import check_url
from airflow_provider_runway.compat import BaseOperator
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context


class RunwayDownloadOperator(BaseOperator):
    """
    Store a video before kie.ai deletes it (after 14 days), streamed to any storage that Airflow knows.

    The file gets its name only once it is complete. Returns the path or URI written.

    :param path: Where to: a local path or a URI like ``s3://connection@bucket/key.mp4``; one that ends with
        ``/`` is a folder, in which the file is named after the Runway task. (templated)
    :param runway_task_id: The Runway task ID; give this or ``video_url``. (templated)
    :param video_url: The URL of the video. (templated)
    :param model: ``runway`` (generate, extend) or ``aleph``; used with ``runway_task_id``. (templated)
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`; its key is not sent to where the
        video is stored. (templated)
    """

    template_fields: Sequence[str] = ("path", "runway_task_id", "video_url", "model", "runway_conn_id")
    ui_color = "#fdeed9"

    def __init__(
        self,
        *,
        path: str,
        runway_task_id: str | None = None,
        video_url: str | None = None,
        model: str = "runway",
        runway_conn_id: str = "runway_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.runway_task_id = runway_task_id
        self.video_url = video_url
        self.model = model
        self.runway_conn_id = runway_conn_id

    def execute(self, context: Context) -> str:
        """Download, and return the path or URI written."""
        from airflow_provider_runway.hooks.runway import RunwayHook

        if bool(self.runway_task_id) == bool(self.video_url):
            raise RunwayValidationError(
                f"runway_task_id={self.runway_task_id!r}, video_url={self.video_url!r}: give exactly one."
            )
        if not isinstance(self.path, str) or not self.path.strip():
            raise RunwayValidationError(f"path={self.path!r}: required: where to store the video.")
        hook = RunwayHook(self.runway_conn_id)
        url = check_url("video_url", self.video_url) if self.video_url else self._look_up(hook)
        path = self.path
        if path.endswith("/"):
            path += f"{self.runway_task_id}.mp4" if self.runway_task_id else _file_name(url)
        size = hook.download_video(url, path)
        self.log.info("Stored %s (%d bytes)", path, size)
        return path

    def _look_up(self, hook: Any) -> str:
        task: RunwayTask = hook.get_task(self.runway_task_id, model=self.model)
        if not task.state.is_terminal:
            raise RunwayError(
                f"Runway task {task.task_id} has no video yet: it is {task.state}. Wait for it first, with a "
                "RunwayTaskSensor or wait_for_completion=True.",
                runway_task_id=task.task_id,
            )
        return task.result_url()


def _file_name(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).path.rsplit("/", 1)[-1] or "video.mp4"

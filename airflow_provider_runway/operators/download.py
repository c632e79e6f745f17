"""Stores a video before kie.ai deletes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import check_url
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError
from airflow_provider_runway.operators.keeping import KeepingOperator
from airflow_provider_runway.triggers import results

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context, XComArg
    from airflow_provider_runway.hooks.runway import RunwayHook


class RunwayDownloadOperator(KeepingOperator):
    """
    Stream a video to any storage that Airflow supports, before kie.ai deletes it (after 14 days).

    The file gets its name only once it is complete. Returns its path or URI, which is also the XCom ``path``;
    ``size`` (in bytes) and ``sha256`` are further XComs.

    :param path: The destination: a local path or a URI like ``s3://connection@bucket/key.mp4``, or such a
        path object; one that ends with ``/`` is a folder, in which the file is named after the Runway task.
        (templated)
    :param runway_task_id: The Runway task ID; pass this or ``video_url``. Preferred, because a URL that was
        refused is replaced by a fresh one. (templated)
    :param video_url: The URL of the video. (templated)
    :param model: ``runway`` (generate, extend) or ``aleph``; used with ``runway_task_id``. (templated)
    :param overwrite: Replace an existing file at ``path``. Without it, the same video counts as stored, and
        any other file is an error.
    :param manifest: Also store a manifest next to the video: what is known of the request, the IDs, times,
        credits, size and SHA-256, as a JSON file.
    :param thumbnail: Also store its first picture next to it; used with ``runway_task_id``.
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`; its key is not sent to the host of
        the video. (templated)
    :raises RunwayValidationError: a value breaks a rule; another file is there; or the video is at a private
        address that the connection does not allow.
    :raises RunwayTaskFailedError: the generation has failed.
    :raises RunwayVideoExpiredError: there is no such video, or no longer.
    :raises RunwayStorageError: the storage did not accept it.
    :raises RunwayError: it is not ready yet, or not available now.
    """

    template_fields: Sequence[str] = ("path", "runway_task_id", "video_url", "model", "runway_conn_id")
    ui_color = "#fdeed9"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | XComArg,
        runway_task_id: str | XComArg | None = None,
        video_url: str | XComArg | None = None,
        model: str = "runway",
        overwrite: bool = False,
        manifest: bool = False,
        thumbnail: bool = False,
        runway_conn_id: str = "runway_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path: Any = path
        self.runway_task_id: Any = runway_task_id
        self.video_url: Any = video_url
        self.model = model
        self.overwrite = overwrite
        self.manifest = manifest
        self.thumbnail = thumbnail
        self.runway_conn_id = runway_conn_id

    def execute(self, context: Context) -> str:
        """Download the video, and return the path or URI of the file."""
        from airflow_provider_runway.files.naming import check_path
        from airflow_provider_runway.hooks.runway import RunwayHook

        with results.reporting(context):
            if bool(self.runway_task_id) == bool(self.video_url):
                raise RunwayValidationError(
                    f"runway_task_id={self.runway_task_id!r}, video_url={self.video_url!r}: give exactly one."
                )
            path = check_path(self.path)
            hook = RunwayHook(self.runway_conn_id)
            task = self._look_up(hook) if self.runway_task_id else None
            if task is not None:
                results.push_task_id(context, task.task_id)
            kept = hook.keep_video(
                path,
                task=task,
                video_url=None if task is not None else check_url("video_url", self.video_url),
                overwrite=self.overwrite,
                manifest=self.manifest,
                thumbnail=self.thumbnail,
            )
            return self.announce(context, kept)

    def _look_up(self, hook: RunwayHook) -> RunwayTask:
        task = hook.get_task(str(self.runway_task_id), model=self.model)
        if not task.state.is_terminal:
            raise RunwayError(
                f"Runway task {task.task_id} has no video yet: it is {task.state}. Wait for it first, with a "
                "RunwayTaskSensor or wait_for_completion=True.",
                runway_task_id=task.task_id,
            )
        return task

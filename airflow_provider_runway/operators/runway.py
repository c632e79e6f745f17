"""Operators for AI videos: generate, extend and restyle them, and move the files in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import (
    ExtendVideo,
    GenerateAlephVideo,
    GenerateVideo,
    check_url,
)
from airflow_provider_runway.compat import BaseOperator
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError
from airflow_provider_runway.operators.submit import RunwaySubmitOperator

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context


class RunwayGenerateOperator(RunwaySubmitOperator):
    """
    Generate a video from a text, or from a text and a picture.

    :param prompt: What to show, 1 to 1800 characters. (templated)
    :param duration: Length in seconds, 5 or 10; 10 excludes ``1080p``. (templated)
    :param quality: ``720p`` or ``1080p``; ``1080p`` excludes 10 seconds. (templated)
    :param aspect_ratio: ``16:9``, ``9:16``, ``1:1``, ``4:3`` or ``3:4``; not used with a picture. (templated)
    :param image_url: Public URL of a picture to start from. (templated)
    :param watermark: Text to draw into the video; empty means none. (templated)

    Further arguments are those of :class:`RunwaySubmitOperator`.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "duration",
        "quality",
        "aspect_ratio",
        "image_url",
        "watermark",
        *RunwaySubmitOperator.template_fields,
    )

    def __init__(
        self,
        *,
        prompt: str,
        duration: int | str = 5,
        quality: str = "720p",
        aspect_ratio: str | None = "16:9",
        image_url: str | None = None,
        watermark: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.duration = duration
        self.quality = quality
        self.aspect_ratio = aspect_ratio
        self.image_url = image_url
        self.watermark = watermark

    def build_request(self) -> GenerateVideo:
        """Return the request for the rendered arguments."""
        return GenerateVideo(
            prompt=self.prompt,
            duration=self.duration,  # type: ignore[arg-type]  # a template renders to text; the request reads both
            quality=self.quality,
            aspect_ratio=self.aspect_ratio,
            image_url=self.image_url,
            watermark=self.watermark,
        )


class RunwayExtendOperator(RunwaySubmitOperator):
    """
    Continue a video that was generated (or extended) before.

    :param parent_task_id: Runway task ID of the video to continue; not one of ``1080p``. (templated)
    :param prompt: What happens next, 1 to 1800 characters. (templated)
    :param quality: ``720p`` or ``1080p``. (templated)
    :param watermark: Text to draw into the video; empty means none. (templated)

    Further arguments are those of :class:`RunwaySubmitOperator`.
    """

    template_fields: Sequence[str] = (
        "parent_task_id",
        "prompt",
        "quality",
        "watermark",
        *RunwaySubmitOperator.template_fields,
    )

    def __init__(
        self,
        *,
        parent_task_id: str,
        prompt: str,
        quality: str = "720p",
        watermark: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.parent_task_id = parent_task_id
        self.prompt = prompt
        self.quality = quality
        self.watermark = watermark

    def build_request(self) -> ExtendVideo:
        """Return the request for the rendered arguments."""
        return ExtendVideo(
            parent_task_id=self.parent_task_id,
            prompt=self.prompt,
            quality=self.quality,
            watermark=self.watermark,
        )


class RunwayAlephOperator(RunwaySubmitOperator):
    """
    Make a new video from another one with Runway's Aleph model.

    :param prompt: What to change. (templated)
    :param video_url: Public URL of the source video: at most 10 MB; its first 5 seconds are used. (templated)
    :param aspect_ratio: ``16:9``, ``9:16``, ``4:3``, ``3:4``, ``1:1`` or ``21:9``. (templated)
    :param reference_image: Public URL of a picture to take style or content from. (templated)
    :param seed: A whole number that makes results repeatable. (templated)
    :param watermark: Text to draw into the video; empty means none. (templated)
    :param upload_cn: Whether kie.ai uploads to its storage in China. (templated)

    Further arguments are those of :class:`RunwaySubmitOperator`.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "video_url",
        "aspect_ratio",
        "reference_image",
        "seed",
        "watermark",
        "upload_cn",
        *RunwaySubmitOperator.template_fields,
    )
    model = "aleph"

    def __init__(
        self,
        *,
        prompt: str,
        video_url: str,
        aspect_ratio: str | None = None,
        reference_image: str | None = None,
        seed: int | str | None = None,
        watermark: str | None = None,
        upload_cn: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.video_url = video_url
        self.aspect_ratio = aspect_ratio
        self.reference_image = reference_image
        self.seed = seed
        self.watermark = watermark
        self.upload_cn = upload_cn

    def build_request(self) -> GenerateAlephVideo:
        """Return the request for the rendered arguments."""
        return GenerateAlephVideo(
            prompt=self.prompt,
            video_url=self.video_url,
            aspect_ratio=self.aspect_ratio,
            reference_image=self.reference_image,
            seed=self.seed,  # type: ignore[arg-type]  # a template renders to text; the request reads both
            watermark=self.watermark,
            upload_cn=self.upload_cn,  # type: ignore[arg-type]
        )


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


class RunwayUploadOperator(BaseOperator):
    """
    Upload a picture or a video for kie.ai to work on. Returns its public URL, which is good for 3 days.

    :param path: A local path, or a URI like ``s3://connection@bucket/key.png``. (templated)
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`. (templated)
    """

    template_fields: Sequence[str] = ("path", "runway_conn_id")
    ui_color = "#fdeed9"

    def __init__(self, *, path: str, runway_conn_id: str = "runway_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.runway_conn_id = runway_conn_id

    def execute(self, context: Context) -> str:
        """Upload, and return the public URL."""
        from airflow_provider_runway.hooks.runway import RunwayHook

        if not isinstance(self.path, str) or not self.path.strip():
            raise RunwayValidationError(f"path={self.path!r}: required: the file to upload.")
        return RunwayHook(self.runway_conn_id).upload_file(self.path)


def _file_name(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).path.rsplit("/", 1)[-1] or "video.mp4"

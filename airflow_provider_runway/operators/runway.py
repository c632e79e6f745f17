"""Operators for AI videos: generate, extend, restyle, upload and download them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import (
    ExtendVideo,
    GenerateAlephVideo,
    GenerateVideo,
)
from airflow_provider_runway.operators import inputs
from airflow_provider_runway.operators.download import RunwayDownloadOperator
from airflow_provider_runway.operators.submit import RunwaySubmitOperator
from airflow_provider_runway.operators.upload import RunwayUploadOperator

if TYPE_CHECKING:
    from airflow_provider_runway.compat import XComArg

__all__ = [
    "RunwayAlephOperator",
    "RunwayDownloadOperator",
    "RunwayExtendOperator",
    "RunwayGenerateOperator",
    "RunwayUploadOperator",
]


class RunwayGenerateOperator(RunwaySubmitOperator):
    """
    Generate a video from a prompt, with or without a picture.

    :param prompt: What to show, 1 to 1800 characters. (templated)
    :param duration: Length in seconds, 5 or 10; 10 excludes ``1080p``. (templated)
    :param quality: ``720p`` or ``1080p``; ``1080p`` excludes 10 seconds. (templated)
    :param aspect_ratio: ``16:9``, ``9:16``, ``1:1``, ``4:3`` or ``3:4``; not used with a picture. (templated)
    :param image_url: A picture to start from: its public URL, or a file, which is uploaded: an absolute path,
        or a URI like ``s3://connection@bucket/fox.jpg`` (JPEG, PNG or WebP, at most 10 MB). (templated)
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
        prompt: str | XComArg,
        duration: int | str = 5,
        quality: str = "720p",
        aspect_ratio: str | None = "16:9",
        image_url: str | XComArg | None = None,
        watermark: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt: Any = prompt
        self.duration = duration
        self.quality = quality
        self.aspect_ratio = aspect_ratio
        self.image_url: Any = image_url
        self.watermark = watermark

    def build_request(self) -> GenerateVideo:
        """Return the request for the rendered arguments."""
        return GenerateVideo(
            prompt=self.prompt,
            duration=self.duration,  # type: ignore[arg-type]  # a template renders to text; the request reads both
            quality=self.quality,
            aspect_ratio=self.aspect_ratio,
            image_url=inputs.url_or_stand_in("image_url", self.image_url),
            watermark=self.watermark,
        )


class RunwayExtendOperator(RunwaySubmitOperator):
    """
    Continue a generated or extended video.

    :param parent_task_id: The Runway task ID of the video to continue; not one in ``1080p``. (templated)
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
        parent_task_id: str | XComArg,
        prompt: str | XComArg,
        quality: str = "720p",
        watermark: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.parent_task_id: Any = parent_task_id
        self.prompt: Any = prompt
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
    Restyle a video with Runway's Aleph model.

    :param prompt: What to change; not empty. (templated)
    :param video_url: The source video, of which the first 5 seconds are used: its public URL, or a file
        (MP4), which is uploaded. At most 10 MB. (templated)
    :param aspect_ratio: ``16:9``, ``9:16``, ``4:3``, ``3:4``, ``1:1`` or ``21:9``. (templated)
    :param reference_image: A picture to take style or content from: its public URL, or a file, which is
        uploaded. (templated)
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
        prompt: str | XComArg,
        video_url: str | XComArg,
        aspect_ratio: str | None = None,
        reference_image: str | XComArg | None = None,
        seed: int | str | None = None,
        watermark: str | None = None,
        upload_cn: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt: Any = prompt
        self.video_url: Any = video_url
        self.aspect_ratio = aspect_ratio
        self.reference_image: Any = reference_image
        self.seed = seed
        self.watermark = watermark
        self.upload_cn = upload_cn

    def build_request(self) -> GenerateAlephVideo:
        """Return the request for the rendered arguments."""
        return GenerateAlephVideo(
            prompt=self.prompt,
            video_url=inputs.url_or_stand_in("video_url", self.video_url),
            aspect_ratio=self.aspect_ratio,
            reference_image=inputs.url_or_stand_in("reference_image", self.reference_image),
            seed=self.seed,  # type: ignore[arg-type]  # a template renders to text; the request reads both
            watermark=self.watermark,
            upload_cn=self.upload_cn,  # type: ignore[arg-type]
        )

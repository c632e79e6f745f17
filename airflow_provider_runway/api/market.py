"""The market generation of the API: ``/api/v1/jobs/*``.

Source: kie.ai's market documentation, and recorded answers where these differ from it.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_runway.api import values
from airflow_provider_runway.api.requests import ExtendVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.api.tasks import RunwayTask, parse_state

_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def creation(request: RunwayRequest, callback_url: str | None = None) -> tuple[str, dict[str, Any]]:
    """
    Return path and JSON body of a creation; a field that was not set is not in it.

    :param request: What to create.
    :param callback_url: Where kie.ai reports the end; empty means nowhere.
    """
    given: dict[str, Any]
    if isinstance(request, GenerateVideo):
        model = "runway"
        given = {
            "prompt": request.prompt,
            # A text here, a number at the dedicated routes.
            "duration": str(request.duration),
            "quality": request.quality,
            "image_url": request.image_url,
            "aspect_ratio": None if request.image_url else request.aspect_ratio,
        }
    elif isinstance(request, ExtendVideo):
        model = "runway/extend-ai-video"
        given = {"task_id": request.parent_task_id, "prompt": request.prompt, "quality": request.quality}
    else:
        model = "runway/gen4-aleph"
        given = {
            "prompt": request.prompt,
            "video_url": request.video_url,
            "aspect_ratio": request.aspect_ratio,
            "reference_image": request.reference_image,
            "seed": request.seed,
            "upload_cn": request.upload_cn or None,
        }
    given["watermark"] = request.watermark
    body: dict[str, Any] = {"model": model}
    if callback_url:
        body["callBackUrl"] = callback_url
    body["input"] = {name: value for name, value in given.items() if value is not None}
    return "/api/v1/jobs/createTask", body


def lookup(model: str) -> str:
    """
    Return the path of a status request; the Runway task ID goes into its query as ``taskId``.

    :param model: ``runway`` or ``aleph``: one path serves both.
    """
    return "/api/v1/jobs/recordInfo"


def read_task(data: dict[str, Any], runway_task_id: str, model: str) -> RunwayTask:
    """
    Read the ``data`` of a status answer.

    :param data: The object; ``param``, its ``input`` and ``resultJson`` are JSON texts in it.
    :param runway_task_id: The task that was asked for.
    :param model: ``runway`` or ``aleph``.
    """
    asked = values.mapping(values.mapping(data.get("param")).get("input"))
    # Newer answers have the result twice, and either can be empty.
    results = [values.mapping(data.get(name)).get("resultUrls") for name in ("resultJson", "response")]
    urls = [url for listed in results for url in map(values.url, values.listing(listed)) if url]
    images = [url for url in urls if url.split("?")[0].lower().endswith(_IMAGE_ENDINGS)]
    videos = [url for url in urls if url not in images]
    return RunwayTask(
        task_id=runway_task_id,
        model=model,
        state=parse_state(data.get("state")),
        video_url=videos[0] if videos else None,
        image_url=images[0] if images else None,
        parent_task_id=values.text(asked.get("task_id")),
        prompt=values.text(asked.get("prompt")),
        error_code=values.failure_code(data.get("failCode")),
        error_message=values.text(data.get("failMsg")),
        created_at=values.instant(data.get("createTime")),
        completed_at=values.instant(data.get("completeTime")),
        credits_consumed=values.number(data.get("creditsConsumed")),
        expired=values.flag(data.get("expireFlag")),
    )

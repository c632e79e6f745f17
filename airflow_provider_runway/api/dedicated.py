"""The dedicated generation of the API: ``/api/v1/runway/*`` and ``/api/v1/aleph/*``.

Source: kie.ai's Runway and Aleph quickstarts, and recorded answers where these differ from the documentation.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_runway.api import values
from airflow_provider_runway.api.requests import ExtendVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.api.tasks import RunwayTask, TaskState, parse_state


def creation(request: RunwayRequest, callback_url: str | None = None) -> tuple[str, dict[str, Any]]:
    """
    Return path and JSON body of a creation; a field that was not set is not in it.

    :param request: What to create.
    :param callback_url: Where kie.ai reports the end; empty means nowhere.
    """
    body: dict[str, Any]
    if isinstance(request, GenerateVideo):
        path = "/api/v1/runway/generate"
        body = {
            "prompt": request.prompt,
            "duration": request.duration,
            "quality": request.quality,
            "imageUrl": request.image_url,
            "aspectRatio": None if request.image_url else request.aspect_ratio,
        }
    elif isinstance(request, ExtendVideo):
        path = "/api/v1/runway/extend"
        body = {"taskId": request.parent_task_id, "prompt": request.prompt, "quality": request.quality}
    else:
        path = "/api/v1/aleph/generate"
        body = {
            "prompt": request.prompt,
            "videoUrl": request.video_url,
            "aspectRatio": request.aspect_ratio,
            "referenceImage": request.reference_image,
            "seed": request.seed,
            "uploadCn": request.upload_cn or None,
        }
    body |= {"waterMark": request.watermark, "callBackUrl": callback_url or None}
    return path, {name: value for name, value in body.items() if value is not None}


def lookup(model: str) -> str:
    """
    Return the path of a status request; the Runway task ID goes into its query as ``taskId``.

    :param model: ``runway`` or ``aleph``.
    """
    return "/api/v1/aleph/record-info" if model == "aleph" else "/api/v1/runway/record-detail"


def read_task(data: dict[str, Any], runway_task_id: str, model: str) -> RunwayTask:
    """
    Read the ``data`` of a status answer.

    :param data: The object; empty values, texts for numbers and the documented forms are all understood.
    :param runway_task_id: The task that was asked for.
    :param model: ``runway`` or ``aleph``.
    """
    read = _read_aleph if model == "aleph" else _read_runway
    return read(data, runway_task_id)


def _read_runway(data: dict[str, Any], runway_task_id: str) -> RunwayTask:
    video = values.mapping(data.get("videoInfo"))
    asked = values.mapping(data.get("generateParam"))
    # The documentation has the time of completion here, as a date; what is sent is the epoch of the creation.
    moment = values.instant(data.get("generateTime"))
    is_completion = values.is_calendar_time(data.get("generateTime"))
    return RunwayTask(
        task_id=runway_task_id,
        model="runway",
        state=parse_state(data.get("state")),
        video_url=values.url(video.get("videoUrl")),
        image_url=values.url(video.get("imageUrl")),
        video_id=values.text(video.get("videoId")),
        parent_task_id=values.text(data.get("parentTaskId")),
        prompt=values.text(asked.get("prompt")),
        error_code=values.failure_code(data.get("failCode")),
        error_message=values.text(data.get("failMsg")),
        created_at=None if is_completion else moment,
        completed_at=moment if is_completion else None,
        credits_consumed=values.number(data.get("creditsConsumed")),
        expired=values.flag(data.get("expireFlag")),
    )


def _read_aleph(data: dict[str, Any], runway_task_id: str) -> RunwayTask:
    result = values.mapping(data.get("response"))
    asked = values.mapping(data.get("paramJson"))
    error_code = values.failure_code(data.get("errorCode"))
    error_message = values.text(data.get("errorMessage"))
    completed_at = values.instant(data.get("completeTime"))
    video_url = values.url(result.get("resultVideoUrl"))
    success_flag = values.number(data.get("successFlag"))
    if values.flag(data.get("successFlag")):
        state = TaskState.SUCCESS
    elif success_flag in (2, 3) or (not success_flag and (error_code or error_message)):
        state = TaskState.FAILED
    elif not success_flag and video_url and (success_flag is None or completed_at):
        state = TaskState.SUCCESS
    elif not success_flag and completed_at:
        # The documentation calls 0 "failed or running": it has failed once there is an end without a video.
        state = TaskState.FAILED
    else:
        state = TaskState.GENERATING
    return RunwayTask(
        task_id=runway_task_id,
        model="aleph",
        state=state,
        video_url=video_url,
        image_url=values.url(result.get("resultImageUrl")),
        prompt=values.text(asked.get("prompt")),
        error_code=error_code,
        error_message=error_message,
        created_at=values.instant(data.get("createTime")),
        completed_at=completed_at,
        credits_consumed=values.number(data.get("creditsConsumed")),
        expired=values.flag(data.get("expireFlag")),
    )

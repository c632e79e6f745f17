"""Bodies that kie.ai sends about a task: the three status forms and the callbacks, oddities included."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from airflow_provider_runway.simulator.tasks import Task

_DEDICATED_STATES = {"waiting": "wait"}
_MARKET_STATES = {"queueing": "queuing"}


def envelope(data: Any, code: int = 200, message: str = "success") -> dict[str, Any]:
    """Wrap an answer as kie.ai does."""
    return {"code": code, "msg": message, "data": data}


def refusal(code: int, message: str) -> dict[str, Any]:
    """Wrap a refusal: one about the key or the credits comes without ``data``."""
    if code in (401, 402):
        return {"code": code, "msg": message}
    return envelope(None, code, message)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def video_url(task: Task, base_url: str) -> str:
    """Return the address of the task's video."""
    return f"{base_url}/results/{task.video_name}"


def image_url(task: Task, base_url: str) -> str:
    """Return the address of the task's thumbnail."""
    return f"{base_url}/results/{task.image_name}"


def record_detail(task: Task, now: float, base_url: str) -> dict[str, Any]:
    """Return ``data`` of the dedicated ``record-detail``, for a generation or an extension."""
    state = task.state(now)
    failed = task.failure if state == "fail" else None
    video = None
    if state == "success":
        video = {
            "videoId": task.video_id,
            "taskId": task.task_id,
            "videoUrl": None if task.without_url else video_url(task, base_url),
            "imageUrl": None if task.without_url else image_url(task, base_url),
        }
    return {
        "taskId": task.task_id,
        "parentTaskId": task.submission.parent_task_id,
        "generateParam": {
            "prompt": task.submission.prompt,
            "imageUrl": task.submission.image_url,
            "expandPrompt": None,
        },
        "state": _DEDICATED_STATES.get(state, state),
        # The documentation promises a date of completion here.
        "generateTime": str(int(task.created_at)),
        "videoInfo": video,
        "failCode": failed[0] if failed else "",
        "failMsg": failed[1] if failed else "",
        "expireFlag": int(task.expired(now)),
    }


def aleph_record_info(task: Task, now: float, base_url: str) -> dict[str, Any]:
    """Return ``data`` of the dedicated Aleph ``record-info``, which knows numbers rather than states."""
    state = task.state(now)
    ended = state in ("success", "fail")
    submission = task.submission
    parameters = {"videoUrl": submission.video_url, "uploadCn": submission.upload_cn}
    skipped = ("videoUrl", "uploadCn", "callBackUrl")
    parameters |= {name: value for name, value in task.body.items() if name not in skipped}
    response = None
    if state == "success":
        response = {
            "taskId": task.task_id,
            "resultVideoUrl": None if task.without_url else video_url(task, base_url),
            "resultImageUrl": None if task.without_url else image_url(task, base_url),
        }
    code: int | None = None
    message: str | None = None
    if state == "fail" and task.failure:
        code, message = task.failure
    elif state == "success":
        code, message = 0, ""
    return {
        "taskId": task.task_id,
        "paramJson": _compact(parameters),
        "response": response,
        # Milliseconds by name, but whole seconds.
        "completeTime": int(task.ends_at or 0) * 1000 if ended else None,
        "createTime": int(task.created_at) * 1000,
        "successFlag": {"success": 1, "fail": 3}.get(state, 0),
        "errorCode": code,
        "errorMessage": message,
    }


def record_info(task: Task, now: float, base_url: str) -> dict[str, Any]:
    """Return ``data`` of the market's ``recordInfo``."""
    state = task.state(now)
    failed = task.failure if state == "fail" else None
    ended = state == "success" or (failed is not None and not task.failed_at_once)
    # The input is JSON inside JSON inside the answer's JSON.
    parameters = _compact(dict(sorted({**task.body, "input": _compact(task.body["input"])}.items())))
    response = None
    if state == "success":
        response = {"resultUrls": [] if task.without_url else [video_url(task, base_url)]}
    # Before the success it is a reservation, which some tasks show and others do not.
    reserved = task.credits if int(task.task_id[0], 16) % 2 else 0.0
    return {
        "taskId": task.task_id,
        "model": task.submission.market_model,
        "state": _MARKET_STATES.get(state, state),
        "param": parameters,
        "resultJson": _compact(response) if response else "",
        "failCode": str(failed[0]) if failed else None,
        "failMsg": failed[1] if failed else None,
        # Seconds, whatever the documentation says.
        "costTime": round((task.ends_at or 0) - task.created_at) if ended else None,
        "completeTime": _milliseconds(task.ends_at or 0) if ended else None,
        "createTime": _milliseconds(task.created_at),
        "creditsConsumed": task.credits if state == "success" else reserved,
        "response": response,
        "successFlag": {"success": 1, "fail": 3}.get(state, 0),
        "operationType": None,
        "paramJson": parameters,
    }


def _market_callback(task: Task, now: float) -> dict[str, Any]:
    seen = record_info(task, now, task.base_url)
    names = ("taskId", "model", "state", "param", "resultJson", "costTime", "completeTime", "createTime")
    data = {name: seen[name] for name in names}
    data |= {"updateTime": _milliseconds(task.ends_at or now), "creditsConsumed": seen["creditsConsumed"]}
    if seen["state"] == "success":
        return envelope(data, 200, "Playground task completed successfully.")
    data |= {"resultJson": None, "failCode": "GENERATION_FAILED", "failMsg": seen["failMsg"]}
    return envelope(data, 501, "Playground task failed.")


def callback(task: Task, now: float, aleph_shape: str = "root") -> dict[str, Any]:
    """Return the body that is posted to ``callBackUrl`` when the task has ended.

    :param aleph_shape: where the dedicated Aleph names its task: ``root`` or ``data``.
    """
    failed = task.failure if task.state(now) == "fail" else None
    video = "" if failed or task.without_url else video_url(task, task.base_url)
    image = "" if failed or task.without_url else image_url(task, task.base_url)
    if task.submission.generation == "market":
        return _market_callback(task, now)
    if task.submission.kind == "aleph":
        if failed:
            # There is no data that could name the task.
            return {**envelope(None, 400, failed[1]), "taskId": task.task_id}
        results = {"result_video_url": video, "result_image_url": image}
        if aleph_shape == "data":
            return envelope({"task_id": task.task_id, **results})
        return {**envelope(results), "taskId": task.task_id}
    if failed and task.submission.kind == "extend":
        return envelope({"task_id": task.task_id}, 500 if failed[0] >= 500 else 400, failed[1])
    data = {
        "task_id": task.task_id,
        "video_id": "" if failed else task.video_id,
        "video_url": video,
        "image_url": image,
    }
    if failed:
        return envelope(data, 500 if failed[0] >= 500 else 400, failed[1])
    return envelope(data, 200, "All generated successfully.")


def signature_headers(task_id: str, key: str, timestamp: int) -> dict[str, str]:
    """Return the headers that prove which task a callback is about; the body is not signed.

    :param timestamp: Unix seconds.
    """
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return {
        "X-Webhook-Timestamp": str(timestamp),
        "X-Webhook-Signature": base64.b64encode(digest).decode(),
    }

"""Verifies and reads what kie.ai posts to a ``callBackUrl``; knows nothing of Airflow.

kie.ai signs the ID of the Runway task and the time, not the body. So a callback proves at most which task has
ended: whoever gets one asks for the task's record, with the API key, before anything of it is believed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_runway.api import values
from airflow_provider_runway.api.tasks import TaskState, parse_state
from airflow_provider_runway.exceptions import RunwayCallbackError as RunwayCallbackError

TIMESTAMP_HEADER = "X-Webhook-Timestamp"
SIGNATURE_HEADER = "X-Webhook-Signature"

#: Bytes; the largest documented body has some 3 KiB.
LARGEST_BODY = 64 * 1024
#: Seconds for which a signature is good, either way, since clocks differ.
LONGEST_AGE = 300.0

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SUCCESS = 200


@dataclass(frozen=True)
class RunwayCallback:
    """
    What a callback says, which is a reason to poll and nothing more.

    :param runway_task_id: The Runway task that it is about.
    :param model: ``runway`` or ``aleph``, as it has to be given to
        :meth:`~airflow_provider_runway.hooks.runway.RunwayHook.get_task`; ``None`` where the body does not
        tell, as after some failures.
    :param succeeded: Whether it says that there is a video.
    :param code: Its code: 200 for a success, 400, 500 or 501 for a failure.
    :param message: Its text, empty where there is none.
    """

    runway_task_id: str
    model: str | None
    succeeded: bool
    code: int
    message: str


def read_callback(
    body: bytes | str,
    *,
    headers: Mapping[str, str] | None = None,
    webhook_hmac_key: str | None = None,
    now: float | None = None,
) -> RunwayCallback:
    """
    Return what a callback says, once its signature is verified.

    All documented forms are read: generate and extend (``data.task_id``), Aleph (``taskId`` beside ``data``,
    or ``data.task_id``) and the market's (``data.taskId``). Documented at
    https://docs.kie.ai/runway-api/generate-ai-video-callbacks, none of them was recorded.

    :param body: The body of the request, at most 64 KiB.
    :param headers: The headers of the request, in any case; needed to verify the signature.
    :param webhook_hmac_key: The account's webhook key; without it, no signature is asked for.
    :param now: The time in epoch seconds; ``None`` means the clock's.
    :raises RunwayCallbackError: it is none of kie.ai's, or not signed by it within the last five minutes.
    """
    raw = body.encode() if isinstance(body, str) else body
    if len(raw) > LARGEST_BODY:
        raise RunwayCallbackError(f"body: has {len(raw)} bytes; a callback has at most {LARGEST_BODY}.")
    try:
        envelope = json.loads(raw)
    # A deep nesting is a RecursionError, an impossible number a ValueError.
    except (ValueError, RecursionError) as error:
        raise RunwayCallbackError(f"body: is no JSON ({error}).") from error
    callback = _read(envelope)
    if webhook_hmac_key:
        check_signature(callback.runway_task_id, headers or {}, webhook_hmac_key, now=now)
    return callback


def check_signature(
    runway_task_id: str, headers: Mapping[str, str], webhook_hmac_key: str, *, now: float | None = None
) -> None:
    """
    Verify that kie.ai has signed an ID within the last five minutes.

    :param runway_task_id: The Runway task ID that the body names.
    :param headers: The headers of the request, in any case.
    :param webhook_hmac_key: The account's webhook key.
    :param now: The time in epoch seconds; ``None`` means the clock's.
    :raises RunwayCallbackError: a header is missing, too old, or not signed with this key.
    """
    told = {name.lower(): value for name, value in headers.items()}
    timestamp = told.get(TIMESTAMP_HEADER.lower(), "").strip()
    if not _TIMESTAMP.fullmatch(timestamp):
        raise RunwayCallbackError(f"{TIMESTAMP_HEADER}={timestamp[:20]!r}: must be Unix seconds.")
    # The signature first: who cannot sign learns nothing of this machine's clock.
    try:
        signed = base64.b64decode(told.get(SIGNATURE_HEADER.lower(), "").strip(), validate=True)
    except (binascii.Error, ValueError):
        signed = b""
    if not hmac.compare_digest(signed, _digest(runway_task_id, timestamp, webhook_hmac_key)):
        raise RunwayCallbackError(f"{SIGNATURE_HEADER}: does not fit the task, the time and the webhook key.")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > LONGEST_AGE:
        raise RunwayCallbackError(
            f"{TIMESTAMP_HEADER}={timestamp}: is {age:.0f} s old; must be at most {LONGEST_AGE:.0f} s."
        )


def signature(runway_task_id: str, timestamp: int, webhook_hmac_key: str) -> dict[str, str]:
    """
    Return the two headers that kie.ai would sign a callback with, for tests of a receiver.

    :param runway_task_id: The Runway task ID.
    :param timestamp: Unix seconds.
    :param webhook_hmac_key: The account's webhook key.
    """
    digest = _digest(runway_task_id, str(timestamp), webhook_hmac_key)
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: base64.b64encode(digest).decode()}


def _digest(runway_task_id: str, timestamp: str, key: str) -> bytes:
    return hmac.new(key.encode(), f"{runway_task_id}.{timestamp}".encode(), hashlib.sha256).digest()


def _read(envelope: object) -> RunwayCallback:
    if not isinstance(envelope, dict):
        raise RunwayCallbackError("body: must be an object with code and data.")
    data = values.mapping(envelope.get("data"))
    names = [envelope.get("taskId"), data.get("taskId"), data.get("task_id")]
    named = {name for value in names if (name := values.identifier(value))}
    if len(named) != 1:
        found = "two different Runway task IDs" if named else "no Runway task ID"
        raise RunwayCallbackError(f"body: names {found}.")
    code = values.number(envelope.get("code"))
    if code is None or not code.is_integer():
        raise RunwayCallbackError(f"body: code={values.text(envelope.get('code'))!r} must be a number.")
    state = data.get("state")
    return RunwayCallback(
        runway_task_id=named.pop(),
        model=_model_of(envelope, data),
        # Only the market's have a state.
        succeeded=code == _SUCCESS and (state in (None, "") or parse_state(state) is TaskState.SUCCESS),
        code=int(code),
        message=values.text(envelope.get("msg")) or "",
    )


def _model_of(envelope: dict[str, object], data: dict[str, object]) -> str | None:
    if "taskId" in envelope or "result_video_url" in data:
        return "aleph"
    if "taskId" in data:
        market = values.text(data.get("model"))
        return None if market is None else "aleph" if "aleph" in market else "runway"
    # A failed task's body can be the ID alone, whichever it is of.
    return "runway" if {"video_url", "video_id"} & data.keys() else None

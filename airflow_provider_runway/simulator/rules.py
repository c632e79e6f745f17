"""What kie.ai demands of a request that creates a task: the fields, in both spellings, and their rules.

Written from the API's facts alone and sharing nothing with the package's client, so that it can convict it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PROMPT_LIMIT = 1800
RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
ALEPH_RATIOS = (*RATIOS, "21:9")
QUALITIES = ("720p", "1080p")

DEDICATED_PATHS = {
    "/api/v1/runway/generate": "generate",
    "/api/v1/runway/extend": "extend",
    "/api/v1/aleph/generate": "aleph",
}
MARKET_PATH = "/api/v1/jobs/createTask"
MARKET_MODELS = {"runway": "generate", "runway/extend-ai-video": "extend", "runway/gen4-aleph": "aleph"}
MISSING = "This field is required"
CREATION_PATHS = frozenset({*DEDICATED_PATHS, MARKET_PATH})


class Refused(Exception):
    """A request that kie.ai answers with a body code other than 200.

    :param code: the code in the body.
    :param message: the ``msg`` beside it.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that was understood, the same for both generations of the API."""

    generation: str
    kind: str
    prompt: str
    duration: int = 5
    quality: str = "720p"
    aspect_ratio: str | None = None
    image_url: str | None = None
    parent_task_id: str | None = None
    video_url: str | None = None
    reference_image: str | None = None
    seed: int | None = None
    upload_cn: bool = False
    watermark: str | None = None
    callback_url: str | None = None

    @property
    def market_model(self) -> str:
        """The model's name on the market."""
        return next(model for model, kind in MARKET_MODELS.items() if kind == self.kind)

    @property
    def credits(self) -> float:
        """The price. That of an extension is not documented: it is taken as a generation's."""
        if self.kind == "aleph":
            return 110.0
        return 12.0 if (self.quality, self.duration) == ("720p", 5) else 30.0


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _filled(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError("must not be empty")
    return str(value)


def _prompt(value: Any) -> str:
    if len(_filled(value)) > PROMPT_LIMIT:
        raise ValueError(f"must not be longer than {PROMPT_LIMIT} characters")
    return str(value)


def _url(value: Any) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be an http or https URL")
    return str(value)


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be an integer")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be a boolean")
    return value


def _dedicated_duration(value: Any) -> int:
    if _integer(value) not in (5, 10):
        raise ValueError("must be 5 or 10")
    return int(value)


def _market_duration(value: Any) -> int:
    if _text(value) not in ("5", "10"):
        raise ValueError('must be "5" or "10"')
    return int(value)


def _one_of(allowed: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if _text(value) not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return check


@dataclass(frozen=True)
class _Field:
    dedicated: str
    market: str
    check: Callable[[Any], Any]
    required: bool = False
    name: str = ""
    #: The market's rule, where it has one of its own.
    market_check: Callable[[Any], Any] | None = None


_PROMPT = _Field("prompt", "prompt", _prompt, required=True)
_QUALITY = _Field("quality", "quality", _one_of(QUALITIES), required=True)
_WATERMARK = _Field("waterMark", "watermark", _text)
_FIELDS: dict[str, tuple[_Field, ...]] = {
    "generate": (
        _PROMPT,
        _Field("duration", "duration", _dedicated_duration, required=True, market_check=_market_duration),
        _QUALITY,
        _Field("imageUrl", "image_url", _url),
        _Field("aspectRatio", "aspect_ratio", _one_of(RATIOS)),
        _WATERMARK,
    ),
    "extend": (
        _Field("taskId", "task_id", _filled, required=True, name="parent_task_id"),
        _PROMPT,
        _QUALITY,
        _WATERMARK,
    ),
    "aleph": (
        _Field("prompt", "prompt", _filled, required=True),
        _Field("videoUrl", "video_url", _url, required=True),
        _Field("aspectRatio", "aspect_ratio", _one_of(ALEPH_RATIOS)),
        _Field("referenceImage", "reference_image", _url),
        _Field("seed", "seed", _integer),
        _Field("uploadCn", "upload_cn", _flag),
        _WATERMARK,
    ),
}


def read_json_object(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return the JSON object in a request's body.

    :raises Refused: 400, where the body or its declared type is not a JSON object.
    """
    if content_type != "application/json":
        raise Refused(400, f"Content-Type must be application/json, got {content_type}")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, "The request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "The request body must be a JSON object")
    return body


def _call_back(body: dict[str, Any]) -> str | None:
    if "callBackUrl" not in body:
        return None
    try:
        return _url(body["callBackUrl"])
    except ValueError as error:
        raise Refused(422, f"callBackUrl {error}") from None


def _read(kind: str, generation: str, fields: dict[str, Any], callback_url: str | None) -> Submission:
    known = {getattr(field, generation): field for field in _FIELDS[kind]}
    for spelling in fields:
        if spelling not in known:
            raise Refused(422, f"{spelling} is not a field of this request")
    values: dict[str, Any] = {}
    for spelling, field in known.items():
        if spelling not in fields:
            if field.required:
                raise _missing(generation, f"{spelling} is required")
            continue
        check = field.check
        if generation == "market":
            check = field.market_check or check
        try:
            values[field.name or field.market] = check(fields[spelling])
        except ValueError as error:
            raise Refused(422, f"{spelling} {error}") from None
    submission = Submission(generation=generation, kind=kind, callback_url=callback_url, **values)
    if kind == "generate":
        if submission.duration == 10 and submission.quality == "1080p":
            raise Refused(422, "duration 10 is not available with quality 1080p")
        if submission.image_url is None and submission.aspect_ratio is None:
            raise _missing(generation, "aspectRatio is required without an image")
    return submission


def _missing(generation: str, message: str) -> Refused:
    # The market does not say which.
    return Refused(500, MISSING) if generation == "market" else Refused(422, message)


def read_submission(path: str, body: dict[str, Any]) -> Submission:
    """Return what a creation asks for, whichever generation of the API it speaks.

    :param path: one of ``CREATION_PATHS``.
    :param body: the request's JSON.
    :raises Refused: 422, naming the field and the rule, where a field is unknown, missing or wrong; 500 where
        one is missing on the market.
    """
    callback_url = _call_back(body)
    if path != MARKET_PATH:
        fields = {name: value for name, value in body.items() if name != "callBackUrl"}
        return _read(DEDICATED_PATHS[path], "dedicated", fields, callback_url)
    for name in body:
        if name not in ("model", "callBackUrl", "input"):
            raise Refused(422, f"{name} is not a field of this request")
    if "model" not in body or "input" not in body:
        raise Refused(500, MISSING)
    kind = MARKET_MODELS.get(body["model"]) if isinstance(body.get("model"), str) else None
    if kind is None:
        raise Refused(422, f"model must be one of {', '.join(MARKET_MODELS)}")
    if not isinstance(body.get("input"), dict):
        raise Refused(422, "input must be an object")
    return _read(kind, "market", body["input"], callback_url)

"""The three requests for a video: their fields, and the rules that kie.ai sets for them.

A rule broken raises :class:`~airflow_provider_runway.exceptions.RunwayValidationError`, a ``ValueError`` that
names the field, the value and the rule, before anything is sent. Rules and limits are those of kie.ai's
documentation of its Runway and Aleph endpoints. A value that came out of a Jinja template (``"5"``,
``"true"``, ``""``) is understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from airflow_provider_runway.api import values
from airflow_provider_runway.exceptions import RunwayValidationError

MAX_PROMPT_LENGTH = 1800
#: What each kind of video costs in credits (one is $0.005): kie.ai's catalogue of 1 October 2026; Aleph by
#: its earlier price list. What an extension costs, neither says.
PRICES: dict[str, float] = {
    "generate-5s-720p": 12.0,
    "generate-10s-720p": 30.0,
    "generate-5s-1080p": 30.0,
    "aleph": 110.0,
}
#: The fields of all requests that hold a URL.
URL_FIELDS = ("image_url", "video_url", "reference_image")
DURATIONS = (5, 10)
QUALITIES = ("720p", "1080p")
ASPECT_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
ALEPH_ASPECT_RATIOS = ("16:9", "9:16", "4:3", "3:4", "1:1", "21:9")
#: How the text of a rule that is broken ends. It is about this request alone.
NOTHING_SENT = "Nothing was sent and nothing was charged."


@dataclass(frozen=True)
class GenerateVideo:
    """
    A new video from a text, or from a text and a picture.

    :param prompt: What to show, 1 to 1800 characters.
    :param duration: Length in seconds, 5 or 10; 10 excludes ``1080p``.
    :param quality: ``720p`` or ``1080p``; ``1080p`` excludes 10 seconds.
    :param aspect_ratio: ``16:9``, ``9:16``, ``1:1``, ``4:3`` or ``3:4``; required without a picture, not sent
        with one (the video then takes the picture's).
    :param image_url: Public URL of a picture to start from.
    :param watermark: Text to draw into the video; empty means none.
    :raises RunwayValidationError: a value that breaks a rule.
    """

    prompt: str
    duration: int = 5
    quality: str = "720p"
    aspect_ratio: str | None = "16:9"
    image_url: str | None = None
    watermark: str | None = None

    model: ClassVar[str] = "runway"

    @property
    def kind(self) -> str:
        """What its duration depends on."""
        return f"generate-{self.duration}s-{self.quality}"

    @property
    def price(self) -> float | None:
        """What it costs in credits, by ``PRICES``."""
        return PRICES.get(self.kind)

    def __post_init__(self) -> None:
        _check_prompt(self.prompt, MAX_PROMPT_LENGTH)
        _normalise(self, duration=_integer("duration", self.duration))
        _check_choice("duration", self.duration, DURATIONS)
        _check_choice("quality", self.quality, QUALITIES)
        if self.duration == 10 and self.quality == "1080p":
            raise _broken(
                "duration", 10, "10 seconds are not available with quality '1080p'; take 5, or '720p'", int
            )
        _normalise(
            self,
            image_url=_url("image_url", self.image_url),
            aspect_ratio=self.aspect_ratio or None,
            watermark=_text("watermark", self.watermark),
        )
        if self.aspect_ratio is not None:
            _check_choice("aspect_ratio", self.aspect_ratio, ASPECT_RATIOS)
        elif self.image_url is None:
            raise _broken(
                "aspect_ratio", None, f"required without image_url: one of {_listed(ASPECT_RATIOS)}"
            )


@dataclass(frozen=True)
class ExtendVideo:
    """
    A continuation of a video that was generated (or extended) before.

    :param parent_task_id: Runway task ID of the video to continue; one of ``1080p`` cannot be extended.
    :param prompt: What happens next, 1 to 1800 characters.
    :param quality: ``720p`` or ``1080p``.
    :param watermark: Text to draw into the video; empty means none.
    :raises RunwayValidationError: a value that breaks a rule.
    """

    parent_task_id: str
    prompt: str
    quality: str = "720p"
    watermark: str | None = None

    model: ClassVar[str] = "runway"
    kind: ClassVar[str] = "extend"

    @property
    def price(self) -> float | None:
        """What it costs in credits: no price list says."""
        return PRICES.get(self.kind)

    def __post_init__(self) -> None:
        check_task_id("parent_task_id", self.parent_task_id)
        _check_prompt(self.prompt, MAX_PROMPT_LENGTH)
        _check_choice("quality", self.quality, QUALITIES)
        _normalise(self, watermark=_text("watermark", self.watermark))


@dataclass(frozen=True)
class GenerateAlephVideo:
    """
    A new video made from another one by Runway's Aleph model.

    :param prompt: What to change; not empty.
    :param video_url: Public URL of the source video: at most 10 MB, of which Aleph uses the first 5 seconds.
    :param aspect_ratio: ``16:9``, ``9:16``, ``4:3``, ``3:4``, ``1:1`` or ``21:9``; not sent where not set.
    :param reference_image: Public URL of a picture to take style or content from.
    :param seed: A whole number that makes results repeatable.
    :param watermark: Text to draw into the video; empty means none.
    :param upload_cn: Whether kie.ai uploads to its storage in China.
    :raises RunwayValidationError: a value that breaks a rule.
    """

    prompt: str
    video_url: str
    aspect_ratio: str | None = None
    reference_image: str | None = None
    seed: int | None = None
    watermark: str | None = None
    upload_cn: bool = False

    model: ClassVar[str] = "aleph"
    kind: ClassVar[str] = "aleph"

    @property
    def price(self) -> float | None:
        """What it costs in credits, by ``PRICES``."""
        return PRICES.get(self.kind)

    def __post_init__(self) -> None:
        _check_prompt(self.prompt, None)
        if not _url("video_url", self.video_url):
            raise _broken("video_url", self.video_url, "required: the public http(s) URL of the source video")
        _normalise(
            self,
            aspect_ratio=self.aspect_ratio or None,
            reference_image=_url("reference_image", self.reference_image),
            seed=_optional_integer("seed", self.seed),
            watermark=_text("watermark", self.watermark),
            upload_cn=_boolean("upload_cn", self.upload_cn),
        )
        if self.aspect_ratio is not None:
            _check_choice("aspect_ratio", self.aspect_ratio, ALEPH_ASPECT_RATIOS)


RunwayRequest: TypeAlias = GenerateVideo | ExtendVideo | GenerateAlephVideo


def request_to_dict(request: RunwayRequest) -> dict[str, Any]:
    """
    Return a request as plain data for another process; :func:`request_from_dict` reads it back. URLs are
    without their query, which may hold a signature: it tells what was asked for, and is not to be sent.

    :param request: The request.
    """
    told: dict[str, Any] = {"kind": request.kind}
    for field in fields(request):
        value = getattr(request, field.name)
        told[field.name] = value.partition("?")[0] if value and field.name in URL_FIELDS else value
    return told


def request_from_dict(told: dict[str, Any]) -> RunwayRequest:
    """
    Read a request back that :func:`request_to_dict` wrote; what a later version of the package added is left
    out.

    :param told: The plain data.
    """
    kinds: dict[str, type[RunwayRequest]] = {"extend": ExtendVideo, "aleph": GenerateAlephVideo}
    cls = kinds.get(told["kind"], GenerateVideo)
    return cls(**{field.name: told[field.name] for field in fields(cls) if field.name in told})


def check_task_id(field: str, value: Any) -> None:
    """
    Check that a value can be a Runway task ID: a non-empty text without white space.

    :param field: The argument's name, for the error.
    :param value: The value to check.
    :raises RunwayValidationError: if it cannot.
    """
    if not isinstance(value, str) or values.identifier(value) != value:
        raise _broken(field, value, "must be a Runway task ID, a non-empty text without spaces")
    _check_not_none(field, value)


def check_url(field: str, value: Any) -> str:
    """
    Check that a value is an absolute http or https URL, and return it.

    :param field: The argument's name, for the error.
    :param value: The value to check.
    :raises RunwayValidationError: if it is none.
    """
    url = _url(field, value)
    if url is None:
        raise _broken(field, value, "required: an absolute http(s) URL")
    return url


def _broken(field: str, value: Any, rule: str, wanted: type = str) -> RunwayValidationError:
    shown = repr(value)
    if not isinstance(value, str | None) and type(value) is not wanted:
        kind = type(value).__name__
        rule += f", and this is {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        if wanted is str:
            rule += ", as render_template_as_native_obj makes of a text that looks like one"
    if len(shown) > 120:
        shown = f"{shown[:100]}… ({len(value)} characters)" if isinstance(value, str) else f"{shown[:100]}…"
    return RunwayValidationError(f"{field}={shown}: {rule}. {NOTHING_SENT}")


def _listed(choices: tuple[Any, ...]) -> str:
    return ", ".join(repr(choice) for choice in choices)


def _normalise(request: Any, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(request, name, value)


def _check_choice(field: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise _broken(field, value, f"must be one of {_listed(choices)}", type(choices[0]))


def _check_not_none(field: str, value: str) -> None:
    if value == "None":
        raise _broken(
            field, value, "is what a template makes of an XCom that is not there; check the task upstream"
        )


def _check_prompt(prompt: Any, longest: int | None) -> None:
    if not isinstance(prompt, str) or not prompt.strip():
        raise _broken("prompt", prompt, "required: a text that is not empty")
    _check_not_none("prompt", prompt)
    _check_unicode("prompt", prompt)
    if longest is not None and len(prompt) > longest:
        raise _broken("prompt", prompt, f"must have at most {longest} characters")


def _text(field: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _broken(field, value, "must be a text")
    _check_not_none(field, value)
    _check_unicode(field, value)
    return value


def _check_unicode(field: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _broken(field, value, "must be Unicode text; half of a surrogate pair is none") from None


def _integer(field: str, value: Any) -> int:
    if isinstance(value, str):
        if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
            return int(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    raise _broken(field, value, "must be a whole number", int)


def _optional_integer(field: str, value: Any) -> int | None:
    return None if value is None or value == "" else _integer(field, value)


def _boolean(field: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise _broken(field, value, "must be true or false", bool)


def _url(field: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or values.url(value) != value:
        raise _broken(field, value, "must be an absolute http(s) URL without spaces")
    return value

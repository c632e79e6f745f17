"""The three requests: what is sent in both generations of the API, and what is refused before anything is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from airflow_provider_runway.api import dedicated, market
from airflow_provider_runway.api.answers import Dialect, check_lookup
from airflow_provider_runway.api.requests import (
    PRICES,
    ExtendVideo,
    GenerateAlephVideo,
    GenerateVideo,
    RunwayRequest,
    check_task_id,
    check_url,
    request_from_dict,
    request_to_dict,
)
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError
from tests.recorded import RECORDED

# A request, its body at the dedicated routes, its input at the market's.
Row: TypeAlias = tuple[RunwayRequest, dict[str, Any], dict[str, Any]]

IMAGE = "https://example.com/cat.png"
VIDEO = "https://example.com/source.mp4"
CALLBACK = "https://airflow.example.com/runway/callback"


def generate(**fields: Any) -> GenerateVideo:
    return GenerateVideo(**{"prompt": "A cat", **fields})


def extend(**fields: Any) -> ExtendVideo:
    return ExtendVideo(**{"parent_task_id": "abc123", "prompt": "It jumps", **fields})


def aleph(**fields: Any) -> GenerateAlephVideo:
    return GenerateAlephVideo(**{"prompt": "As watercolour", "video_url": VIDEO, **fields})


GENERATE_DEDICATED = {"prompt": "A cat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
GENERATE_MARKET = {"prompt": "A cat", "duration": "5", "quality": "720p", "aspect_ratio": "16:9"}
EXTEND_DEDICATED = {"taskId": "abc123", "prompt": "It jumps", "quality": "720p"}
EXTEND_MARKET = {"task_id": "abc123", "prompt": "It jumps", "quality": "720p"}
ALEPH_DEDICATED = {"prompt": "As watercolour", "videoUrl": VIDEO}
ALEPH_MARKET = {"prompt": "As watercolour", "video_url": VIDEO}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


# For each documented field.
GENERATIONS: dict[str, Row] = {
    "only a prompt": (generate(), GENERATE_DEDICATED, GENERATE_MARKET),
    "duration": (
        generate(duration=10),
        {**GENERATE_DEDICATED, "duration": 10},
        {**GENERATE_MARKET, "duration": "10"},
    ),
    "quality": (
        generate(quality="1080p"),
        {**GENERATE_DEDICATED, "quality": "1080p"},
        {**GENERATE_MARKET, "quality": "1080p"},
    ),
    **{
        f"aspect ratio {ratio}": (
            generate(aspect_ratio=ratio),
            {**GENERATE_DEDICATED, "aspectRatio": ratio},
            {**GENERATE_MARKET, "aspect_ratio": ratio},
        )
        for ratio in ("16:9", "9:16", "1:1", "4:3", "3:4")
    },
    "image, so no aspect ratio": (
        generate(image_url=IMAGE, aspect_ratio="9:16"),
        {**without(GENERATE_DEDICATED, "aspectRatio"), "imageUrl": IMAGE},
        {**without(GENERATE_MARKET, "aspect_ratio"), "image_url": IMAGE},
    ),
    "image, aspect ratio not given": (
        generate(image_url=IMAGE, aspect_ratio=None),
        {**without(GENERATE_DEDICATED, "aspectRatio"), "imageUrl": IMAGE},
        {**without(GENERATE_MARKET, "aspect_ratio"), "image_url": IMAGE},
    ),
    "watermark": (
        generate(watermark="ACME"),
        {**GENERATE_DEDICATED, "waterMark": "ACME"},
        {**GENERATE_MARKET, "watermark": "ACME"},
    ),
    "empty texts as not set": (
        generate(watermark="", image_url=""),
        GENERATE_DEDICATED,
        GENERATE_MARKET,
    ),
    "rendered templates": (
        generate(duration="10", image_url=IMAGE, aspect_ratio=""),
        {"prompt": "A cat", "duration": 10, "quality": "720p", "imageUrl": IMAGE},
        {"prompt": "A cat", "duration": "10", "quality": "720p", "image_url": IMAGE},
    ),
    "a whole number as a float": (generate(duration=5.0), GENERATE_DEDICATED, GENERATE_MARKET),
}
EXTENSIONS: dict[str, Row] = {
    "parent and prompt": (extend(), EXTEND_DEDICATED, EXTEND_MARKET),
    "quality": (
        extend(quality="1080p"),
        {**EXTEND_DEDICATED, "quality": "1080p"},
        {**EXTEND_MARKET, "quality": "1080p"},
    ),
    "watermark": (
        extend(watermark="ACME"),
        {**EXTEND_DEDICATED, "waterMark": "ACME"},
        {**EXTEND_MARKET, "watermark": "ACME"},
    ),
    "empty watermark": (extend(watermark=""), EXTEND_DEDICATED, EXTEND_MARKET),
}
ALEPHS: dict[str, Row] = {
    "prompt and source": (aleph(), ALEPH_DEDICATED, ALEPH_MARKET),
    **{
        f"aspect ratio {ratio}": (
            aleph(aspect_ratio=ratio),
            {**ALEPH_DEDICATED, "aspectRatio": ratio},
            {**ALEPH_MARKET, "aspect_ratio": ratio},
        )
        for ratio in ("16:9", "9:16", "4:3", "3:4", "1:1", "21:9")
    },
    "reference image": (
        aleph(reference_image=IMAGE),
        {**ALEPH_DEDICATED, "referenceImage": IMAGE},
        {**ALEPH_MARKET, "reference_image": IMAGE},
    ),
    "seed": (aleph(seed=42), {**ALEPH_DEDICATED, "seed": 42}, {**ALEPH_MARKET, "seed": 42}),
    "seed zero is a seed": (aleph(seed=0), {**ALEPH_DEDICATED, "seed": 0}, {**ALEPH_MARKET, "seed": 0}),
    "seed as a text": (aleph(seed="42"), {**ALEPH_DEDICATED, "seed": 42}, {**ALEPH_MARKET, "seed": 42}),
    "upload in China": (
        aleph(upload_cn=True),
        {**ALEPH_DEDICATED, "uploadCn": True},
        {**ALEPH_MARKET, "upload_cn": True},
    ),
    "upload in China as a text": (
        aleph(upload_cn="True"),
        {**ALEPH_DEDICATED, "uploadCn": True},
        {**ALEPH_MARKET, "upload_cn": True},
    ),
    "watermark": (
        aleph(watermark="ACME"),
        {**ALEPH_DEDICATED, "waterMark": "ACME"},
        {**ALEPH_MARKET, "watermark": "ACME"},
    ),
    "empty texts as not set": (
        aleph(watermark="", aspect_ratio="", reference_image="", seed="", upload_cn="false"),
        ALEPH_DEDICATED,
        ALEPH_MARKET,
    ),
}
ROUTES = {
    GenerateVideo: ("/api/v1/runway/generate", "runway"),
    ExtendVideo: ("/api/v1/runway/extend", "runway/extend-ai-video"),
    GenerateAlephVideo: ("/api/v1/aleph/generate", "runway/gen4-aleph"),
}
EVERY_FIELD = [
    pytest.param(*row, id=f"{kind}: {name}")
    for kind, rows in {"generate": GENERATIONS, "extend": EXTENSIONS, "aleph": ALEPHS}.items()
    for name, row in rows.items()
]


@pytest.mark.parametrize(("request_", "dedicated_body", "market_input"), EVERY_FIELD)
class TestFieldsAreSent:
    def test_dedicated(
        self, request_: RunwayRequest, dedicated_body: dict[str, Any], market_input: dict[str, Any]
    ) -> None:
        path, body = dedicated.creation(request_)
        assert path == ROUTES[type(request_)][0]
        # As JSON, since 5 and 5.0, 1 and True are equal in Python but not to the service.
        assert json.dumps(body, sort_keys=True) == json.dumps(dedicated_body, sort_keys=True)

    def test_market(
        self, request_: RunwayRequest, dedicated_body: dict[str, Any], market_input: dict[str, Any]
    ) -> None:
        path, body = market.creation(request_)
        assert path == "/api/v1/jobs/createTask"
        assert json.dumps(body, sort_keys=True) == json.dumps(
            {"model": ROUTES[type(request_)][1], "input": market_input}, sort_keys=True
        )

    def test_a_callback_stands_beside_the_fields(
        self, request_: RunwayRequest, dedicated_body: dict[str, Any], market_input: dict[str, Any]
    ) -> None:
        assert dedicated.creation(request_, CALLBACK)[1] == {**dedicated_body, "callBackUrl": CALLBACK}
        assert market.creation(request_, CALLBACK)[1] == {
            "model": ROUTES[type(request_)][1],
            "callBackUrl": CALLBACK,
            "input": market_input,
        }

    def test_a_callback_that_is_not_set_is_not_sent(
        self, request_: RunwayRequest, dedicated_body: dict[str, Any], market_input: dict[str, Any]
    ) -> None:
        for generation in (dedicated, market):
            for unset in (None, ""):
                assert generation.creation(request_, unset) == generation.creation(request_)


def test_the_recorded_creation_is_what_is_sent() -> None:
    recorded = RECORDED["generate_accepted"]["request"]
    request = GenerateVideo(prompt="A golden retriever running through a field of wildflowers")
    assert dedicated.creation(request) == (recorded["path"], recorded["body"])


def test_the_status_routes() -> None:
    assert dedicated.lookup("runway") == "/api/v1/runway/record-detail"
    assert dedicated.lookup("aleph") == "/api/v1/aleph/record-info"
    assert market.lookup("runway") == market.lookup("aleph") == "/api/v1/jobs/recordInfo"
    assert RECORDED["record_detail_generating"]["request"]["path"].startswith(
        dedicated.lookup("runway") + "?taskId="
    )


@pytest.mark.parametrize(
    ("request_", "model"), [(generate(), "runway"), (extend(), "runway"), (aleph(), "aleph")]
)
def test_a_request_knows_the_model_to_look_its_task_up_with(request_: RunwayRequest, model: str) -> None:
    assert request_.model == model


@pytest.mark.parametrize("request_", [generate(), extend(), aleph()], ids=["generate", "extend", "aleph"])
def test_a_request_is_frozen(request_: RunwayRequest) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        request_.prompt = "Another"  # type: ignore[misc]


@pytest.mark.parametrize(
    "prompt", ["x", "x" * 1800, "猫が走る", "🐈" * 900, 'quotes " \\ and\nlines\t\x00', "é" * 1800]
)
@pytest.mark.parametrize("generation", [dedicated, market], ids=["dedicated", "market"])
def test_a_prompt_of_any_unicode_is_sent_unchanged(prompt: str, generation: Dialect) -> None:
    for request in (generate(prompt=prompt), extend(prompt=prompt), aleph(prompt=prompt)):
        body = json.loads(json.dumps(generation.creation(request)[1]))
        assert body.get("input", body)["prompt"] == prompt


def test_alephs_prompt_has_no_limit_of_its_own() -> None:
    assert aleph(prompt="x" * 5000).prompt == "x" * 5000


# The call, the field that the text must name, what it must show of the value, and words of the rule.
NO_URLS: list[Any] = [
    "cat.png",
    "/tmp/cat.png",
    "ftp://example.com/cat",
    "//example.com/cat",
    "https://",
    "https:///cat",
]
NO_URLS += [
    "https://example.com/a cat",
    "https://example.com/\n",
    "http://[",
    "http://example.com:x/",
    " ",
    5,
    b"x",
    ["x"],
]
BROKEN_RULES = [
    *[
        (generate, {"prompt": value}, "prompt", repr(value), "required")
        for value in ("", None, "  \n", 5, ["A cat"])
    ],
    *[
        (call, {field: "None"}, field, "'None'", "what a template makes of an XCom that is not there")
        for call in (generate, extend, aleph)
        for field in ("prompt", "watermark")
    ],
    (generate, {"prompt": "x" * 1801}, "prompt", "1801", "1800"),
    (generate, {"prompt": "half \ud83d"}, "prompt", r"half \ud83d", "Unicode"),
    *[(generate, {"duration": value}, "duration", repr(value), "5, 10") for value in (0, 6, -5, 15)],
    *[
        (generate, {"duration": value}, "duration", repr(value), "whole number")
        for value in ("five", "", None, 5.5, True, "5.5", float("nan"), float("inf"), [5], "9" * 5000)
    ],
    (generate, {"duration": 10, "quality": "1080p"}, "duration", "10", "'1080p'"),
    (generate, {"duration": "10", "quality": "1080p"}, "duration", "10", "'1080p'"),
    *[
        (call, {"quality": value}, "quality", repr(value), "'720p', '1080p'")
        for call in (generate, extend)
        for value in ("4k", "720", 720, "", None, ["720p"])
    ],
    *[
        (
            generate,
            {"aspect_ratio": value},
            "aspect_ratio",
            repr(value),
            "'16:9', '9:16', '1:1', '4:3', '3:4'",
        )
        for value in ("21:9", "2:1", "16x9", 1.5, ["16:9"])
    ],
    *[(generate, {"aspect_ratio": value}, "aspect_ratio", "None", "required") for value in (None, "")],
    *[(generate, {"image_url": value}, "image_url", repr(value), "URL") for value in NO_URLS],
    *[(call, {"watermark": 5}, "watermark", "5", "text") for call in (generate, extend, aleph)],
    *[
        (extend, {"parent_task_id": value}, "parent_task_id", repr(value), "task ID")
        for value in ("", None, 5, "a b", " abc", "abc\n", "null", "\x00", "\ud800")
    ],
    (extend, {"prompt": ""}, "prompt", "''", "required"),
    (extend, {"prompt": "x" * 1801}, "prompt", "1801", "1800"),
    (aleph, {"prompt": ""}, "prompt", "''", "required"),
    *[(aleph, {"video_url": value}, "video_url", repr(value), "required") for value in ("", None)],
    *[(aleph, {"video_url": value}, "video_url", repr(value), "URL") for value in NO_URLS],
    *[(aleph, {"reference_image": value}, "reference_image", repr(value), "URL") for value in NO_URLS],
    *[
        (
            aleph,
            {"aspect_ratio": value},
            "aspect_ratio",
            repr(value),
            "'16:9', '9:16', '4:3', '3:4', '1:1', '21:9'",
        )
        for value in ("2:3", "9:21", 5)
    ],
    *[(aleph, {"seed": value}, "seed", repr(value), "whole number") for value in ("abc", 1.5, True, [1])],
    *[
        (aleph, {"upload_cn": value}, "upload_cn", repr(value), "true or false")
        for value in ("maybe", 1, None)
    ],
]


@pytest.mark.parametrize(
    ("call", "fields", "field", "shown", "rule"),
    BROKEN_RULES,
    ids=[f"{call.__name__} {str(fields)[:50]!a}" for call, fields, *_ in BROKEN_RULES],
)
def test_a_broken_rule_names_field_value_and_rule_and_is_not_retried(
    call: Callable[..., RunwayRequest], fields: dict[str, Any], field: str, shown: str, rule: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}=") as caught:
        call(**fields)
    text = str(caught.value)
    assert shown[:100] in text
    assert rule in text
    assert "nothing was charged" in text.lower()
    assert len(text) < 400
    assert isinstance(caught.value, RunwayError)
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize(
    ("call", "fields", "kind"),
    [
        (generate, {"prompt": 1984}, "an int"),
        (extend, {"prompt": 3.14}, "a float"),
        (aleph, {"prompt": ["A cat"]}, "a list"),
        (generate, {"prompt": True}, "a bool"),
        (generate, {"watermark": 2026}, "an int"),
        (generate, {"quality": 720}, "an int"),
        (generate, {"aspect_ratio": 1.5}, "a float"),
        (generate, {"image_url": {"url": IMAGE}}, "a dict"),
        (extend, {"parent_task_id": 394580272376856}, "an int"),
        (aleph, {"seed": 1.5}, "a float"),
    ],
)
def test_a_value_of_another_type_has_its_type_named(
    call: Callable[..., RunwayRequest], fields: dict[str, Any], kind: str
) -> None:
    """Where a DAG renders its templates natively, the prompt "1984" arrives as a number."""
    with pytest.raises(RunwayValidationError, match=f"this is {kind}") as caught:
        call(**fields)
    native = "render_template_as_native_obj" in str(caught.value)
    assert native is ("seed" not in fields), "that makes numbers of texts, not the other way round"


@pytest.mark.parametrize(
    "fields", [{"prompt": ""}, {"prompt": None}, {"duration": 6}, {"quality": "4k"}, {"duration": "five"}]
)
def test_a_value_of_the_right_type_has_no_type_named(fields: dict[str, Any]) -> None:
    with pytest.raises(RunwayValidationError) as caught:
        generate(**fields)
    assert "this is a" not in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "price"),
    [
        (generate(), 12.0),
        (generate(duration=10), 30.0),
        (generate(quality="1080p"), 30.0),
        (generate(image_url=IMAGE), 12.0),
        (extend(), None),
        (extend(quality="1080p"), None),
        (aleph(), 110.0),
    ],
)
def test_a_request_knows_its_price_where_kie_ai_names_one(
    request_: RunwayRequest, price: float | None
) -> None:
    assert request_.price == price


def test_the_price_list_is_in_the_docs() -> None:
    listed = {
        "generate-5s-720p": "| generate, 5 s in `720p` |",
        "generate-10s-720p": "| generate, 10 s in `720p` |",
        "generate-5s-1080p": "| generate, 5 s in `1080p` |",
        "aleph": "| Aleph |",
    }
    assert listed.keys() == PRICES.keys()
    page = Path(__file__, "../../../../docs/prices.md").resolve().read_text(encoding="utf-8")
    rows = [f"{row} {PRICES[kind]:g} | ${PRICES[kind] * 0.005:.2f} |" for kind, row in listed.items()]
    # What nobody has told is not made up.
    assert extend().price is None
    rows.append("| extend | not listed | |")
    assert page.split("|---|---|---|\n", 1)[1].split("\n\n", 1)[0].splitlines() == rows


@pytest.mark.parametrize(("request_", "dedicated_body", "market_input"), EVERY_FIELD)
def test_a_request_survives_the_way_to_another_process(
    request_: RunwayRequest, dedicated_body: dict[str, Any], market_input: dict[str, Any]
) -> None:
    told = json.loads(json.dumps(request_to_dict(request_)))
    assert request_from_dict({**told, "of a later release": 1}) == request_


def test_a_signature_does_not_go_along() -> None:
    request_ = aleph(video_url=f"{VIDEO}?signature=1", reference_image=f"{IMAGE}?signature=2")
    told = request_to_dict(request_)
    assert "signature" not in json.dumps(told)
    assert request_from_dict(told) == aleph(video_url=VIDEO, reference_image=IMAGE)


@pytest.mark.parametrize("runway_task_id", ["7d2c58e1cf02a1a1b9c447cee9e0e5f7", "a-b_c.d/e", "Ü"])
def test_a_task_id_is_opaque(runway_task_id: str) -> None:
    check_task_id("runway_task_id", runway_task_id)
    check_lookup(runway_task_id, "runway")


@pytest.mark.parametrize(("runway_task_id", "model"), [("", "runway"), (None, "runway"), ("a b", "aleph")])
def test_a_lookup_without_an_id_is_refused(runway_task_id: Any, model: str) -> None:
    with pytest.raises(RunwayValidationError, match=r"^runway_task_id="):
        check_lookup(runway_task_id, model)


@pytest.mark.parametrize("model", ["", None, "sora", "Runway", ["runway"]])
def test_a_lookup_of_an_unknown_model_is_refused(model: Any) -> None:
    with pytest.raises(RunwayValidationError, match=r"^model=.*'runway'.*'aleph'"):
        check_lookup("abc", model)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://127.0.0.1:8089/v.mp4?x=1#t",
        "HTTPS://EXAMPLE.COM/V.MP4",
        "https://[::1]:80/",
        "https://例え.jp/猫",
    ],
)
def test_an_http_url_is_taken_as_it_is(url: str) -> None:
    assert check_url("video_url", url) == url
    assert generate(image_url=url).image_url == url


@pytest.mark.parametrize("value", [None, "", *NO_URLS])
def test_what_is_no_url_is_refused(value: Any) -> None:
    with pytest.raises(RunwayValidationError, match=r"^video_url="):
        check_url("video_url", value)


def test_what_1080p_excludes_is_named_with_its_value() -> None:
    with pytest.raises(RunwayValidationError, match=r"duration=10\b"):
        GenerateVideo(prompt="A cat", duration=10, quality="1080p")

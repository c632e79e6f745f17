"""The simulator accepts what the API's facts allow, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import MARKET_TEXT_TO_VIDEO, TEXT_TO_VIDEO, Client

GENERATE, EXTEND, ALEPH = "/api/v1/runway/generate", "/api/v1/runway/extend", "/api/v1/aleph/generate"
MARKET = "/api/v1/jobs/createTask"
PICTURE, VIDEO = "https://files.example.com/a.png", "https://files.example.com/a.mp4"
EXTENSION = {"taskId": "7d2c58e1", "prompt": "It sails on", "quality": "720p"}
RESTYLING = {"prompt": "Ink", "videoUrl": VIDEO}
REMOVED = object()


def changed(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**body, **changes}.items() if value is not REMOVED}


def market(model: str, fields: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"model": model, "input": fields, **top}


MARKET_FIELDS: dict[str, Any] = MARKET_TEXT_TO_VIDEO["input"]

ACCEPTED = [
    (GENERATE, TEXT_TO_VIDEO),
    (GENERATE, changed(TEXT_TO_VIDEO, prompt="x" * 1800, duration=10, aspectRatio="3:4", waterMark="")),
    (GENERATE, changed(TEXT_TO_VIDEO, aspectRatio=REMOVED, imageUrl=PICTURE)),
    (GENERATE, changed(TEXT_TO_VIDEO, imageUrl=PICTURE, callBackUrl="http://127.0.0.1:1/", quality="1080p")),
    (EXTEND, EXTENSION),
    (EXTEND, changed(EXTENSION, quality="1080p", waterMark="ACME")),
    (ALEPH, RESTYLING),
    (ALEPH, changed(RESTYLING, aspectRatio="21:9", referenceImage=PICTURE, seed=7, uploadCn=True)),
    (MARKET, MARKET_TEXT_TO_VIDEO),
    (MARKET, market("runway", {**MARKET_FIELDS, "duration": "10", "image_url": PICTURE, "watermark": "A"})),
    (MARKET, market("runway", changed(MARKET_FIELDS, aspect_ratio=REMOVED, image_url=PICTURE))),
    (MARKET, market("runway/extend-ai-video", {"task_id": "7d2c", "prompt": "On", "quality": "720p"})),
    (
        MARKET,
        market("runway/gen4-aleph", {"prompt": "Ink", "video_url": VIDEO, "seed": 1, "upload_cn": False}),
    ),
    (MARKET, {**MARKET_TEXT_TO_VIDEO, "callBackUrl": "http://127.0.0.1:1/"}),
]

REFUSED = [
    (GENERATE, changed(TEXT_TO_VIDEO, prompt=REMOVED), "prompt"),
    (GENERATE, changed(TEXT_TO_VIDEO, prompt=""), "prompt"),
    (GENERATE, changed(TEXT_TO_VIDEO, prompt="x" * 1801), "prompt"),
    (GENERATE, changed(TEXT_TO_VIDEO, prompt=5), "prompt"),
    (GENERATE, changed(TEXT_TO_VIDEO, duration="5"), "duration"),
    (GENERATE, changed(TEXT_TO_VIDEO, duration=7), "duration"),
    (GENERATE, changed(TEXT_TO_VIDEO, duration=True), "duration"),
    (GENERATE, changed(TEXT_TO_VIDEO, duration=5.0), "duration"),
    (GENERATE, changed(TEXT_TO_VIDEO, duration=10, quality="1080p"), "1080p"),
    (GENERATE, changed(TEXT_TO_VIDEO, quality=REMOVED), "quality"),
    (GENERATE, changed(TEXT_TO_VIDEO, quality="480p"), "quality"),
    (GENERATE, changed(TEXT_TO_VIDEO, aspectRatio=REMOVED), "aspectRatio"),
    (GENERATE, changed(TEXT_TO_VIDEO, aspectRatio="21:9"), "aspectRatio"),
    (GENERATE, changed(TEXT_TO_VIDEO, imageUrl=None), "imageUrl"),
    (GENERATE, changed(TEXT_TO_VIDEO, imageUrl="a.png"), "imageUrl"),
    (GENERATE, changed(TEXT_TO_VIDEO, image_url=PICTURE), "image_url"),
    (GENERATE, changed(TEXT_TO_VIDEO, watermark="A"), "watermark"),
    (GENERATE, changed(TEXT_TO_VIDEO, waterMark=1), "waterMark"),
    (GENERATE, changed(TEXT_TO_VIDEO, callBackUrl=""), "callBackUrl"),
    (EXTEND, changed(EXTENSION, taskId=REMOVED), "taskId"),
    (EXTEND, changed(EXTENSION, taskId=""), "taskId"),
    (EXTEND, changed(EXTENSION, duration=5), "duration"),
    (EXTEND, changed(EXTENSION, quality=REMOVED), "quality"),
    (ALEPH, changed(RESTYLING, videoUrl=REMOVED), "videoUrl"),
    (ALEPH, changed(RESTYLING, videoUrl="ftp://files.example.com/a.mp4"), "videoUrl"),
    (ALEPH, changed(RESTYLING, seed="7"), "seed"),
    (ALEPH, changed(RESTYLING, uploadCn="false"), "uploadCn"),
    (ALEPH, changed(RESTYLING, aspectRatio="2:1"), "aspectRatio"),
    (ALEPH, changed(RESTYLING, quality="720p"), "quality"),
    (MARKET, market("runway", {**MARKET_FIELDS, "duration": 5}), "duration"),
    (MARKET, market("runway", {**MARKET_FIELDS, "aspectRatio": "1:1"}), "aspectRatio"),
    (MARKET, market("runway", {**MARKET_FIELDS, "callBackUrl": "http://127.0.0.1:1/"}), "callBackUrl"),
    (MARKET, market("runway", "{}"), "input"),  # type: ignore[arg-type]
    (MARKET, market("runway/unknown", MARKET_FIELDS), "model"),
    (MARKET, market("runway", {**MARKET_FIELDS, "aspect_ratio": "21:9"}), "aspect_ratio"),
    (MARKET, {**MARKET_TEXT_TO_VIDEO, "prompt": "x"}, "prompt"),
]


@pytest.mark.parametrize(("path", "body"), ACCEPTED)
def test_a_request_within_the_rules_is_accepted(client: Client, path: str, body: Any) -> None:
    assert client.post(path, body).json()["code"] == 200


@pytest.mark.parametrize(("path", "body", "named"), REFUSED)
def test_a_broken_rule_is_named_and_costs_nothing(
    simulator: Simulator, client: Client, path: str, body: Any, named: str
) -> None:
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["code"]) == (200, 422)
    assert named in answer.json()["msg"]
    assert simulator.creations == []
    assert simulator.balance == 5916.25


@pytest.mark.parametrize(
    "body",
    [
        {"input": MARKET_FIELDS},
        {"model": "runway"},
        market("runway", changed(MARKET_FIELDS, prompt=REMOVED)),
        market("runway", changed(MARKET_FIELDS, quality=REMOVED)),
        market("runway", changed(MARKET_FIELDS, duration=REMOVED)),
        market("runway", changed(MARKET_FIELDS, aspect_ratio=REMOVED)),
        market("runway/extend-ai-video", {"prompt": "On", "quality": "720p"}),
    ],
)
def test_a_field_that_is_missing_on_the_market_is_a_500_that_does_not_name_it(
    simulator: Simulator, client: Client, body: Any
) -> None:
    answer = client.post(MARKET, body)
    assert answer.status_code == 200
    assert answer.json() == {"code": 500, "msg": "This field is required", "data": None}
    assert simulator.creations == []


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"", "application/json"),
        pytest.param(b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", id="deep"),
        (b"{}", "text/plain"),
        (b"prompt=x", "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_bad_request(
    client: Client, content: bytes, content_type: str
) -> None:
    answer = client.session.post(
        client.url + GENERATE, data=content, headers={"Content-Type": content_type}, timeout=30
    )
    assert (answer.status_code, answer.json()["code"]) == (200, 400)


def test_a_status_without_a_task_id_is_refused(client: Client) -> None:
    assert client.get("/api/v1/runway/record-detail").json()["code"] == 422

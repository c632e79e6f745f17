"""Callbacks: every documented form is read, and what kie.ai has not signed is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_runway.api.callbacks import RunwayCallback, check_signature, read_callback, signature
from airflow_provider_runway.exceptions import RunwayCallbackError

ID = "ee603959-debb-48d1-98c4-a6d1c717eba6"
KEY = "a-webhook-key"
NOW = 1_763_900_000
VIDEO = "https://kie.example/v.mp4"

MARKET = {
    "taskId": ID,
    "param": "{}",
    "costTime": 21,
    "completeTime": 1_763_900_000_000,
    "createTime": 1_763_899_979_000,
    "updateTime": 1_763_900_000_000,
    "creditsConsumed": 12,
}
RUNWAY_DATA = {"task_id": ID, "video_id": "v1", "video_url": VIDEO, "image_url": "https://kie.example/v.jpg"}
EMPTY_DATA = {"task_id": ID, "video_id": "", "video_url": "", "image_url": ""}
ALEPH_DATA = {"result_video_url": VIDEO, "result_image_url": "https://kie.example/v.jpg"}

#: Body, then model, success and code: the three forms of the API's README, and both that Aleph's pages show.
FORMS: dict[str, tuple[dict[str, Any], str | None, bool, int]] = {
    "generate": (
        {"code": 200, "msg": "All generated successfully.", "data": RUNWAY_DATA},
        "runway",
        True,
        200,
    ),
    "generate refused": ({"code": 400, "msg": "moderated", "data": EMPTY_DATA}, "runway", False, 400),
    "generate failed": ({"code": 500, "msg": "trouble", "data": EMPTY_DATA}, "runway", False, 500),
    "extend failed": ({"code": 500, "msg": "trouble", "data": {"task_id": ID}}, None, False, 500),
    "aleph": ({"code": 200, "msg": "success", "data": ALEPH_DATA, "taskId": ID}, "aleph", True, 200),
    "aleph within data": (
        {"code": 200, "msg": "success", "data": {**ALEPH_DATA, "task_id": ID}},
        "aleph",
        True,
        200,
    ),
    "aleph failed": ({"code": 400, "msg": "no", "data": None, "taskId": ID}, "aleph", False, 400),
    "market": (
        {
            "code": 200,
            "msg": "Playground task completed successfully.",
            "data": {
                **MARKET,
                "model": "runway",
                "state": "success",
                "resultJson": json.dumps({"resultUrls": [VIDEO]}),
            },
        },
        "runway",
        True,
        200,
    ),
    "market's Aleph": (
        {"code": 200, "msg": "", "data": {**MARKET, "model": "runway/gen4-aleph", "state": "success"}},
        "aleph",
        True,
        200,
    ),
    "market's extension": (
        {"code": 200, "msg": "", "data": {**MARKET, "model": "runway/extend-ai-video", "state": "success"}},
        "runway",
        True,
        200,
    ),
    "market failed": (
        {
            "code": 501,
            "msg": "Playground task failed.",
            "data": {
                **MARKET,
                "model": "runway",
                "state": "fail",
                "resultJson": None,
                "failCode": "GENERATION_FAILED",
                "failMsg": "no",
            },
        },
        "runway",
        False,
        501,
    ),
}


def signed(timestamp: int | str = NOW, runway_task_id: str = ID, key: str = KEY) -> dict[str, str]:
    """The headers as the vendor's page computes them."""
    digest = hmac.new(key.encode(), f"{runway_task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return {
        "X-Webhook-Timestamp": str(timestamp),
        "X-Webhook-Signature": base64.b64encode(digest).decode(),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [None, KEY])
def test_every_documented_form_is_read(form: str, key: str | None) -> None:
    body, model, succeeded, code = FORMS[form]
    read = read_callback(json.dumps(body).encode(), headers=signed(), webhook_hmac_key=key, now=NOW)
    assert read == RunwayCallback(ID, model, succeeded, code, body["msg"])


@pytest.mark.parametrize("code", ["200", 200.0, " 200 "])
def test_a_code_may_be_spelled_as_in_any_other_answer(code: Any) -> None:
    read = read_callback(json.dumps({"code": code, "data": {"task_id": ID}}))
    assert (read.code, type(read.code), read.succeeded) == (200, int, True)
    failed = read_callback(json.dumps({"code": "501", "data": {"task_id": ID}}))
    assert (failed.code, failed.succeeded) == (501, False)


@pytest.mark.parametrize(
    ("state", "succeeded"),
    [
        *((state, False) for state in ("waiting", "queuing", "generating", "fail", "FAIL", "paused", 5, [1])),
        *((state, True) for state in ("success", "SUCCESS", "", None)),
    ],
)
def test_the_state_has_to_be_that_of_a_success_where_there_is_one(state: Any, succeeded: bool) -> None:
    body = {"code": 200, "msg": "", "data": {**MARKET, "state": state}}
    assert read_callback(json.dumps(body)).succeeded is succeeded


BODY = json.dumps(FORMS["generate"][0]).encode()


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({}, "X-Webhook-Timestamp"),
        ({"X-Webhook-Timestamp": str(NOW)}, "X-Webhook-Signature"),
        ({**signed(), "X-Webhook-Signature": "no base64!"}, "X-Webhook-Signature"),
        ({**signed(), "X-Webhook-Signature": "é"}, "X-Webhook-Signature"),
        ({**signed(), "X-Webhook-Timestamp": str(NOW + 1)}, "X-Webhook-Signature"),
        ({**signed(), "X-Webhook-Timestamp": "²"}, "X-Webhook-Timestamp"),
        ({**signed(), "X-Webhook-Timestamp": "-1"}, "X-Webhook-Timestamp"),
        ({**signed(), "X-Webhook-Timestamp": "9" * 400}, "X-Webhook-Timestamp"),
        (signed(runway_task_id="another"), "X-Webhook-Signature"),
        (signed(key="another"), "X-Webhook-Signature"),
        (signed(NOW - 301), "301 s old"),
        (signed(NOW + 301), "-301 s old"),
    ],
)
def test_what_is_not_signed_now_and_for_this_task_is_refused(headers: dict[str, str], named: str) -> None:
    with pytest.raises(RunwayCallbackError, match=named):
        read_callback(BODY, headers=headers, webhook_hmac_key=KEY, now=NOW)


@pytest.mark.parametrize("age", [-300, 0, 300])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_five_minutes_are_allowed_and_headers_may_have_any_case(age: int, spell: Any) -> None:
    headers = {spell(name): value for name, value in signed(NOW - age).items()}
    read_callback(BODY, headers=headers, webhook_hmac_key=KEY, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"code": 1e999999999, "data": {"task_id": "x"}}',
        b'{"code": 200}',
        b'{"code": 200, "data": {"task_id": ""}}',
        b'{"code": 200, "data": {"task_id": "a b"}}',
        b'{"code": 200, "data": {"task_id": ["x"]}}',
        b'{"code": true, "data": {"task_id": "x"}}',
        b'{"code": "ok", "data": {"task_id": "x"}}',
        b'{"code": 200.5, "data": {"task_id": "x"}}',
        b'{"code": NaN, "data": {"task_id": "x"}}',
        b'{"data": {"task_id": "x"}}',
        b'{"code": 200, "taskId": "x", "data": {"task_id": "y"}}',
        b'{"code": 200, "data": {"task_id": "x", "more": "' + b"x" * 65_536 + b'"}}',
    ],
)
def test_what_is_no_callback_is_refused(body: bytes) -> None:
    with pytest.raises(RunwayCallbackError, match="body"):
        read_callback(body)


ANYTHING = st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5)


@given(st.binary(max_size=300) | ANYTHING.map(json.dumps))
def test_whatever_comes_it_is_read_or_refused(body: bytes | str) -> None:
    with suppress(RunwayCallbackError):
        assert read_callback(body).runway_task_id


def test_the_headers_for_tests_are_those_of_the_contract() -> None:
    assert signature(ID, NOW, KEY) == signed()
    check_signature(ID, signed(), KEY, now=NOW)

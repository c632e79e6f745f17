"""What is read: JSON of kie.ai's field names with any values, any bytes, and recorded answers, damaged."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

from hypothesis import strategies as st

from airflow_provider_runway.exceptions import RunwayError, error_from_dict
from tests.recorded import RECORDED

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**11, max_value=10**400),
    st.floats(),
    ANY_TEXT,
    st.sampled_from(
        [
            "success",
            "fail",
            "null",
            "0",
            "1",
            "1e999",
            "-1",
            "nan",
            "https://example.com/v.mp4",
            "https://[",
            "{}",
            "[]",
        ]
    ),
    st.sampled_from([0, 1, 2, 3, 1774788502, 1774788502000, 1e308, -62135596801, 253402300800]),
    st.datetimes().map(str),
)
# fmt: off
FIELDS = st.sampled_from([
    "taskId", "recordId", "state", "generateParam", "prompt", "imageUrl", "videoInfo", "videoUrl",
    "videoId", "parentTaskId", "generateTime", "failCode", "failMsg", "expireFlag", "successFlag",
    "errorCode", "errorMessage", "createTime", "completeTime", "response", "resultVideoUrl",
    "resultImageUrl", "paramJson", "param", "input", "resultJson", "resultUrls", "creditsConsumed",
    "downloadUrl", "task_id", "model", "costTime", "updateTime", "operationType",
])
# fmt: on
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(FIELDS, ANY_TEXT), inner, max_size=8),
        # JSON within JSON
        inner.map(json.dumps),
    ),
    max_leaves=12,
)
KNOWN_CODES = st.sampled_from(
    [400, 401, 402, 403, 404, 408, 422, 429, 433, 451, 455, 500, 501, 502, 503, 504, 505, 520, 524]
)
CODES = st.one_of(st.just(200), KNOWN_CODES, ANY_JSON)
PHRASES = [
    "Credits insufficient : Your current balance isn't enough",
    "This field is required",
    "try again later",
    "task id is blank",
    "Reached the limit for concurrent generations.",
    "Upload failed due to network reasons, please re-enter",
    "Your prompt was caught by our AI moderator",
    "recordInfo is null",
    "Please top up to continue.",
]
WORDS = st.lists(st.one_of(st.sampled_from(PHRASES), ANY_TEXT), max_size=3).map(" ".join)
DATA = st.one_of(st.dictionaries(FIELDS, ANY_JSON, max_size=14), ANY_JSON)
ENVELOPES = st.fixed_dictionaries(
    {"code": CODES}, optional={"msg": st.one_of(WORDS, ANY_JSON), "data": DATA, "success": SCALARS}
)
BODIES = st.one_of(
    st.binary(max_size=200),
    ANY_TEXT,
    ANY_JSON.map(json.dumps),
    ENVELOPES.map(json.dumps),
    st.builds(lambda data: json.dumps({"code": 200, "msg": "success", "data": data}), DATA),
    st.builds(lambda data: json.dumps({"code": 200, "data": data}).encode("utf-16"), DATA),
)
STATUSES = st.one_of(st.just(200), st.integers(min_value=100, max_value=599), st.integers())
HEADERS = st.one_of(st.none(), ANY_TEXT, st.integers().map(str), st.datetimes().map(str))

#: What kie.ai documents of its callbacks: generate and extend, both of Aleph, the market's, and failures.
CALLBACKS: list[dict[str, Any]] = [
    {
        "code": 200,
        "msg": "All generated successfully.",
        "data": {
            "image_url": "https://file.com/m/xxxxxxxx.png",
            "task_id": "ee603959-debb-48d1-98c4-a6d1c717eba6",
            "video_id": "485da89c-7fca-4340-8c04-101025b2ae71",
            "video_url": "https://file.com/k/xxxxxxx.mp4",
        },
    },
    {
        "code": 400,
        "msg": "Inappropriate content",
        "data": {"task_id": "ee603959-debb-48d1-98c4-a6d1c717eba6"},
    },
    {
        "code": 200,
        "msg": "success",
        "taskId": "abc123",
        "data": {"result_video_url": "https://file.com/v.mp4", "result_image_url": "https://file.com/i.png"},
    },
    {
        "code": 501,
        "msg": "failed",
        "data": {"taskId": "abc123", "model": "runway/gen-4-turbo", "state": "fail", "failCode": "500"},
    },
]
#: Half of what is drawn is recorded or documented, since chance alone does not write what is nearly right.
WHOLE = [exchange["response"] for exchange in RECORDED.values()] + CALLBACKS


@st.composite
def damaged(draw: st.DrawFn, whole: list[Any] = WHOLE) -> Any:
    """Draw a JSON value with a few of its values replaced, removed, renamed or packed as a text."""
    value = {"": copy.deepcopy(draw(st.sampled_from(whole)))}
    for _ in range(draw(st.integers(0, 4))):
        places = list(_places(value))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "remove", "rename", "pack", "wrap"]))
        if how == "replace":
            holder[key] = draw(ANY_JSON)
        elif how == "pack":
            holder[key] = json.dumps(holder[key])
        elif how == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"data": holder[key]}, [holder[key]] * 2]))
        elif holder is not value:
            moved = holder.pop(key)
            if how == "rename" and isinstance(holder, dict):
                holder[draw(FIELDS)] = moved
    return value[""]


def _places(value: Any) -> Any:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@st.composite
def damaged_bytes(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> bytes:
    """Draw the bytes of a JSON value, or what is left of them after an accident."""
    data = draw(values.map(json.dumps)).encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16"])))
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 40)))
        piece = draw(
            st.sampled_from(
                [b"", b"\0", b"\xff", b"[" * 5000, b"9" * 5000, b'{"a":' * 3000, data[begin:end] * 3]
            )
        )
        data = data[:begin] + piece + data[draw(st.sampled_from([begin, end, len(data)])) :]
    return data


#: Any body at all, half of them damaged answers of kie.ai.
ANY_BODY = st.one_of(BODIES, damaged_bytes(damaged()), damaged_bytes(damaged()))


def assert_is_a_sound_error(error: RunwayError) -> None:
    """An error must survive logging, a trigger's event and another process."""
    text = str(error)
    assert text
    text.encode()
    plain = error.to_dict()
    again = error_from_dict(json.loads(json.dumps(plain)))
    assert type(again) is type(error)
    assert again.to_dict() == plain
    assert str(pickle.loads(pickle.dumps(error))) == text
    assert error.retry_after is None or 0 <= error.retry_after < math.inf


def assert_is_a_url(url: str) -> None:
    assert url.lower().startswith(("http://", "https://"))
    assert not any(character.isspace() for character in url)
    url.encode()

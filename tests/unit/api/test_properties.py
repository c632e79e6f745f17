"""Any answer is read as a task (an ID, a number, a URL) or as a ``RunwayError``, and as nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_runway.api.answers import (
    DIALECTS,
    read_created,
    read_credits,
    read_download_url,
    read_task,
    read_upload,
)
from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo
from airflow_provider_runway.api.tasks import RunwayTask
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
    RunwayValidationError,
    error_from_dict,
)

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


@given(status=STATUSES, body=BODIES, retry_after=HEADERS)
@pytest.mark.parametrize(
    ("generation", "model"), [("dedicated", "runway"), ("dedicated", "aleph"), ("market", "runway")]
)
def test_any_answer_to_a_lookup_is_a_task_or_an_error(generation, model, status, body, retry_after):
    try:
        task = read_task(
            DIALECTS[generation], status, body, runway_task_id="abc123", model=model, retry_after=retry_after
        )
    except RunwayError as error:
        assert_is_a_sound_error(error)
        return
    assert (task.task_id, task.model) == ("abc123", model)
    stored = json.dumps(task.to_dict(), allow_nan=False, ensure_ascii=False)
    stored.encode()
    assert RunwayTask.from_dict(json.loads(stored)) == task
    try:
        assert_is_a_url(task.result_url())
    except RunwayError as error:
        assert_is_a_sound_error(error)


@given(status=STATUSES, body=BODIES, retry_after=HEADERS)
def test_any_answer_to_a_creation_is_an_id_or_an_error(status, body, retry_after):
    try:
        runway_task_id = read_created(status, body, retry_after=retry_after)
    except RunwayError as error:
        assert_is_a_sound_error(error)
    else:
        # It goes into a query, an XCom and the log.
        assert runway_task_id.isprintable()
        assert runway_task_id.split() == [runway_task_id]
        runway_task_id.encode()


@given(status=STATUSES, body=BODIES, retry_after=HEADERS)
def test_any_answer_to_another_call_is_what_it_asked_for_or_an_error(status, body, retry_after):
    for read in (read_credits, read_download_url, read_upload):
        try:
            result = read(status, body, retry_after=retry_after)
        except RunwayError as error:
            assert_is_a_sound_error(error)
        else:
            if read is read_credits:
                assert math.isfinite(result)
            else:
                assert_is_a_url(result)


@given(code=KNOWN_CODES, words=WORDS, with_data=st.booleans(), status=st.sampled_from([200, 400, 500]))
def test_what_a_creation_is_refused_with_never_pays_twice_and_never_loses_the_reason(
    code, words, with_data, status
):
    body = json.dumps({"code": code, "msg": words} | ({"data": None} if with_data else {}))
    with pytest.raises(RunwayError) as caught:
        read_created(status, body)
    error = caught.value
    assert_is_a_sound_error(error)
    assert error.repeat_creation is (code in (429, 455)), "only where it surely was not taken"
    assert error.creation_unknown is (code in (408, 502, 503, 504, 520, 524)), "whatever the words"
    final = isinstance(error, AirflowFailException)
    if ("insufficient" in words or "top up" in words) and code in (400, 402, 422, 500, 501):
        assert isinstance(error, RunwayCreditsError)
        assert final
    elif code == 500:
        assert final is ("is required" in words)


@given(code=st.one_of(KNOWN_CODES, ANY_JSON), words=WORDS, credits=ANY_JSON)
@pytest.mark.parametrize(("generation", "model"), [("dedicated", "runway"), ("market", "aleph")])
def test_a_failed_task_is_final_for_its_credits_or_its_request_alone(generation, model, code, words, credits):
    data = {"state": "fail", "failCode": code, "failMsg": words, "creditsConsumed": credits}
    body = json.dumps({"code": 200, "msg": "success", "data": data})
    task = read_task(DIALECTS[generation], 200, body, runway_task_id="abc123", model=model)
    assert task.credits_consumed is None, "a failed task has cost nothing that anybody knows"
    with pytest.raises(RunwayTaskFailedError) as caught:
        task.result_url()
    error = caught.value
    assert_is_a_sound_error(error)
    assert "spent" not in str(error).replace(" ".join(words.split()), "")
    if "insufficient" in words or "top up" in words or task.error_code in (402, 433):
        assert isinstance(error, RunwayCreditsError)
    elif any(phrase in words for phrase in PHRASES[2:6]):
        assert not isinstance(error, AirflowFailException), "that passes, whatever else it says"
    elif "moderator" in words or task.error_code in (400, 422):
        assert isinstance(error, RunwayTaskRejectedError | RunwayCreditsError)
    assert isinstance(error, AirflowFailException) is isinstance(
        error, RunwayTaskRejectedError | RunwayCreditsError
    )


@given(prompt=st.text(min_size=1, max_size=1800).filter(str.strip))
@example(prompt="🐈" * 1800)
@example(prompt="a\x00\u2028\ufeff\u202e")
@pytest.mark.parametrize("generation", DIALECTS)
def test_a_prompt_of_any_unicode_arrives_unchanged(generation, prompt):
    for request in (
        GenerateVideo(prompt=prompt),
        ExtendVideo(parent_task_id="abc123", prompt=prompt),
        GenerateAlephVideo(prompt=prompt, video_url="https://example.com/v.mp4"),
    ):
        body = json.loads(json.dumps(DIALECTS[generation].creation(request)[1]).encode())
        assert body.get("input", body)["prompt"] == prompt


@pytest.mark.parametrize("kind", [GenerateVideo, ExtendVideo, GenerateAlephVideo])
@given(data=st.data())
def test_any_values_are_a_request_that_can_be_sent_or_a_broken_rule(kind, data):
    names = {field.name for field in dataclasses.fields(kind)}
    good = {"prompt": "A cat", "video_url": "https://example.com/v.mp4", "parent_task_id": "abc123"}
    fields = {name: value for name, value in good.items() if name in names}
    fields |= data.draw(st.dictionaries(st.sampled_from(sorted(names)), ANY_JSON, max_size=3))
    try:
        request = kind(**fields)
    except RunwayValidationError as error:
        assert_is_a_sound_error(error)
        return
    for dialect in DIALECTS.values():
        _, body = dialect.creation(request)
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        given_fields = body.get("input", body)
        assert all(value not in (None, "") for value in given_fields.values())

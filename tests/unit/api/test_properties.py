"""Any answer is read as a task (an ID, a number, a URL) or as a ``RunwayError``, and as nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

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
from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.api.tasks import RunwayTask
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
    RunwayValidationError,
)
from tests.fuzz.bodies import (
    ANY_BODY,
    ANY_JSON,
    HEADERS,
    KNOWN_CODES,
    PHRASES,
    STATUSES,
    WORDS,
    assert_is_a_sound_error,
    assert_is_a_url,
)


@given(status=STATUSES, body=ANY_BODY, retry_after=HEADERS)
@pytest.mark.parametrize(
    ("generation", "model"), [("dedicated", "runway"), ("dedicated", "aleph"), ("market", "runway")]
)
def test_any_answer_to_a_lookup_is_a_task_or_an_error(
    generation: str, model: str, status: int, body: bytes | str, retry_after: str | None
) -> None:
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


@given(status=STATUSES, body=ANY_BODY, retry_after=HEADERS)
def test_any_answer_to_a_creation_is_an_id_or_an_error(
    status: int, body: bytes | str, retry_after: str | None
) -> None:
    try:
        runway_task_id = read_created(status, body, retry_after=retry_after)
    except RunwayError as error:
        assert_is_a_sound_error(error)
    else:
        # It goes into a query, an XCom and the log.
        assert runway_task_id.isprintable()
        assert runway_task_id.split() == [runway_task_id]
        runway_task_id.encode()


@given(status=STATUSES, body=ANY_BODY, retry_after=HEADERS)
def test_any_answer_to_another_call_is_what_it_asked_for_or_an_error(
    status: int, body: bytes | str, retry_after: str | None
) -> None:
    for read in (read_credits, read_download_url, read_upload):
        try:
            result = read(status, body, retry_after=retry_after)
        except RunwayError as error:
            assert_is_a_sound_error(error)
        else:
            if read is read_credits:
                assert isinstance(result, float)
                assert math.isfinite(result)
            else:
                assert isinstance(result, str)
                assert_is_a_url(result)


@given(code=KNOWN_CODES, words=WORDS, with_data=st.booleans(), status=st.sampled_from([200, 400, 500]))
def test_what_a_creation_is_refused_with_never_pays_twice_and_never_loses_the_reason(
    code: int, words: str, with_data: bool, status: int
) -> None:
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
def test_a_failed_task_is_final_for_its_credits_or_its_request_alone(
    generation: str, model: str, code: Any, words: str, credits: Any
) -> None:
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


@given(prompt=st.text(min_size=1, max_size=1800).filter(lambda text: text.strip() not in ("", "None")))
@example(prompt="🐈" * 1800)
@example(prompt="a\x00\u2028\ufeff\u202e")
@pytest.mark.parametrize("generation", DIALECTS)
def test_a_prompt_of_any_unicode_arrives_unchanged(generation: str, prompt: str) -> None:
    for request in (
        GenerateVideo(prompt=prompt),
        ExtendVideo(parent_task_id="abc123", prompt=prompt),
        GenerateAlephVideo(prompt=prompt, video_url="https://example.com/v.mp4"),
    ):
        body = json.loads(json.dumps(DIALECTS[generation].creation(request)[1]).encode())
        assert body.get("input", body)["prompt"] == prompt


@pytest.mark.parametrize("kind", [GenerateVideo, ExtendVideo, GenerateAlephVideo])
@given(data=st.data())
def test_any_values_are_a_request_that_can_be_sent_or_a_broken_rule(
    kind: type[RunwayRequest], data: st.DataObject
) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    good: dict[str, Any] = {
        "prompt": "A cat",
        "video_url": "https://example.com/v.mp4",
        "parent_task_id": "abc123",
    }
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

"""The table of codes: what each means, whether a look-up and a creation may be repeated, and a retry help."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ParamSpec

import pytest

from airflow_provider_runway.api.answers import (
    DIALECTS,
    read_created,
    read_credits,
    read_download_url,
    read_task,
    read_upload,
)
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayCreditsError,
    RunwayError,
    RunwayRateLimitError,
    RunwayRequestError,
    RunwayServerError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayUnreadableAnswerError,
)

P = ParamSpec("P")
YES, NO = True, False

# fmt: off
CODES = [
    # code, class, may a look-up be repeated, may a creation (at once), is Airflow's retry pointless
    (400, RunwayRequestError,        NO,  NO,  YES),
    (401, RunwayAuthenticationError, NO,  NO,  YES),
    (402, RunwayCreditsError,        NO,  NO,  YES),
    (403, RunwayAuthenticationError, NO,  NO,  YES),
    (404, RunwayRequestError,        NO,  NO,  YES),
    (408, RunwayServerError,         YES, NO,  NO),
    (422, RunwayRequestError,        NO,  NO,  YES),
    (429, RunwayRateLimitError,      YES, YES, NO),
    (433, RunwayCreditsError,        NO,  NO,  YES),
    (451, RunwayRequestError,        NO,  NO,  YES),
    (455, RunwayServerError,         YES, YES, NO),
    (500, RunwayServerError,         YES, NO,  NO),
    (501, RunwayTaskFailedError,     NO,  NO,  NO),
    (502, RunwayServerError,         YES, NO,  NO),
    (503, RunwayServerError,         YES, NO,  NO),
    (504, RunwayServerError,         YES, NO,  NO),
    (505, RunwayRequestError,        NO,  NO,  YES),
    (524, RunwayServerError,         YES, NO,  NO),
    # Not in the table: the hundreds decide.
    (409, RunwayRequestError,        NO,  NO,  YES),
    (599, RunwayServerError,         YES, NO,  NO),
]
# fmt: on


def envelope(code: Any, message: str = "said kie.ai", data: Any = None) -> bytes:
    return json.dumps({"code": code, "msg": message, "data": data}).encode()


def failure(read: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> RunwayError:
    """Return the error that an answer is read as."""
    with pytest.raises(RunwayError) as caught:
        read(*arguments, **named)
    return caught.value


def lookup_failure(status: int, body: bytes | str, **named: Any) -> RunwayError:
    named = {"runway_task_id": "abc123", "model": "runway", **named}
    return failure(read_task, DIALECTS["dedicated"], status, body, **named)


@pytest.mark.parametrize(("code", "kind", "repeat_lookup", "repeat_creation", "final"), CODES)
class TestCodes:
    @pytest.mark.parametrize("spelled", [int, str, float])
    def test_at_a_creation(
        self,
        code: int,
        kind: type[RunwayError],
        repeat_lookup: bool,
        repeat_creation: bool,
        final: bool,
        spelled: Callable[[int], Any],
    ) -> None:
        error = failure(read_created, 200, envelope(spelled(code)))
        assert isinstance(error, kind)
        assert not isinstance(error, RunwayUnreadableAnswerError), "an envelope says that it was refused"
        assert error.repeat_creation is repeat_creation
        assert error.repeat_lookup is repeat_lookup
        assert isinstance(error, AirflowFailException) is final
        assert error.code == code

    def test_at_a_lookup(
        self, code: int, kind: type[RunwayError], repeat_lookup: bool, repeat_creation: bool, final: bool
    ) -> None:
        error = lookup_failure(200, envelope(code))
        # 404 and 422 are how the routes say that they know no such task, or not yet.
        assert isinstance(error, RunwayTaskNotFoundError if code in (404, 422) else kind)
        assert error.repeat_lookup is repeat_lookup
        assert isinstance(error, AirflowFailException) is final

    def test_the_envelope_has_the_last_word(
        self, code: int, kind: type[RunwayError], repeat_lookup: bool, repeat_creation: bool, final: bool
    ) -> None:
        for status in (200, 400, 500, 502, code):
            error = failure(read_created, status, envelope(code))
            assert isinstance(error, kind)
            assert error.code == code

    def test_the_text_has_the_code_and_the_words_of_kie_ai(
        self, code: int, kind: type[RunwayError], repeat_lookup: bool, repeat_creation: bool, final: bool
    ) -> None:
        text = str(failure(read_created, 200, envelope(code, "the cat is out")))
        assert str(code) in text
        assert "the cat is out" in text


def test_a_failed_generation_has_its_code_and_words() -> None:
    error = failure(read_created, 200, envelope(501, "internal trouble"))
    assert isinstance(error, RunwayTaskFailedError)
    assert (error.error_code, error.error_message) == (501, "internal trouble")


def test_a_generation_that_failed_for_its_input_is_not_retried() -> None:
    error = failure(read_created, 200, envelope(501, "Prompt rejected by moderation"))
    assert isinstance(error, RunwayTaskFailedError)
    assert isinstance(error, AirflowFailException)


@pytest.mark.parametrize("read", [read_credits, read_download_url, read_upload])
def test_a_501_is_no_failed_generation_where_none_was_asked_for(read: Callable[..., Any]) -> None:
    error = failure(read, 200, envelope(501, "not implemented"))
    assert isinstance(error, RunwayServerError)
    assert error.repeat_lookup
    assert "generation" not in str(error)


@pytest.mark.parametrize(
    "code", [-1, 0, 1, 100, 201, 202, 302, 399, 600, 1000, 10**40, 200.5, None, "", "ok", True, [], {}]
)
def test_a_code_that_is_none_of_kie_ai_s_leaves_open_what_happened(code: Any) -> None:
    """A 202, say, may well mean "taken": were it a refusal, a retry could pay twice."""
    body = envelope(code, data={"taskId": "abc123"})
    for error in (failure(read_created, 200, body), lookup_failure(200, body)):
        assert isinstance(error, RunwayUnreadableAnswerError)
        assert error.repeat_lookup
        assert not error.repeat_creation


PAGE = b"<html><head><title>Oops</title></head><body><h1>Oops</h1></body></html>"


@pytest.mark.parametrize("body", [PAGE, b"error code: 1010", b"", b'{"error": "no"}', b"\xff\xfe\xfa"])
@pytest.mark.parametrize(
    ("status", "kind", "repeat_creation"),
    [
        (400, RunwayRequestError, NO),
        (401, RunwayAuthenticationError, NO),
        (403, RunwayAuthenticationError, NO),
        (404, RunwayRequestError, NO),
        (413, RunwayRequestError, NO),
        (429, RunwayRateLimitError, YES),
    ],
)
def test_an_http_error_of_the_client_without_an_envelope_refuses_a_creation(
    status: int, kind: type[RunwayError], repeat_creation: bool, body: bytes
) -> None:
    error = failure(read_created, status, body)
    assert isinstance(error, kind)
    assert error.code == status
    assert error.repeat_creation is repeat_creation


def test_the_edges_refusal_is_shown() -> None:
    assert "error code: 1010" in str(failure(read_credits, 403, b"error code: 1010"))


GATEWAYS = [502, 503, 504, 520, 521, 522, 523, 524]


@pytest.mark.parametrize("code", sorted({code for code, *_ in CODES} | {*GATEWAYS, 506, 525, 530}))
def test_after_408_and_a_gateways_code_in_an_envelope_the_fate_of_a_creation_is_unknown(code: int) -> None:
    unknown = code in (408, *GATEWAYS)
    for words in ("said kie.ai", "Credits insufficient", "text is required", "try again later"):
        for status in (200, code):
            error = failure(read_created, status, envelope(code, words))
            assert error.creation_unknown is unknown
            assert not (unknown and error.repeat_creation)


@pytest.mark.parametrize("code", GATEWAYS)
def test_a_gateways_code_in_an_envelope_is_asked_for_again_at_a_lookup(code: int) -> None:
    assert lookup_failure(200, envelope(code)).repeat_lookup


# Answers of which the code alone does not say what they mean.
TOP_UP = (
    "Credits insufficient : Your current balance isn't enough to run this request. Please top up to continue."
)
CREATIONS = [
    (500, TOP_UP, RunwayCreditsError),
    (500, "Credits insufficient", RunwayCreditsError),
    (400, TOP_UP, RunwayCreditsError),
    (422, TOP_UP, RunwayCreditsError),
    (402, TOP_UP, RunwayCreditsError),
    (500, "This field is required", RunwayRequestError),
    (500, "text is required", RunwayRequestError),
    (500, "Missing required parameter: fileName", RunwayRequestError),
    (422, "This field is required", RunwayRequestError),
    (422, "task id is blank", RunwayServerError),
    (400, "The service is busy, please try again later", RunwayServerError),
    (500, "internal error, please try again later.", RunwayServerError),
    (500, "The required service is down", RunwayServerError),
]


@pytest.mark.parametrize(("code", "words", "kind"), CREATIONS)
class TestWords:
    def test_at_a_creation_they_say_what_the_code_does_not(
        self, code: int, words: str, kind: type[RunwayError]
    ) -> None:
        for status in (200, code):
            for body in (envelope(code, words), json.dumps({"code": code, "msg": words}).encode()):
                error = failure(read_created, status, body)
                assert isinstance(error, kind)
                assert isinstance(error, AirflowFailException) is (kind is not RunwayServerError)
                assert not error.creation_unknown
                assert not error.repeat_creation
                assert error.code == code
                assert words[:300] in str(error)

    def test_at_a_lookup_they_say_nothing_of_the_task(
        self, code: int, words: str, kind: type[RunwayError]
    ) -> None:
        error = lookup_failure(200, envelope(code, words))
        assert type(error) is type(lookup_failure(200, envelope(code)))

    def test_an_answer_that_is_not_kie_ais_is_not_read_for_them(
        self, code: int, words: str, kind: type[RunwayError]
    ) -> None:
        error = failure(read_created, 500, words.encode())
        assert isinstance(error, RunwayUnreadableAnswerError)
        assert error.creation_unknown


def test_want_of_credits_says_where_to_top_up() -> None:
    assert "https://kie.ai" in str(failure(read_created, 200, envelope(500, TOP_UP)))


@pytest.mark.parametrize("status", [200, 401, 402])
@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (401, "Unauthorized - Authentication failed. Please check your API key.", RunwayAuthenticationError),
        (402, "Your balance isn't enough. Please top up to continue.", RunwayCreditsError),
    ],
)
def test_a_rejected_key_and_missing_credits_come_without_data_too(
    status: int, code: int, words: str, kind: type[RunwayError]
) -> None:
    body = json.dumps({"code": code, "msg": words}).encode()
    for error in (failure(read_created, status, body), lookup_failure(status, body)):
        assert isinstance(error, kind)
        assert error.code == code


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("code", [400, 422, 500])
def test_an_upload_that_is_refused_without_data_says_what_is_missing(status: int, code: int) -> None:
    body = {"success": False, "code": code, "msg": "Missing required parameter: uploadPath"}
    error = failure(read_upload, status, json.dumps(body).encode())
    assert isinstance(error, RunwayRequestError)
    assert "Missing required parameter: uploadPath" in str(error)


NO_PATH: dict[str, Any] = {
    "timestamp": "2026-09-20T10:00:00.000+00:00",
    "status": 404,
    "error": "Not Found",
    "path": "/api/v1/runway/generat",
}


@pytest.mark.parametrize(
    "spelled",
    [json.dumps(NO_PATH), json.dumps(NO_PATH, indent=1), json.dumps(NO_PATH)[:-1] + ',"message":""}'],
)
def test_a_wrong_path_is_called_so_and_is_no_unknown_task(spelled: str) -> None:
    for error in (failure(read_created, 404, spelled), lookup_failure(404, spelled)):
        assert type(error) is RunwayRequestError
        assert "no such path" in str(error)
        assert NO_PATH["path"] in str(error)
        assert "host of the connection" in str(error)
        assert "extra 'api'" in str(error), "or kie.ai has retired that generation"
        assert not error.creation_unknown
    other = failure(read_credits, 404, spelled)
    assert type(other) is RunwayRequestError
    assert "host of the connection" in str(other)
    assert "'api'" not in str(other), "both generations share this path"


def test_the_edges_refusal_speaks_of_the_user_agent_and_not_of_the_key() -> None:
    for error in (
        failure(read_created, 403, b"error code: 1010"),
        failure(read_credits, 403, b"error code: 1010\n"),
        lookup_failure(403, b"error code: 1010"),
    ):
        assert "User-Agent" in str(error)
        assert "check the API key" not in str(error)


def test_a_refusal_at_the_edge_otherwise_still_speaks_of_the_key() -> None:
    assert "check the API key" in str(failure(read_created, 403, b"error code: 1020"))
    assert "check the API key" in str(failure(read_created, 200, envelope(403, "error code: 1010")))


@pytest.mark.parametrize("body", [PAGE, b"error code: 1010", b"", b'{"error": "no"}'])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_page_of_a_gateway_says_nothing_of_the_key_and_of_the_task_at_a_lookup(
    status: int, body: bytes
) -> None:
    error = lookup_failure(status, body)
    assert isinstance(error, RunwayUnreadableAnswerError)
    assert error.repeat_lookup


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": 504, "message": "upstream request timeout"}',
        b'{"code": 502}',
        b'{"code": "500", "error": ""}',
    ],
)
@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_gateways_error_in_json_is_not_kie_ais(status: int, body: bytes) -> None:
    error = failure(read_created, status, body)
    assert isinstance(error, RunwayUnreadableAnswerError)
    assert error.creation_unknown


UNREADABLE = {
    "empty": b"",
    "blank": b" \r\n",
    "HTML": PAGE,
    "text": b"OK",
    "null": b"null",
    "a number": b"200",
    "a text": b'"success"',
    "a list": b'[{"code": 200}]',
    "an empty object": b"{}",
    "no code": b'{"msg": "success", "data": {"taskId": "abc123"}}',
    "code NaN": b'{"code": NaN, "data": {"taskId": "abc123"}}',
    "code beyond all numbers": b'{"code": 1e999}',
    "a number without end": b'{"code": ' + b"9" * 6000 + b"}",
    "broken off": b'{"code": 200, "msg": "success", "data": {"taskId": "abc',
    "not UTF-8": b'{"code": 200, "msg": "\xff\xfe", "data": null}',
    "random bytes": bytes(range(256)),
    "too deep": b"[" * 100_000,
    "too deep inside": b'{"code": 200, "data": ' + b'{"a":' * 100_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_answer_is_asked_for_again_at_a_lookup_and_open_at_a_creation(body: bytes) -> None:
    for status in (200, 204, 302, 408, 499, 500, 501, 502, 503, 504, 521):
        creation, lookup = failure(read_created, status, body), lookup_failure(status, body)
        assert isinstance(creation, RunwayUnreadableAnswerError), (
            "so that a caller knows that it knows nothing"
        )
        assert not creation.repeat_creation
        assert isinstance(lookup, RunwayServerError)
        assert lookup.repeat_lookup
        assert not isinstance(lookup, AirflowFailException)
        assert f"HTTP {status}" in str(lookup)


def test_no_error_text_holds_a_whole_page() -> None:
    page = b"<html>" + b"x" * 1_000_000
    for body in (
        page,
        envelope(500, page.decode()),
        envelope(501, page.decode()),
        envelope(0, page.decode()),
    ):
        assert len(str(failure(read_credits, 502, body))) < 1000


NOW = 1_800_000_000  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.fixture
def _the_time_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        time = staticmethod(lambda: float(NOW))

    monkeypatch.setattr("airflow_provider_runway.api.envelope.time", Clock)


@pytest.mark.usefixtures("_the_time_is_now")
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 09:00:30 +0100", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        *[
            (header, None)
            for header in (None, "", "soon", "-5", "nan", "inf", "1e3", "5, 6", "Fri, 99 Jan 2027", "٣")
        ],
    ],
)
def test_retry_after_is_understood_in_seconds_and_as_a_date(
    header: str | None, seconds: float | None
) -> None:
    for status, body in (
        (429, PAGE),
        (200, envelope(429)),
        (200, envelope(455)),
        (503, PAGE),
        (503, envelope(503)),
    ):
        assert failure(read_created, status, body, retry_after=header).retry_after == seconds
        assert lookup_failure(status, body, retry_after=header).retry_after == seconds
        for read in (read_credits, read_download_url, read_upload):
            assert failure(read, status, body, retry_after=header).retry_after == seconds

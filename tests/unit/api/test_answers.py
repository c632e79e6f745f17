"""Every recorded answer, and what the answers to creations, look-ups and the other calls are read as."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_runway.api import envelope
from airflow_provider_runway.api.answers import (
    CREDITS_PATH,
    DIALECTS,
    DOWNLOAD_URL_PATH,
    UPLOAD_PATH,
    explain_lookup,
    read_created,
    read_credits,
    read_download_url,
    read_task,
    read_upload,
)
from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayRequestError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayUnreadableAnswerError,
)
from tests.recorded import RECORDED, recorded_answer

PROMPT = "A golden retriever running through a field of wildflowers"
GENERATED = "7d2c58e1cf02a1a1b9c447cee9e0e5f7"
RESTYLED = "c0d088df35254cc3e7187fb7116b2efa"
ON_THE_MARKET = "d2bb99162acab500c760565a27e9fc94"


def utc(
    year: int, month: int, day: int, hour: int, minute: int, second: int, microsecond: int = 0
) -> datetime:
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=timezone.utc)


def look(
    generation: str, status: int, body: bytes, runway_task_id: str = "abc123", model: str = "runway"
) -> RunwayTask:
    return read_task(DIALECTS[generation], status, body, runway_task_id=runway_task_id, model=model)


def answer(data: Any, code: int = 200) -> bytes:
    return json.dumps({"code": code, "msg": "success", "data": data}).encode()


RECORDED_CREATIONS = {"generate_accepted": GENERATED, "market_create_accepted": ON_THE_MARKET}
RECORDED_TASKS = {
    "record_detail_generating": RunwayTask(
        task_id=GENERATED,
        model="runway",
        state=TaskState.GENERATING,
        prompt=PROMPT,
        created_at=utc(2026, 3, 29, 12, 48, 22),
    ),
    "record_detail_success": RunwayTask(
        task_id=GENERATED,
        model="runway",
        state=TaskState.SUCCESS,
        video_url=f"https://tempfile.aiquickdraw.com/p/{GENERATED}_1_1774788532_2001.mp4",
        image_url=f"https://tempfile.aiquickdraw.com/p/{GENERATED}_1_1774788533_2855.jpg",
        video_id="394580272376856",
        prompt=PROMPT,
        created_at=utc(2026, 3, 29, 12, 48, 22),
    ),
    "aleph_record_info_running": RunwayTask(
        task_id=RESTYLED,
        model="aleph",
        state=TaskState.GENERATING,
        prompt="Transform the clip into a hand-painted watercolor animation.",
        created_at=utc(2026, 8, 18, 22, 51, 40),
    ),
    "aleph_record_info_failed": RunwayTask(
        task_id=RESTYLED,
        model="aleph",
        state=TaskState.FAILED,
        prompt="Transform the clip into a hand-painted watercolor animation.",
        error_code=500,
        error_message="internal error, please try again later.",
        created_at=utc(2026, 8, 18, 22, 51, 40),
        completed_at=utc(2026, 8, 18, 22, 51, 56),
    ),
    "market_record_info_waiting": RunwayTask(
        task_id=ON_THE_MARKET,
        model="runway",
        state=TaskState.WAITING,
        created_at=utc(2026, 4, 16, 7, 18, 52, 832000),
    ),
}
RECORDED_OTHERS = {"record_detail_unknown_task", "credit", "download_url_foreign", "upload_stream"}


class TestRecordedAnswers:
    def test_all_of_them_are_tested_here(self) -> None:
        assert {*RECORDED_CREATIONS, *RECORDED_TASKS, *RECORDED_OTHERS} == set(RECORDED)

    @pytest.mark.parametrize(("name", "runway_task_id"), RECORDED_CREATIONS.items())
    def test_an_accepted_creation_names_its_task(self, name: str, runway_task_id: str) -> None:
        assert read_created(*recorded_answer(name)) == runway_task_id

    @pytest.mark.parametrize(("name", "task"), RECORDED_TASKS.items())
    def test_a_status_is_read_into_a_task(self, name: str, task: RunwayTask) -> None:
        generation = "market" if name.startswith("market") else "dedicated"
        assert look(generation, *recorded_answer(name), task.task_id, task.model) == task

    def test_a_success_has_its_video(self) -> None:
        task = look("dedicated", *recorded_answer("record_detail_success"), GENERATED)
        assert task.result_url() == f"https://tempfile.aiquickdraw.com/p/{GENERATED}_1_1774788532_2001.mp4"

    def test_a_failure_of_the_vendor_may_be_retried(self) -> None:
        task = look("dedicated", *recorded_answer("aleph_record_info_failed"), RESTYLED, "aleph")
        with pytest.raises(RunwayTaskFailedError, match="internal error, please try again later") as caught:
            task.result_url()
        assert not isinstance(caught.value, AirflowFailException)

    @pytest.mark.parametrize("model", ["runway", "aleph"])
    def test_no_data_means_that_nobody_knows_the_task(self, model: str) -> None:
        with pytest.raises(RunwayTaskNotFoundError, match=GENERATED):
            look("dedicated", *recorded_answer("record_detail_unknown_task"), GENERATED, model)

    def test_credits(self) -> None:
        assert read_credits(*recorded_answer("credit")) == 5916.25

    def test_a_foreign_url_has_no_download_url(self) -> None:
        with pytest.raises(RunwayRequestError, match="url is wrong"):
            read_download_url(*recorded_answer("download_url_foreign"))

    def test_an_upload_has_its_public_url(self) -> None:
        upload = RECORDED["upload_stream"]["response"]["data"]
        assert read_upload(*recorded_answer("upload_stream")) == upload["downloadUrl"]

    def test_the_other_routes(self) -> None:
        assert CREDITS_PATH == "/api/v1/chat/credit"
        assert RECORDED["download_url_foreign"]["request"]["path"] == DOWNLOAD_URL_PATH
        assert RECORDED["upload_stream"]["request"]["url"].endswith(UPLOAD_PATH)


NO_IDS: list[Any] = [None, "", "  ", "null", "a b", "a\n", True, 1.5, [], {}, ["abc"]]


class TestCreations:
    @pytest.mark.parametrize(
        ("data", "runway_task_id"),
        [
            ({"taskId": "abc"}, "abc"),
            ({"taskId": 394580272376856}, "394580272376856"),
            ({"taskId": "abc", "recordId": None, "more": [1]}, "abc"),
            ('{"taskId": "abc"}', "abc"),
            ('"{\\"taskId\\": \\"abc\\"}"', "abc"),
        ],
    )
    def test_the_task_id_is_found(self, data: Any, runway_task_id: str) -> None:
        assert read_created(200, answer(data)) == runway_task_id

    @pytest.mark.parametrize(
        "data",
        [
            None,
            "",
            "abc",
            0,
            [],
            {},
            [{"taskId": "abc"}],
            *[{"taskId": value} for value in NO_IDS],
        ],
    )
    def test_a_success_without_a_task_id_leaves_open_what_happened(self, data: Any) -> None:
        with pytest.raises(RunwayUnreadableAnswerError) as caught:
            read_created(200, answer(data))
        assert not caught.value.repeat_creation


class TestUnknownTasks:
    @pytest.mark.parametrize("generation", ["dedicated", "market"])
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, answer(None)),
            (200, answer("")),
            (200, answer({})),
            (200, answer("null")),
            (200, b'{"code": 200, "msg": "success"}'),
            (200, b'{"code": 422, "msg": "recordInfo is null", "data": null}'),
            (200, b'{"code": "422", "msg": "recordInfo is null"}'),
            (422, b'{"code": 422, "msg": "recordInfo is null", "data": null}'),
            (200, b'{"code": 404, "msg": "not found", "data": null}'),
            (404, b'{"code": 404, "msg": "not found", "data": null}'),
        ],
    )
    def test_every_form_of_unknown(self, generation: str, status: int, body: bytes) -> None:
        with pytest.raises(RunwayTaskNotFoundError, match="abc123") as caught:
            look(generation, status, body)
        assert caught.value.runway_task_id == "abc123"
        assert isinstance(caught.value, AirflowFailException)
        assert not caught.value.repeat_lookup, "the grace of a new task is for the caller to give"

    @pytest.mark.parametrize("data", [[], [1], 5, True, "text", "[]"])
    def test_data_of_another_kind_is_no_answer_and_is_asked_for_again(self, data: Any) -> None:
        with pytest.raises(RunwayUnreadableAnswerError) as caught:
            look("dedicated", 200, answer(data))
        assert caught.value.repeat_lookup


class TestOtherCalls:
    @pytest.mark.parametrize(("data", "credits"), [(0, 0.0), (12, 12.0), ("5916.25", 5916.25), (-3.5, -3.5)])
    def test_credits_in_every_form(self, data: Any, credits: float) -> None:
        assert read_credits(200, answer(data)) == credits

    @pytest.mark.parametrize("data", [None, "", "many", [], {}, True, float("nan"), float("inf")])
    def test_no_number_of_credits(self, data: Any) -> None:
        with pytest.raises(RunwayUnreadableAnswerError) as caught:
            read_credits(200, answer(data))
        assert caught.value.code == 200

    @pytest.mark.parametrize("generation", DIALECTS)
    @pytest.mark.parametrize("data", [[], [1], 5, "text"])
    def test_a_status_without_an_object(self, generation: str, data: Any) -> None:
        with pytest.raises(RunwayUnreadableAnswerError) as caught:
            look(generation, 200, answer(data))
        assert caught.value.code == 200

    def test_an_error_of_a_look_up_names_the_task_once(self) -> None:
        error = explain_lookup(RunwayRequestError("code 400", code=400), "abc123")
        assert error.runway_task_id == "abc123"
        assert str(error).count("abc123") == 1
        assert explain_lookup(error, "other") is error

    def test_a_download_url(self) -> None:
        assert (
            read_download_url(200, answer("https://example.com/v.mp4?t=1")) == "https://example.com/v.mp4?t=1"
        )

    @pytest.mark.parametrize(
        "url", [None, "", 5, [], {}, "v.mp4", "ftp://example.com/v", "https://a b/", "http://["]
    )
    def test_no_url(self, url: Any) -> None:
        with pytest.raises(RunwayUnreadableAnswerError):
            read_download_url(200, answer(url))
        with pytest.raises(RunwayUnreadableAnswerError):
            read_upload(200, answer({"downloadUrl": url}))

    @pytest.mark.parametrize("data", [None, "", [], {}, "https://example.com/v.mp4", ["downloadUrl"]])
    def test_an_upload_without_a_url(self, data: Any) -> None:
        with pytest.raises(RunwayUnreadableAnswerError):
            read_upload(200, answer(data))


@pytest.mark.parametrize(("length", "is_cut"), [(300, False), (301, True)])
def test_no_more_than_300_characters_of_a_page_are_repeated(length: int, is_cut: bool) -> None:
    assert envelope._excerpt("x" * length) == "x" * 300 + "…" * is_cut


def test_a_path_that_is_not_there_may_be_that_of_another_host() -> None:
    body = b'{"timestamp": "2026-01-01", "status": 404, "error": "Not Found", "path": "/api/v1/chat/credit"}'
    with pytest.raises(RunwayRequestError, match=re.escape(envelope._CHECK_HOST)):
        read_credits(404, body)

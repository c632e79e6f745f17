"""A status in every documented form, every form that was seen, and every mixture of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeAlias

import pytest

from airflow_provider_runway.api.answers import DIALECTS, read_task
from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayCreditsError,
    RunwayError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
    RunwayVideoExpiredError,
)
from tests.recorded import recorded_data

Look: TypeAlias = Callable[..., RunwayTask]

MISSING = object()
VIDEO = "https://example.com/v.mp4"
IMAGE = "https://example.com/v.jpg"
CREATED = datetime(2026, 3, 29, 12, 48, 22, tzinfo=timezone.utc)
EPOCH = 1774788502

NOTHING = [None, "", MISSING]
NO_OBJECTS = [*NOTHING, "null", "text", "[]", "{", 5, True, [], [1], {}, "{}"]

MARKET_RECORD = {
    "taskId": "d2bb99162acab500c760565a27e9fc94",
    "model": "runway",
    "state": "success",
    "param": json.dumps({"model": "runway", "input": json.dumps({"prompt": "A cat"})}),
    "resultJson": json.dumps({"resultUrls": [VIDEO]}),
    "failCode": None,
    "failMsg": None,
    "costTime": None,
    "completeTime": EPOCH * 1000 + 30_000,
    "createTime": EPOCH * 1000,
}


def read(generation: str, model: str, data: dict[str, Any], changes: dict[str, Any]) -> RunwayTask:
    data = {name: value for name, value in {**data, **changes}.items() if value is not MISSING}
    body = json.dumps({"code": 200, "msg": "success", "data": data}).encode()
    return read_task(DIALECTS[generation], 200, body, runway_task_id="abc123", model=model)


def runway(**changes: Any) -> RunwayTask:
    """Read the recorded success of a generation, with some fields changed."""
    return read("dedicated", "runway", recorded_data("record_detail_success"), changes)


def aleph(**changes: Any) -> RunwayTask:
    """Read the recorded status of a running Aleph task, with some fields changed."""
    return read("dedicated", "aleph", recorded_data("aleph_record_info_running"), changes)


def market(**changes: Any) -> RunwayTask:
    """Read the success of a market task, with some fields changed."""
    return read("market", "runway", MARKET_RECORD, changes)


BOTH = pytest.mark.parametrize("look", [runway, market], ids=["dedicated", "market"])
ALL = pytest.mark.parametrize("look", [runway, aleph, market], ids=["dedicated", "aleph", "market"])


class TestStates:
    @BOTH
    @pytest.mark.parametrize(
        ("spelled", "state"),
        [
            ("wait", TaskState.WAITING),
            ("waiting", TaskState.WAITING),
            ("queueing", TaskState.QUEUEING),
            ("queuing", TaskState.QUEUEING),
            ("generating", TaskState.GENERATING),
            ("success", TaskState.SUCCESS),
            ("fail", TaskState.FAILED),
            ("SUCCESS", TaskState.SUCCESS),
        ],
    )
    def test_each_spelling_is_known_in_both_generations(
        self, look: Look, spelled: str, state: TaskState
    ) -> None:
        assert look(state=spelled).state is state

    @BOTH
    @pytest.mark.parametrize("spelled", [*NOTHING, "paused", "succeeded?", 0, 1, True, [], {}, ["success"]])
    def test_an_unknown_state_is_still_going_on(self, look: Look, spelled: Any) -> None:
        task = look(state=spelled)
        assert not task.state.is_terminal
        with pytest.raises(RunwayError, match="still generating") as caught:
            task.result_url()
        assert caught.value.runway_task_id == task.task_id

    def test_only_success_and_failure_are_ends(self) -> None:
        assert {state for state in TaskState if state.is_terminal} == {TaskState.SUCCESS, TaskState.FAILED}

    @ALL
    def test_unknown_fields_mean_nothing(self, look: Look) -> None:
        assert look(status="fail", error={"code": 500}, progress="0.5", successful=0, more=[None]) == look()

    @ALL
    def test_the_id_is_the_one_that_was_asked_for(self, look: Look) -> None:
        assert look(taskId=None).task_id == look(taskId="another").task_id == "abc123"


# fmt: off
ALEPH_STATES = [
    # successFlag, errorCode, errorMessage, completeTime, state
    (0,       None,  None,    None,             TaskState.GENERATING),
    (0,       0,     "",      None,             TaskState.GENERATING),
    (0,       0,     "",      "",               TaskState.GENERATING),
    (0,       "0",   " ",     MISSING,          TaskState.GENERATING),
    (0,       "",    "null",  0,                TaskState.GENERATING),
    (0,       MISSING, MISSING, MISSING,        TaskState.GENERATING),
    ("0",     None,  None,    None,             TaskState.GENERATING),
    (None,    None,  None,    None,             TaskState.GENERATING),
    ("",      0,     "",      None,             TaskState.GENERATING),
    (False,   None,  None,    None,             TaskState.GENERATING),
    (MISSING, None,  None,    None,             TaskState.GENERATING),
    (0,       500,   None,    None,             TaskState.FAILED),
    (0,       "500", "",      None,             TaskState.FAILED),
    (0,       "E_BAD", "",    None,             TaskState.FAILED),
    (0,       0,     "broke", None,             TaskState.FAILED),
    (0,       None,  None,    EPOCH * 1000,     TaskState.FAILED),
    (0,       None,  None,    "2026-03-29T12:48:22Z", TaskState.FAILED),
    ("0",     "400", "bad",   str(EPOCH * 1000), TaskState.FAILED),
    (2,       None,  None,    None,             TaskState.FAILED),
    (3,       None,  None,    None,             TaskState.FAILED),
    ("2",     0,     "",      None,             TaskState.FAILED),
    ("3",     500,   "broke", EPOCH * 1000,     TaskState.FAILED),
    (3.0,     None,  None,    None,             TaskState.FAILED),
    (1,       None,  None,    EPOCH * 1000,     TaskState.SUCCESS),
    (1,       0,     "",      "2026-03-29T12:48:22Z", TaskState.SUCCESS),
    ("1",     None,  None,    None,             TaskState.SUCCESS),
    (1.0,     None,  None,    None,             TaskState.SUCCESS),
    (True,    None,  None,    None,             TaskState.SUCCESS),
    (4,       None,  None,    None,             TaskState.GENERATING),
    (-1,      None,  None,    None,             TaskState.GENERATING),
    ("soon",  None,  None,    None,             TaskState.GENERATING),
    ([],      None,  None,    None,             TaskState.GENERATING),
]
# fmt: on


@pytest.mark.parametrize(("flag", "code", "message", "completed", "state"), ALEPH_STATES)
def test_alephs_success_flag(flag: Any, code: Any, message: Any, completed: Any, state: TaskState) -> None:
    task = aleph(successFlag=flag, errorCode=code, errorMessage=message, completeTime=completed)
    assert task.state is state


@pytest.mark.parametrize("flag", [None, "", MISSING, "null", "done"])
@pytest.mark.parametrize("completed", [None, EPOCH * 1000])
def test_an_aleph_video_is_a_success_though_its_flag_is_missing(flag: Any, completed: Any) -> None:
    task = aleph(successFlag=flag, response={"resultVideoUrl": VIDEO}, completeTime=completed)
    assert (task.state, task.video_url) == (TaskState.SUCCESS, VIDEO)
    failed = aleph(successFlag=flag, response={"resultVideoUrl": VIDEO}, errorCode=500)
    assert failed.state is TaskState.FAILED


class TestVideos:
    @pytest.mark.parametrize("layers", [0, 1, 2])
    def test_the_result_is_found_however_often_it_was_encoded(self, layers: int) -> None:
        def encoded(value: Any) -> Any:
            for _ in range(layers):
                value = json.dumps(value)
            return value

        info = {"videoId": 394580272376856, "videoUrl": VIDEO, "imageUrl": IMAGE}
        task = runway(videoInfo=encoded(info))
        assert (task.result_url(), task.image_url, task.video_id) == (VIDEO, IMAGE, "394580272376856")
        response = {"resultVideoUrl": VIDEO, "resultImageUrl": IMAGE, "taskId": "abc123"}
        task = aleph(successFlag=1, response=encoded(response))
        assert (task.result_url(), task.image_url) == (VIDEO, IMAGE)
        task = market(resultJson=encoded({"resultUrls": [IMAGE, VIDEO]}))
        assert (task.result_url(), task.image_url) == (VIDEO, IMAGE)

    def test_an_image_with_a_signature_is_no_video(self) -> None:
        task = market(resultJson={"resultUrls": [f"{IMAGE}?sign=abc", VIDEO]})
        assert (task.result_url(), task.image_url) == (VIDEO, f"{IMAGE}?sign=abc")

    @pytest.mark.parametrize("urls", [[VIDEO], VIDEO, json.dumps([VIDEO]), [None, "", VIDEO], [VIDEO, IMAGE]])
    def test_the_market_may_list_its_urls_in_any_form(self, urls: Any) -> None:
        assert market(resultJson=json.dumps({"resultUrls": urls})).result_url() == VIDEO

    @pytest.mark.parametrize(
        "empty", [*NO_OBJECTS, {"resultUrls": []}, {"resultUrls": [""]}, {"resultUrls": [IMAGE]}]
    )
    @pytest.mark.parametrize("encoded", [dict, json.dumps])
    def test_the_market_may_have_its_video_in_either_of_two_fields(
        self, empty: Any, encoded: Callable[[Any], Any]
    ) -> None:
        result = encoded({"resultUrls": [VIDEO]})
        assert market(resultJson=empty, response=result).result_url() == VIDEO
        assert market(resultJson=result, response=empty).result_url() == VIDEO

    def test_the_older_of_the_two_fields_comes_first(self) -> None:
        other = {"resultUrls": ["https://example.com/other.mp4"]}
        assert market(response=other).result_url() == VIDEO

    @pytest.mark.parametrize("result", NO_OBJECTS)
    def test_a_success_without_a_result_is_an_error_of_its_own(self, result: Any) -> None:
        for task in (
            runway(videoInfo=result),
            aleph(successFlag=1, response=result),
            market(resultJson=result),
            market(resultJson=result, response=result),
        ):
            self.assert_is_a_success_without_video(task)

    @pytest.mark.parametrize(
        "url", [*NOTHING, "null", "/v.mp4", "v.mp4", "ftp://example.com/v.mp4", "https://", 5, {}]
    )
    def test_a_success_without_a_usable_url_is_an_error_of_its_own(self, url: Any) -> None:
        def named(name: str) -> dict[str, Any]:
            return {} if url is MISSING else {name: url}

        self.assert_is_a_success_without_video(runway(videoInfo=named("videoUrl")))
        self.assert_is_a_success_without_video(aleph(successFlag=1, response=named("resultVideoUrl")))
        self.assert_is_a_success_without_video(market(resultJson=json.dumps(named("resultUrls"))))

    @staticmethod
    def assert_is_a_success_without_video(task: RunwayTask) -> None:
        assert task.state is TaskState.SUCCESS
        with pytest.raises(RunwayVideoExpiredError, match=r"no video URL.*abc123") as caught:
            task.result_url()
        assert isinstance(caught.value, AirflowFailException)
        assert LOGS_URL in str(caught.value)

    @ALL
    @pytest.mark.parametrize("flag", [1, "1", 1.0, True, "true"])
    def test_an_expired_video_is_an_error_of_its_own_though_its_url_is_there(
        self, look: Look, flag: Any
    ) -> None:
        task = look(expireFlag=flag, successFlag=1, response={"resultVideoUrl": VIDEO})
        assert task.expired
        with pytest.raises(RunwayVideoExpiredError, match=r"deleted.*abc123"):
            task.result_url()

    @ALL
    @pytest.mark.parametrize("flag", [*NOTHING, 0, "0", False, "false", "null", [], {}])
    def test_a_video_is_not_expired_otherwise(self, look: Look, flag: Any) -> None:
        assert not look(expireFlag=flag).expired


class TestTimes:
    FORMS = [
        EPOCH,
        str(EPOCH),
        float(EPOCH),
        EPOCH * 1000,
        str(EPOCH * 1000),
        "2026-03-29T12:48:22Z",
        "2026-03-29T12:48:22.000Z",
        "2026-03-29T20:48:22",
        "2026-03-29T14:48:22+02:00",
        "2026-03-29 20:48:22",
    ]
    NO_TIMES = [*NOTHING, "null", "yesterday", 0, "0", -1, "-1", True, [], {}, 1e300, "9" * 400, "2026-13-45"]

    @pytest.mark.parametrize("moment", FORMS)
    def test_every_form(self, moment: Any) -> None:
        for look in (aleph, market):
            task = look(createTime=moment, completeTime=moment)
            assert task.created_at == task.completed_at == CREATED

    @pytest.mark.parametrize("moment", NO_TIMES)
    def test_no_time(self, moment: Any) -> None:
        for look in (aleph, market):
            task = look(createTime=moment, completeTime=moment)
            assert task.created_at is task.completed_at is None
        task = runway(generateTime=moment)
        assert task.created_at is task.completed_at is None

    @pytest.mark.parametrize("moment", FORMS[:5])
    def test_generate_time_as_an_epoch_is_the_creation(self, moment: Any) -> None:
        task = runway(generateTime=moment)
        assert (task.created_at, task.completed_at) == (CREATED, None)

    @pytest.mark.parametrize("moment", FORMS[5:])
    def test_generate_time_as_a_date_is_the_completion(self, moment: Any) -> None:
        task = runway(generateTime=moment)
        assert (task.created_at, task.completed_at) == (None, CREATED)


class TestOtherFields:
    @pytest.mark.parametrize("asked", NO_OBJECTS)
    def test_a_prompt_that_is_not_repeated(self, asked: Any) -> None:
        assert runway(generateParam=asked).prompt is None
        assert aleph(paramJson=asked).prompt is None
        assert market(param=asked).prompt is None
        assert market(param={"input": None if asked is MISSING else asked}).prompt is None

    def test_a_prompt_however_often_it_was_encoded(self) -> None:
        given = {"prompt": '猫 "runs"', "task_id": "parent"}
        once = json.dumps(given)
        for asked in (given, once, json.dumps(once)):
            assert runway(generateParam=asked).prompt == given["prompt"]
            assert aleph(paramJson=asked).prompt == given["prompt"]
            for param in ({"input": asked}, json.dumps({"input": asked})):
                task = market(param=param)
                assert (task.prompt, task.parent_task_id) == (given["prompt"], "parent")

    @pytest.mark.parametrize(
        ("parent", "read"), [*((value, None) for value in NOTHING), ("p1", "p1"), (17, "17")]
    )
    def test_the_parent(self, parent: Any, read: str | None) -> None:
        assert runway(parentTaskId=parent).parent_task_id == read

    @ALL
    @pytest.mark.parametrize(
        ("code", "read"),
        [
            (400, 400),
            ("400", 400),
            (400.0, 400),
            ("SAFETY.INPUT", "SAFETY.INPUT"),
            *((value, None) for value in [*NOTHING, 0, "0", "null", [], {}, True]),
        ],
    )
    def test_a_failure_code_is_an_int_wherever_it_is_numeric(
        self, look: Look, code: Any, read: int | str | None
    ) -> None:
        assert look(failCode=code, errorCode=code).error_code == read

    @ALL
    @pytest.mark.parametrize("message", [*NOTHING, " ", "null", [], {}, True])
    def test_no_failure_text(self, look: Look, message: Any) -> None:
        assert look(failMsg=message, errorMessage=message).error_message is None

    @ALL
    def test_what_no_database_can_store_is_replaced(self, look: Look) -> None:
        text = look(failMsg="a\x00b\ud83dc", errorMessage="a\x00b\ud83dc").error_message
        assert text == "a�b�c"


# fmt: off
FAILURES = [
    # code, text, does the same request fail again
    (400,  "Bad input",                                                    True),
    (422,  "The value is out of range",                                    True),
    (451,  "The image could not be fetched",                               True),
    (500,  "Your prompt was flagged by content moderation",                True),
    (501,  "Violates our content policy",                                  True),
    (400,  "Get image info failed.",                                       True),
    (400,  "Inappropriate content detected. Please replace the image or video.", True),
    (400,  "Incorrect image format.",                                      True),
    (400,  "Unsupported width or height. Please adjust the size and try again.", True),
    (400,  "Your prompt was caught by our AI moderator. \nPlease adjust it and try again!", True),
    (500,  "Your prompt was caught by our AI moderator. Please adjust it and try again!", True),
    (400,  "Your prompt/negative prompt cannot exceed 2048 characters.",   True),
    (None, "Your video creation prompt contains NSFW content, which isn't allowed under our policy.", True),
    # Words that call it momentary come before those of a rejection, and before the codes of one.
    (400,  "Please try again later. You can upgrade to Standard membership to start generating now.", False),
    (None, "The policy service is not available, please try again later",  False),
    (400,  "Reached the limit for concurrent generations.",                False),
    (400,  "Upload failed due to network reasons, please re-enter.",       False),
    (422,  "generate playground failed, task id is blank",                 False),
    ("GENERATION_FAILED", "Playground task failed.",                       False),
    # With a code of 5xx, the vendor's services call one another's answers so.
    (500,  "Invalid response from the upstream service",                   False),
    (500,  "unsupported upstream reply",                                   False),
    (501,  "This model is not supported by the upstream service",          False),
    ("UPSTREAM_INVALID_RESPONSE", "timeout",                               False),
    (None, "Invalid image",                                                True),
    ("INVALID_IMAGE", None,                                                True),
    (None, "This format is not supported",                                 True),
    (None, "The service is moderately busy",                               False),
    (500,  "The service is moderately busy",                               False),
    (500,  "The prompt was moderated",                                     True),
    ("CONTENT_MODERATION", None,                                           True),
    ("SAFETY.INPUT.TEXT", "",                                              True),
    ("INPUT_PREPROCESSING.SAFETY.TEXT", None,                              True),
    (500,  "internal error, please try again later.",                      False),
    (501,  "generation failed",                                            False),
    (408,  "upstream silent",                                              False),
    (400,  "The service is busy, please try again later",                  False),
    ("INTERNAL.BAD_OUTPUT.CODE01", None,                                   False),
    (None, None,                                                           False),
    ("",   "",                                                             False),
]
# fmt: on


@pytest.mark.parametrize("look", [runway, aleph, market])
def test_words_of_a_failure_cannot_steer_a_terminal(look: Callable[..., RunwayTask]) -> None:
    said = "a\x1b[31mb\x07c\x7fd\x9be\r\n\tf"
    task = look(state="fail", successFlag=3, failMsg=said, errorMessage=said)
    with pytest.raises(RunwayError) as caught:
        task.result_url()
    text = str(caught.value)
    assert "a�[31mb�c�d�e f" in text
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)


@BOTH
@pytest.mark.parametrize(("code", "text", "final"), FAILURES)
def test_a_failed_task_says_why_and_is_retried_where_that_can_help(
    look: Look, code: int | str | None, text: str | None, final: bool
) -> None:
    task = look(state="fail", failCode=code, failMsg=text)
    with pytest.raises(RunwayTaskFailedError) as caught:
        task.result_url()
    error = caught.value
    assert isinstance(error, AirflowFailException) is final
    assert (error.error_code, error.error_message) == (code or None, text or None)
    assert error.runway_task_id == "abc123"
    reason = " ".join((text or "no reason given").split()).rstrip(".")
    for part in ("abc123", LOGS_URL, str(code or ""), reason):
        assert part in str(error)
    assert str(error).index(reason) < str(error).index("abc123"), "Airflow's UI cuts a long line"
    assert "\n" not in str(error)


@BOTH
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (402, "Credits insufficient : Your current balance isn't enough to run this request."),
        (402, None),
        ("433", "The cap of this key is reached, try again later"),
        (400, "Credits insufficient"),
        (500, "Your current balance isn\u2019t enough to run this request. Please top up to continue."),
        ("INSUFFICIENT_CREDITS", "insufficient credits"),
    ],
)
def test_a_task_that_failed_for_want_of_credits_says_so_and_is_not_retried(
    look: Look, code: int | str | None, text: str | None
) -> None:
    with pytest.raises(RunwayTaskFailedError, match=r"top the account up.*abc123") as caught:
        look(state="fail", failCode=code, failMsg=text).result_url()
    assert isinstance(caught.value, RunwayCreditsError)
    assert isinstance(caught.value, AirflowFailException)
    assert not isinstance(caught.value, RunwayTaskRejectedError), "nothing is wrong with what was asked"


class TestCredits:
    """kie.ai's ``creditsConsumed`` is a reservation until the task has succeeded."""

    GIVEN = [
        (12, 12.0),
        (110.5, 110.5),
        ("63.0", 63.0),
        (0, 0.0),
        *((value, None) for value in [*NOTHING, "many", [], True]),
    ]

    @ALL
    @pytest.mark.parametrize(("credits", "read"), GIVEN)
    def test_a_success_cost_them(self, look: Look, credits: Any, read: float | None) -> None:
        task = look(successFlag=1, creditsConsumed=credits)
        assert (task.credits_consumed, task.credits_reserved) == (read, None)

    @ALL
    @pytest.mark.parametrize(("credits", "read"), GIVEN)
    @pytest.mark.parametrize("state", ["waiting", "generating", "fail"])
    def test_before_that_and_after_a_failure_they_are_reserved(
        self, look: Look, state: str, credits: Any, read: float | None
    ) -> None:
        flag = 3 if state == "fail" else 0
        task = look(state=state, successFlag=flag, creditsConsumed=credits)
        assert (task.credits_consumed, task.credits_reserved) == (None, read)

    @BOTH
    def test_a_failure_does_not_call_them_spent(self, look: Look) -> None:
        with pytest.raises(RunwayTaskFailedError, match="30 credits were reserved") as caught:
            look(state="fail", creditsConsumed="30").result_url()
        assert "spent" not in str(caught.value)

    @pytest.mark.parametrize("credits", [0, 0.0, None, MISSING])
    def test_a_failure_for_which_nothing_is_said_to_be_reserved_leaves_it_open(self, credits: Any) -> None:
        with pytest.raises(RunwayTaskFailedError, match="says whether credits were kept") as caught:
            market(state="fail", creditsConsumed=credits).result_url()
        assert "reserved" not in str(caught.value)


class TestPlainData:
    COMPLETE = RunwayTask(
        task_id="abc123",
        model="aleph",
        state=TaskState.FAILED,
        video_url=VIDEO,
        image_url=IMAGE,
        video_id="1",
        parent_task_id="p",
        prompt="猫",
        error_code="E1",
        error_message="broke",
        created_at=CREATED,
        completed_at=CREATED.replace(microsecond=123000),
        credits_reserved=12.5,
        expired=True,
    )

    @pytest.mark.parametrize("task", [COMPLETE, RunwayTask("a", "runway", TaskState.WAITING)])
    def test_a_task_comes_back_from_json_unchanged(self, task: RunwayTask) -> None:
        assert RunwayTask.from_dict(json.loads(json.dumps(task.to_dict()))) == task

    def test_what_a_later_version_added_is_left_out(self) -> None:
        assert RunwayTask.from_dict({**self.COMPLETE.to_dict(), "resolution": "720p"}) == self.COMPLETE

    def test_what_an_earlier_version_called_spent_though_the_task_failed_is_reserved(self) -> None:
        earlier = {"task_id": "a", "model": "runway", "state": "failed", "credits_consumed": 12.5}
        assert RunwayTask.from_dict(earlier).credits_reserved == 12.5

    def test_what_an_earlier_version_did_not_know_has_its_default(self) -> None:
        assert RunwayTask.from_dict({"task_id": "a", "model": "runway", "state": "success"}) == RunwayTask(
            "a", "runway", TaskState.SUCCESS
        )

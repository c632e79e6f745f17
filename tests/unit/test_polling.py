"""When a wait polls again, and what ends it: the video, an error that is final, or the deadline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayConnectionNotFoundError,
    RunwayCreditsError,
    RunwayError,
    RunwayMaintenanceError,
    RunwayNotConnectedError,
    RunwayRateLimitError,
    RunwayRequestError,
    RunwayServerError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayUnreadableAnswerError,
    RunwayValidationError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.waiting.arguments import seconds
from airflow_provider_runway.waiting.backoff import backoff
from airflow_provider_runway.waiting.ending import WaitEnd
from airflow_provider_runway.waiting.poller import Poller
from airflow_provider_runway.waiting.schedule import Durations

START = 1_700_000_000.0
VIDEO = "https://example.com/video.mp4"
GOING_ON = (TaskState.WAITING, TaskState.QUEUEING, TaskState.GENERATING)
PASSING = [
    RunwayRateLimitError("code 429"),
    RunwayServerError("code 500"),
    RunwayMaintenanceError("code 455"),
    RunwayNotConnectedError("no connection"),
    RunwayUnreadableAnswerError("a gateway's page"),
    # Of the account, of the request's form, of a feature: nothing of the task.
    RunwayCreditsError("code 402", code=402),
    RunwayCreditsError("code 433", code=433),
    *(RunwayRequestError(f"code {code}", code=code) for code in (400, 451, 505, 418)),
]
FINAL = [
    RunwayAuthenticationError("code 401"),
    RunwayTaskFailedError("code 501"),
    RunwayTaskRejectedError("code 501"),
    RunwayVideoExpiredError("deleted"),
    RunwayValidationError("runway_task_id=''"),
]


def poller(**changes: Any) -> Poller:
    """Return a wait of an hour that begins at ``START``."""
    arguments: dict[str, Any] = {
        "runway_task_id": "task-1",
        "model": "runway",
        "started_at": START,
        "end_time": START + 3600,
    }
    return Poller(**{**arguments, **changes})


def task(state: TaskState, **fields: Any) -> RunwayTask:
    return RunwayTask(task_id="task-1", model="runway", state=state, **fields)


def ended(end: WaitEnd | None) -> WaitEnd:
    assert end is not None
    return end


@pytest.mark.parametrize("state", GOING_ON)
def test_a_task_that_goes_on_is_looked_at_again(state: TaskState) -> None:
    assert poller().on_task(task(state), START + 10) is None


def test_a_video_ends_the_wait() -> None:
    end = ended(poller().on_task(task(TaskState.SUCCESS, video_url=VIDEO), START + 40))
    assert end.result().video_url == VIDEO


def test_a_video_that_is_there_after_the_deadline_is_still_a_video() -> None:
    end = ended(poller().on_task(task(TaskState.SUCCESS, video_url=VIDEO), START + 99_999))
    assert end.result().video_url == VIDEO


def test_a_failed_task_says_why_with_its_id_and_the_vendors_log_page() -> None:
    failed = task(TaskState.FAILED, error_code=500, error_message="internal error, please try again later.")
    end = ended(poller().on_task(failed, START + 40))
    with pytest.raises(RunwayTaskFailedError, match="internal error, please try again later") as caught:
        end.result()
    assert "task-1" in str(caught.value)
    assert "https://kie.ai/logs" in str(caught.value)
    assert caught.value.error_code == 500


@pytest.mark.parametrize("url", [None, VIDEO])
def test_a_video_that_is_deleted_ends_the_wait_at_once(url: str | None) -> None:
    end = ended(poller().on_task(task(TaskState.SUCCESS, video_url=url, expired=True), START + 40))
    with pytest.raises(RunwayVideoExpiredError):
        end.result()


def test_a_success_may_be_without_its_video_for_ninety_seconds() -> None:
    wait = poller()
    for now in (START + 40, START + 80, START + 125):
        assert wait.on_task(task(TaskState.SUCCESS), now) is None
        assert 0 < wait.next_delay(now) <= 60
    end = ended(wait.on_task(task(TaskState.SUCCESS, video_url=VIDEO), START + 129))
    assert end.result().video_url == VIDEO


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_a_success_that_stays_without_a_video_is_an_error_of_its_own(speed: float) -> None:
    wait = poller(speed=speed)
    assert wait.on_task(task(TaskState.SUCCESS), START + 40) is None
    end = ended(wait.on_task(task(TaskState.SUCCESS), START + 40 + 91 / speed))
    with pytest.raises(RunwayVideoExpiredError):
        end.result()


@pytest.mark.parametrize(("ago", "ends"), [(60, False), (91, True), (-3600, False)])
def test_the_grace_for_a_video_counts_from_the_end_that_kie_names(ago: float, ends: bool) -> None:
    """A new process, after a reschedule or a restart of the triggerer, sees the task for the first time."""
    completed = datetime.fromtimestamp(START + 400 - ago, timezone.utc)
    end = poller().on_task(task(TaskState.SUCCESS, completed_at=completed), START + 400)
    assert (end is not None) is ends


def test_a_success_without_a_video_is_no_time_out_at_the_deadline() -> None:
    end = ended(poller().on_task(task(TaskState.SUCCESS), START + 3600))
    with pytest.raises(RunwayVideoExpiredError):
        end.result()


def test_a_success_without_its_video_is_told_once() -> None:
    wait = poller()
    told = []
    for second in range(3):
        wait.on_task(task(TaskState.SUCCESS), START + second)
        told.append(wait.news)
    assert "without a video" in str(told[0])
    assert told[1:] == [None, None]


def test_a_video_that_was_named_late_teaches_nothing_of_durations() -> None:
    durations = Durations()
    for _ in range(40):
        wait = poller(kind="generate", durations=durations)
        wait.on_task(task(TaskState.GENERATING), START + 30)
        wait.on_task(task(TaskState.SUCCESS), START + 33)
        wait.on_task(task(TaskState.SUCCESS, video_url=VIDEO), START + 36)
    assert durations.usual("generate") == Durations().usual("generate")


def test_a_wait_says_once_when_it_looks_next_and_when_it_gives_up() -> None:
    wait = poller(runway_task_id="task-7")
    assert wait.plan(0.0, START) is None, "the first poll comes at once"
    plan = wait.plan(33.0, START)
    assert plan is not None
    assert "task-7" in plan
    assert "33 s" in plan
    assert "2023-11-14 22:13:53 UTC" in plan
    assert "2023-11-14 23:13:20 UTC" in plan
    assert wait.plan(3.0, START + 33) is None


def test_a_deadline_in_a_million_years_can_be_said() -> None:
    assert poller(end_time=1e14).plan(33.0, START)


def test_a_missing_connection_is_tolerated_for_ten_minutes() -> None:
    wait = poller()
    missing = RunwayConnectionNotFoundError("no such connection")
    assert wait.on_error(missing, START + 1000) is None
    assert wait.on_error(missing, START + 1590) is None
    assert wait.on_error(missing, START + 1610) is not None


def test_a_connection_that_is_found_again_has_its_ten_minutes_anew() -> None:
    wait = poller()
    missing = RunwayConnectionNotFoundError("no such connection")
    assert wait.on_error(missing, START + 1000) is None
    assert wait.on_error(RunwayServerError("code 500"), START + 1300) is None
    assert wait.on_error(missing, START + 1700) is None
    assert wait.on_error(missing, START + 2290) is None
    assert wait.on_error(missing, START + 2310) is not None


def test_a_connection_that_is_misspelt_while_a_video_is_made_is_tolerated_for_ten_minutes() -> None:
    misspelt = RunwayValidationError("Connection 'runway_default', extra 'api': 'markt'")
    for wait in (poller(kind="generate"), poller()):
        wait.on_task(task(TaskState.GENERATING), START + 900)
        assert wait.on_error(misspelt, START + 1000) is None
        assert wait.on_error(misspelt, START + 1590) is None
        assert wait.on_task(task(TaskState.GENERATING), START + 1595) is None
        assert wait.on_error(misspelt, START + 1700) is None
        assert ended(wait.on_error(misspelt, START + 2310)).error is misspelt


def test_a_connection_that_is_misspelt_is_tolerated_in_another_process_of_a_wait_that_has_seen_the_task() -> (
    None
):
    misspelt = RunwayValidationError("Connection 'runway_default', extra 'api': 'markt'")
    first = poller()
    assert ended(poller(**first.met()).on_error(misspelt, START + 1)).error is misspelt
    first.on_task(task(TaskState.GENERATING), START + 900)
    second = poller(**json.loads(json.dumps(first.met())))
    assert second.on_error(misspelt, START + 1000) is None
    third = poller(**json.loads(json.dumps(second.met())))
    assert third.was_seen
    assert third.on_error(misspelt, START + 1590) is None
    assert ended(third.on_error(misspelt, START + 1610)).error is misspelt


def test_a_key_that_is_emptied_while_a_video_is_made_is_tolerated_for_ten_minutes() -> None:
    """Nothing was sent, so kie.ai has rejected nothing."""
    emptied = RunwayAuthenticationError("Connection 'runway_default' has no API key")
    assert ended(poller().on_error(emptied, START + 1)).error is emptied
    for wait in (poller(kind="generate"), poller(was_seen=True)):
        assert wait.on_error(emptied, START + 1000) is None
        assert "no API key" in str(wait.news)
        assert wait.on_error(emptied, START + 1590) is None
        assert ended(wait.on_error(emptied, START + 1610)).error is emptied
        rejected = RunwayAuthenticationError("code 401", code=401)
        assert ended(wait.on_error(rejected, START + 1000)).error is rejected


def test_failures_in_a_row_are_counted_on_in_another_process() -> None:
    pauses, met = [], poller().met()
    for number in range(6):
        wait = poller(poll_interval=2.0, **json.loads(json.dumps(met)))
        wait.on_error(RunwayServerError("code 503"), START + number)
        pauses.append(wait.next_delay(START + number))
        met = wait.met()
    assert pauses[0] <= 2.5
    assert pauses[5] > 40
    wait = poller(poll_interval=2.0, **met)
    wait.on_task(task(TaskState.GENERATING), START + 7)
    assert wait.news == "Runway task task-1 can be polled again: generating"
    assert wait.met()["failures"] == 0


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_a_look_up_that_fails_ends_nothing_before_the_deadline(error: RunwayError) -> None:
    wait = poller()
    for now in (START, START + 100, START + 1000, START + 3599):
        assert wait.on_error(error, now) is None


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_an_error_that_asking_again_cannot_mend_ends_the_wait_at_once(error: RunwayError) -> None:
    end = ended(poller().on_error(error, START + 1))
    with pytest.raises(type(error)):
        end.result()


def test_a_task_that_never_ends_times_out_at_the_deadline_and_not_before() -> None:
    wait = poller()
    assert wait.on_task(task(TaskState.GENERATING), START + 3599.9) is None
    end = ended(wait.on_task(task(TaskState.GENERATING), START + 3600))
    with pytest.raises(RunwayTimeoutError) as caught:
        end.result()
    text = str(caught.value)
    assert "task-1" in text
    assert "generating" in text
    assert "charged" in text
    assert "https://kie.ai/logs" in text
    assert caught.value.runway_task_id == "task-1"


@pytest.mark.parametrize(("kind", "was_seen"), [(None, False), ("generate", True)])
def test_a_time_out_says_that_it_is_charged_only_of_a_task_that_kie_is_known_to_have(
    kind: str | None, was_seen: bool
) -> None:
    wait = poller(kind=kind)
    end = ended(wait.on_error(RunwayServerError("no answer"), START + 3600))
    text = str(end.error)
    assert ("continues at kie.ai and is charged" in text) is was_seen
    assert ("has not seen Runway task task-1" in text) is not was_seen
    assert text.index("No video after 3600 s") < text.index("no answer") < text.index("task-1")


def test_a_time_out_says_that_it_is_charged_of_a_task_that_was_seen_in_another_process() -> None:
    end = ended(poller(was_seen=True).on_error(RunwayServerError("no answer"), START + 3600))
    assert "continues at kie.ai and is charged" in str(end.error)


def test_a_time_out_names_the_last_failure_of_a_look_up() -> None:
    end = ended(poller().on_error(RunwayServerError("code 503: nobody home"), START + 3600))
    with pytest.raises(RunwayTimeoutError, match="nobody home"):
        end.result()


def test_a_new_task_may_be_unknown_for_about_ninety_seconds() -> None:
    wait = poller()
    for now in (START + 1, START + 45, START + 85):
        assert wait.on_error(RunwayTaskNotFoundError("unknown"), now) is None
    end = ended(wait.on_error(RunwayTaskNotFoundError("unknown"), START + 95))
    with pytest.raises(RunwayTaskNotFoundError):
        end.result()


def test_a_wait_taken_up_long_after_the_submission_has_a_grace_of_its_own() -> None:
    wait = poller()
    assert wait.on_error(RunwayTaskNotFoundError("unknown"), START + 1000) is None
    assert wait.on_error(RunwayTaskNotFoundError("unknown"), START + 1085) is None
    assert wait.on_error(RunwayTaskNotFoundError("unknown"), START + 1095) is not None


@pytest.mark.parametrize(
    ("answer", "grace"),
    [
        (RunwayTaskNotFoundError("unknown"), 90),
        (RunwayConnectionNotFoundError("no such connection"), 600),
        (task(TaskState.SUCCESS), 90),
    ],
    ids=["unknown", "no connection", "no video"],
)
def test_a_grace_goes_on_in_another_process(answer: Any, grace: float) -> None:
    def look(wait: Poller, now: float) -> WaitEnd | None:
        return wait.on_task(answer, now) if isinstance(answer, RunwayTask) else wait.on_error(answer, now)

    first = poller()
    assert look(first, START + 1000) is None
    since = json.loads(json.dumps(first.since))
    assert look(poller(since=since), START + 1000 + grace - 1) is None
    assert look(poller(since=since), START + 1000 + grace + 1) is not None


def test_graces_are_over_once_the_task_is_seen() -> None:
    wait = poller(since={"unknown": START, "no connection": START})
    wait.on_task(task(TaskState.GENERATING), START + 50)
    assert wait.since == {}


def test_a_task_that_was_seen_may_be_unknown_again_for_a_while() -> None:
    wait = poller()
    wait.on_task(task(TaskState.GENERATING), START + 1000)
    assert wait.on_error(RunwayTaskNotFoundError("unknown"), START + 1010) is None
    assert wait.on_error(RunwayTaskNotFoundError("unknown"), START + 1100) is not None


def test_the_pause_adapts_to_the_kind_of_task_and_its_age() -> None:
    young, old = START + 1, START + 3000
    video = poller(durations=Durations())
    aleph = poller(model="aleph", kind="aleph", durations=Durations())
    for wait in (video, aleph):
        wait.on_task(task(TaskState.GENERATING), young)
    assert 2 <= video.next_delay(young) <= 4
    assert video.next_delay(young) < video.next_delay(old)
    assert aleph.next_delay(young) > video.next_delay(young)
    assert aleph.next_delay(old) > video.next_delay(old)


@pytest.mark.parametrize("interval", [1.0, 7.0, 600.0])
def test_a_chosen_interval_is_kept(interval: float) -> None:
    wait = poller(poll_interval=interval)
    wait.on_task(task(TaskState.GENERATING), START + 1)
    assert wait.next_delay(START + 1) == interval


@pytest.mark.parametrize("interval", [0.0, 0.01, 0.99])
def test_nobody_looks_more_often_than_once_a_second(interval: float) -> None:
    wait = poller(poll_interval=interval)
    wait.on_task(task(TaskState.GENERATING), START + 1)
    assert wait.next_delay(START + 1) == 1


@pytest.mark.parametrize("speed", [1.0, 20.0, 200.0])
def test_a_new_task_of_a_fast_simulator_may_be_unknown_for_as_much_shorter(speed: float) -> None:
    wait = poller(speed=speed)
    for now in (START, START + 85 / speed):
        assert wait.on_error(RunwayTaskNotFoundError("unknown"), now) is None
    assert wait.on_error(RunwayTaskNotFoundError("unknown"), START + 95 / speed) is not None


def test_a_chosen_interval_is_kept_however_fast_the_simulator_is() -> None:
    wait = poller(poll_interval=5.0, speed=200.0)
    wait.on_task(task(TaskState.GENERATING), START + 1)
    assert wait.next_delay(START + 1) == 5


@pytest.mark.parametrize("ahead", [1.0, 3600.0])
def test_a_task_from_the_future_is_one_that_began_just_now(ahead: float) -> None:
    """The clock of the machine that submitted it, or kie.ai's, is ahead of this one's."""
    submitted = poller(kind="generate", started_at=START + ahead, durations=Durations())
    assert submitted.next_delay(START) <= 40
    created = poller(durations=Durations())
    created.on_task(
        task(TaskState.GENERATING, created_at=datetime.fromtimestamp(START + ahead, timezone.utc)), START
    )
    assert created.next_delay(START) <= 40


def test_the_last_look_is_at_the_deadline() -> None:
    wait = poller(poll_interval=600)
    wait.on_task(task(TaskState.GENERATING), START + 3590)
    assert wait.next_delay(START + 3590) == pytest.approx(10)
    assert wait.next_delay(START + 3700) == 0


def test_failures_in_a_row_are_paused_for_longer_and_longer() -> None:
    wait = poller(poll_interval=2.0)
    pauses = []
    for _ in range(5):
        wait.on_error(RunwayServerError("code 500"), START + 1)
        pauses.append(wait.next_delay(START + 1))
    assert pauses[0] < pauses[2] < pauses[4]
    wait.on_task(task(TaskState.GENERATING), START + 2)
    assert wait.next_delay(START + 2) == 2.0


def test_a_look_is_never_before_the_servers_retry_after() -> None:
    wait = poller()
    wait.on_error(RunwayRateLimitError("code 429", retry_after=200.0), START)
    assert wait.next_delay(START) >= 200


@given(failures=st.integers(1, 10_000), retry_after=st.none() | st.floats(0, 999_999))
def test_a_pause_after_a_failure_is_bounded_and_honours_retry_after(
    failures: int, retry_after: float | None
) -> None:
    pause = backoff(failures, retry_after)
    assert pause >= max(0.5, retry_after or 0)
    assert pause <= max(80, (retry_after or 0) + 1)


def test_pauses_after_failures_double_up_to_a_minute_give_or_take_a_quarter() -> None:
    for shortest, failures, pause in (
        (1, 1, 1.0),
        (4, 1, 4.0),
        (4, 2, 8.0),
        (4, 4, 32.0),
        (4, 5, 60.0),
        (4, 50, 60.0),
    ):
        drawn = [backoff(failures, None, shortest=shortest) for _ in range(500)]
        assert 0.75 * pause <= min(drawn) < 0.8 * pause
        assert 1.2 * pause < max(drawn) <= 1.25 * pause


def test_a_look_that_failed_is_repeated_no_sooner_than_a_chosen_interval_gives_or_takes_a_quarter() -> None:
    wait = poller(poll_interval=20.0)
    wait.on_error(RunwayServerError("code 500"), START)
    assert 15 <= wait.next_delay(START) <= 25


@pytest.mark.parametrize("value", [0, -1.5, float("inf"), float("nan"), True, "60", timedelta(0)], ids=repr)
def test_a_duration_that_is_none_is_refused_by_name_and_value(value: Any) -> None:
    with pytest.raises(RunwayValidationError, match=f"^timeout={re.escape(repr(value))}: must be a positive"):
        seconds("timeout", value)


def test_pauses_have_jitter_so_that_many_waits_do_not_ask_at_once() -> None:
    assert len({backoff(3, None) for _ in range(20)}) > 10
    assert max(backoff(1, None) for _ in range(20)) <= 1.25


def test_there_is_news_at_each_change_of_state_and_none_at_each_look() -> None:
    wait = poller()
    told = []
    for state in [GOING_ON[0]] * 3 + [GOING_ON[1]] * 3 + [GOING_ON[2]] * 3:
        wait.on_task(task(state), START + 1)
        told.append(wait.news)
    assert [index for index, news in enumerate(told) if news] == [0, 3, 6]
    assert [told[0], told[3], told[6]] == [f"Runway task task-1: {state}" for state in GOING_ON]


def test_there_is_news_at_the_first_failure_and_at_the_recovery_alone() -> None:
    wait = poller()
    wait.on_task(task(TaskState.GENERATING), START)
    told = []
    for _ in range(4):
        wait.on_error(RunwayServerError("code 503"), START + 1)
        told.append(wait.news)
    for _ in range(3):
        wait.on_task(task(TaskState.GENERATING), START + 2)
        told.append(wait.news)
    assert [index for index, news in enumerate(told) if news] == [0, 4]
    assert "503" in str(told[0])


def test_each_kind_of_failure_is_named_once_until_the_recovery() -> None:
    wait = poller()
    credits_error = RunwayCreditsError("code 402: top up", code=402)
    told = []
    for error in [RunwayServerError("code 503", code=503), credits_error] * 3:
        wait.on_error(error, START + 1)
        told.append(wait.news)
    assert [index for index, news in enumerate(told) if news] == [0, 1]
    assert "top up" in str(told[1])
    wait.on_task(task(TaskState.GENERATING), START + 2)
    wait.on_error(credits_error, START + 3)
    assert wait.news


@pytest.mark.parametrize("error", [*PASSING, *FINAL, RunwayTaskNotFoundError("unknown")], ids=repr)
def test_an_error_goes_through_an_event_and_comes_out_as_the_same_kind(error: RunwayError) -> None:
    error.runway_task_id, error.code, error.retry_after = "task-1", 418, 2.5
    event = json.loads(json.dumps(WaitEnd(error=error).to_event()))
    read = WaitEnd.from_event(event).error
    assert type(read) is type(error)
    assert read is not None
    assert (str(read), read.runway_task_id, read.code, read.retry_after) == (str(error), "task-1", 418, 2.5)


def test_a_failed_task_goes_through_an_event_with_its_code_and_words() -> None:
    failed = task(TaskState.FAILED, error_code=400, error_message="caught by our AI moderator")
    end = ended(poller().on_task(failed, START + 1))
    read = WaitEnd.from_event(json.loads(json.dumps(end.to_event())))
    assert read.task == failed
    with pytest.raises(RunwayTaskRejectedError, match="caught by our AI moderator") as caught:
        read.result()
    assert (caught.value.error_code, caught.value.error_message) == (400, "caught by our AI moderator")


def test_a_video_goes_through_an_event_whole() -> None:
    video = task(TaskState.SUCCESS, video_url=VIDEO, image_url="https://example.com/i.jpg", video_id="7")
    event = json.loads(json.dumps(WaitEnd(task=video).to_event()))
    assert event["status"] == "success"
    assert WaitEnd.from_event(event).result() == video


@pytest.mark.parametrize(
    "event", [None, {}, "done", [], {"status": "success"}, {"task": None, "error": None}]
)
def test_an_event_that_says_nothing_is_no_success(event: Any) -> None:
    with pytest.raises(RunwayError):
        WaitEnd.from_event(event).result()


@given(data=st.data(), model=st.sampled_from(["runway", "aleph"]))
def test_whatever_is_answered_the_wait_ends_at_its_deadline_after_a_bounded_number_of_looks(
    data: st.DataObject, model: str
) -> None:
    """A clock of the test's own goes on by what the poller asks for."""
    interval = data.draw(st.none() | st.floats(1, 4000))
    wait = poller(model=model, poll_interval=interval, end_time=START + 600)
    answers: Iterator[int] = cycle(data.draw(st.lists(st.integers(0, len(PASSING)), min_size=1, max_size=9)))
    now, end = START, None
    while end is None:
        index = next(answers)
        if index == len(PASSING):
            end = wait.on_task(task(TaskState.GENERATING), now)
        else:
            end = wait.on_error(PASSING[index], now)
        if end is None:
            pause = wait.next_delay(now)
            assert pause >= 0.5 or now + pause >= wait.end_time - 0.001
            now += pause
    assert now == pytest.approx(START + 600)
    with pytest.raises(RunwayTimeoutError):
        end.result()

"""The record of a submission: what a retry takes up, what it must not repeat, and when nobody can know."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayValidationError,
)
from airflow_provider_runway.submissions.journal import SubmissionJournal, count_resubmissions, noted
from airflow_provider_runway.submissions.record import digest_of
from tests.stores import TaskStateStore, down

REQUEST = GenerateVideo(prompt="A lighthouse in the fog")
SOON = time.time() + 3600


@pytest.fixture
def store() -> TaskStateStore:
    return TaskStateStore()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts to write, noted instead of slept."""
    noted: list[float] = []
    clock = SimpleNamespace(time=time.time, sleep=noted.append, strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr("airflow_provider_runway.submissions.journal.time", clock)
    return noted


def journal(store: Any, **changed: Any) -> SubmissionJournal:
    return SubmissionJournal(
        store,
        **{
            "request": REQUEST,
            "runway_conn_id": "runway_default",
            "try_number": 1,
            "max_tries": 3,
            **changed,
        },
    )


def submitted(store: TaskStateStore, runway_task_id: str = "task-1", end_time: float = SOON) -> None:
    first = journal(store)
    first.accepted(first.intend(end_time), runway_task_id)


def test_there_is_nothing_to_take_up_before_the_first_submission(store: TaskStateStore) -> None:
    assert journal(store).earlier() is None


def test_the_intent_is_stored_before_the_request_is_sent(store: TaskStateStore) -> None:
    journal(store).intend(SOON)
    (record,) = map(json.loads, store.values.values())
    assert record["runway_task_id"] is None
    assert record["try_number"] == 1
    assert record["digest"] == digest_of(REQUEST, "runway_default")
    assert abs(record["submitted_at"] - time.time()) < 60


def test_a_retry_takes_up_the_task_that_an_earlier_try_submitted(store: TaskStateStore) -> None:
    submitted(store, "task-1")
    earlier = journal(store, try_number=2).earlier()
    assert earlier is not None
    assert (earlier.runway_task_id, earlier.try_number, earlier.end_time) == ("task-1", 1, SOON)


def test_a_retry_after_a_refusal_finds_nothing(store: TaskStateStore) -> None:
    first = journal(store)
    first.intend(SOON)
    first.refused()
    assert journal(store, try_number=2).earlier() is None


def test_an_intent_without_an_id_means_that_nobody_can_know(store: TaskStateStore) -> None:
    journal(store).intend(SOON)
    with pytest.raises(RunwaySubmissionUnknownError) as caught:
        journal(store, try_number=2).earlier()
    assert isinstance(caught.value, AirflowFailException)
    text = str(caught.value)
    for told in ("Try 1", "A lighthouse in the fog", "UTC", "https://kie.ai/logs", "clear", "resubmit"):
        assert told in text


def test_a_record_that_cannot_be_understood_means_that_nobody_can_know(store: TaskStateStore) -> None:
    submitted(store)
    (key,) = store.values
    store.values[key] = json.dumps({"digest": "?"})
    with pytest.raises(RunwaySubmissionUnknownError, match="damaged"):
        journal(store, try_number=2).earlier()


@pytest.mark.parametrize(
    "field",
    [
        {"submitted_at": "yesterday"},
        {"submitted_at": 1e300},
        {"end_time": None},
        {"max_tries": "many"},
        {"runway_task_id": ["task-1"]},
        {"prompt": 7},
        {"resubmissions": -1},
    ],
)
def test_a_record_with_a_value_that_cannot_be_is_damaged(
    store: TaskStateStore, field: dict[str, object]
) -> None:
    submitted(store)
    (key,) = store.values
    store.values[key] = json.dumps({**json.loads(store.values[key]), **field})
    with pytest.raises(RunwaySubmissionUnknownError, match=f"damaged.*{next(iter(field))}"):
        journal(store, try_number=2).earlier()


@pytest.mark.parametrize("entry", [None, 7, "url", {"url": "https://file.com/a.png"}, {"until": "soon"}])
def test_an_upload_whose_record_is_damaged_is_made_again(store: TaskStateStore, entry: object) -> None:
    store.set("runway_uploads", {"files": {"1": entry}})
    assert journal(store).upload_of("1") is None
    journal(store).note_upload("1", "https://file.com/b.png")
    assert journal(store).upload_of("1") == "https://file.com/b.png"


def test_a_clear_gets_rid_of_a_record_that_cannot_be_understood(store: TaskStateStore) -> None:
    submitted(store)
    (key,) = store.values
    store.values[key] = json.dumps({"digest": "?", "max_tries": 2})
    assert journal(store, try_number=2, max_tries=4).earlier() is None


def test_a_clear_submits_anew(store: TaskStateStore) -> None:
    submitted(store)
    # A clear of try 1 with retries=3 gives 1 + 3.
    assert journal(store, try_number=2, max_tries=4).earlier() is None


def test_a_clear_submits_anew_even_where_the_fate_of_the_first_is_unknown(store: TaskStateStore) -> None:
    journal(store).intend(SOON)
    assert journal(store, try_number=2, max_tries=4).earlier() is None


@pytest.mark.parametrize(
    "changed",
    [
        {"request": replace(REQUEST, prompt="A lighthouse at noon")},
        {"request": replace(REQUEST, aspect_ratio="9:16")},
        {"request": replace(REQUEST, duration=10)},
        {"runway_conn_id": "another_account"},
    ],
    ids=["prompt", "aspect ratio", "duration", "connection"],
)
def test_a_request_that_has_changed_is_a_new_request(store: TaskStateStore, changed: dict[str, Any]) -> None:
    submitted(store)
    assert journal(store, try_number=2, **changed).earlier() is None


def test_the_log_of_a_new_request_names_the_video_that_was_paid_for_before(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    submitted(store, "task-7")
    journal(store, try_number=2, request=replace(REQUEST, duration=10)).earlier()
    assert "Runway task task-7, which is charged" in caplog.text


def test_a_changed_request_does_not_pass_by_an_unknown_submission(store: TaskStateStore) -> None:
    journal(store).intend(SOON)
    changed = replace(REQUEST, prompt="Another")
    with pytest.raises(RunwaySubmissionUnknownError, match="A lighthouse in the fog"):
        journal(store, try_number=2, request=changed).earlier()


@pytest.mark.parametrize(
    "request_with",
    [
        lambda query: replace(REQUEST, image_url=f"https://b.example/i.png?{query}"),
        lambda query: GenerateAlephVideo(
            prompt="x",
            video_url=f"https://b.example/v.mp4?{query}",
            reference_image=f"https://b.example/r.png?{query}",
        ),
    ],
    ids=["picture", "video"],
)
def test_an_address_that_is_signed_anew_is_the_same_request(
    store: TaskStateStore, request_with: Callable[[str], Any]
) -> None:
    first = journal(store, request=request_with("signature=1"))
    first.accepted(first.intend(SOON), "task-1")
    earlier = journal(store, try_number=2, request=request_with("signature=2&expires=9")).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-1"


def test_another_address_is_another_request_and_a_prompt_is_no_address() -> None:
    requests = [
        replace(REQUEST, image_url="https://b.example/1.png?s"),
        replace(REQUEST, image_url="https://b.example/2.png?s"),
        replace(REQUEST, prompt="https://b.example/?a"),
        replace(REQUEST, prompt="https://b.example/?b"),
    ]
    assert len({digest_of(request, "c") for request in requests}) == len(requests)


def test_a_field_that_a_later_release_adds_changes_no_digest() -> None:
    @dataclass(frozen=True)
    class GenerateVideo(type(REQUEST)):  # type: ignore[misc]
        motion: str | None = None

    assert digest_of(GenerateVideo(prompt=REQUEST.prompt), "c") == digest_of(REQUEST, "c")
    assert digest_of(GenerateVideo(prompt=REQUEST.prompt, motion="x"), "c") != digest_of(REQUEST, "c")


def test_a_record_of_the_release_that_took_every_field_as_it_is_is_recognised(store: TaskStateStore) -> None:
    submitted(store, "task-1")
    (key,) = store.values
    record = json.loads(store.values[key])
    del record["resubmissions"]
    record["digest"] = "10a34cf2c2d38e62e7ff4bbe5ce9504196d9a204e12ceca541350eded9451c7e"
    store.values[key] = json.dumps(record)
    second = journal(store, try_number=2)
    earlier = second.earlier()
    assert earlier is not None
    assert (earlier.runway_task_id, earlier.resubmissions) == ("task-1", 0)
    assert second.intend(SOON).resubmissions == 1


def test_requests_of_different_kinds_are_told_apart() -> None:
    requests: list[RunwayRequest] = [
        REQUEST,
        ExtendVideo(parent_task_id="a", prompt=REQUEST.prompt),
        ExtendVideo(parent_task_id="b", prompt=REQUEST.prompt),
        GenerateAlephVideo(prompt=REQUEST.prompt, video_url="https://example.org/a.mp4"),
    ]
    assert len({digest_of(request, "c") for request in requests}) == len(requests)


def test_the_same_request_in_another_process_has_the_same_digest() -> None:
    # Written down once: a release that computes another one would pay for every running task again.
    assert digest_of(REQUEST, "runway_default") == (
        "ec36f87ced053fc44296cf83a07b1150ed9e192f6d704c6e4a66fa290317d231"
    )


def test_nothing_may_be_sent_while_the_record_cannot_be_read(store: TaskStateStore) -> None:
    store.breaks = down("get")
    with pytest.raises(RunwayServerError, match="nothing is submitted") as caught:
        journal(store).earlier()
    assert not isinstance(caught.value, AirflowFailException)


def test_nothing_may_be_sent_where_the_intent_cannot_be_stored(store: TaskStateStore) -> None:
    store.breaks = down("set")
    with pytest.raises(RunwayServerError, match="nothing was sent") as caught:
        journal(store).intend(SOON)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_try_that_airflow_has_given_up_sends_nothing_once_its_successor_has(store: TaskStateStore) -> None:
    given_up = journal(store)
    assert given_up.earlier() is None
    successor = journal(store, try_number=2)
    assert successor.earlier() is None
    successor.accepted(successor.intend(SOON), "task-of-try-2")
    with pytest.raises(RunwayServerError, match="sends nothing"):
        given_up.intend(SOON)
    earlier = journal(store, try_number=3).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-of-try-2"


def test_one_try_may_submit_again_after_its_own_unknown_attempt(store: TaskStateStore) -> None:
    first = journal(store)
    assert first.earlier() is None
    first.intend(SOON)
    again = first.intend(SOON)
    first.accepted(again, "task-2")
    earlier = journal(store, try_number=2).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-2"


def test_a_refusal_leaves_what_another_try_has_noted_since(store: TaskStateStore) -> None:
    given_up = journal(store)
    given_up.intend(SOON)
    successor = journal(store, try_number=2)
    with pytest.raises(RunwaySubmissionUnknownError):
        successor.earlier()
    successor.accepted(successor.intend(SOON), "task-of-try-2")
    given_up.refused()
    earlier = journal(store, try_number=3).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-of-try-2"


def test_an_id_does_not_take_the_place_of_another_trys_record(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    given_up = journal(store)
    intent = given_up.intend(SOON)
    successor = journal(store, try_number=2)
    with pytest.raises(RunwaySubmissionUnknownError):
        successor.earlier()
    successor.accepted(successor.intend(SOON), "task-of-try-2")
    assert given_up.accepted(intent, "task-of-try-1").runway_task_id == "task-of-try-1"
    assert "task-of-try-1" in caplog.text
    earlier = journal(store, try_number=3).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-of-try-2"


def test_an_intent_that_was_written_although_the_store_says_no_is_taken_back(store: TaskStateStore) -> None:
    write = store.set

    def written_and_then_lost(*arguments: Any, **keywords: Any) -> None:
        write(*arguments, **keywords)
        raise ConnectionError("the answer was lost")

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(store, "set", written_and_then_lost)
        with pytest.raises(RunwayServerError, match="nothing was sent"):
            journal(store).intend(SOON)
    assert journal(store, try_number=2).earlier() is None


def test_an_id_that_was_written_although_the_store_says_no_is_not_taken_for_another_trys(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = journal(store)
    intent = first.intend(SOON)
    write, answers = store.set, iter([False])

    def written_and_then_lost(*arguments: Any, **keywords: Any) -> None:
        write(*arguments, **keywords)
        if not next(answers, True):
            raise ConnectionError("the answer was lost")

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(store, "set", written_and_then_lost)
        first.accepted(intent, "task-1")
    assert "Another try" not in caplog.text
    earlier = journal(store, try_number=2).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-1"


def test_what_came_before_a_refused_request_is_not_forgotten(store: TaskStateStore) -> None:
    submitted(store, "task-1")
    second = journal(store, try_number=2)
    assert second.earlier() is not None
    assert second.intend(SOON).resubmissions == 1
    second.refused()
    third = journal(store, try_number=3)
    earlier = third.earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-1"
    assert third.intend(SOON).resubmissions == 1


def test_submissions_are_counted_until_a_person_clears_the_task(store: TaskStateStore) -> None:
    counts = []
    for try_number, max_tries in ((1, 3), (2, 3), (3, 3), (4, 6), (5, 6)):
        task = journal(store, try_number=try_number, max_tries=max_tries)
        task.earlier()
        submission = task.accepted(task.intend(SOON), f"task-{try_number}")
        counts.append(submission.resubmissions)
        assert count_resubmissions(store, f"task-{try_number}") == counts[-1]
    assert counts == [0, 1, 2, 0, 1]
    assert count_resubmissions(store, "another") == 0


def test_the_id_is_stored_although_the_store_fails_for_a_while(
    store: TaskStateStore, pauses: list[float]
) -> None:
    first = journal(store)
    intent = first.intend(SOON)
    store.breaks = down("set", times=3)
    first.accepted(intent, "task-1")
    assert len(pauses) == 3
    earlier = journal(store, try_number=2).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-1"


def test_an_id_that_cannot_be_stored_is_in_the_log_and_not_an_error(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = journal(store)
    intent = first.intend(SOON)
    store.breaks = down("set")
    assert first.accepted(intent, "task-1").runway_task_id == "task-1"
    assert "task-1" in caplog.text
    store.breaks = down(times=0)
    with pytest.raises(RunwaySubmissionUnknownError):
        journal(store, try_number=2).earlier()


def test_a_refusal_that_is_stored_warns_of_nothing(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = journal(store)
    first.intend(SOON)
    first.refused()
    assert caplog.text == ""


def test_a_refusal_that_cannot_be_stored_is_no_error_either(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = journal(store)
    first.intend(SOON)
    store.breaks = down("delete")
    first.refused()
    assert "A retry will report this submission as unknown, although it was not accepted" in caplog.text
    store.breaks = down(times=0)
    # Too careful rather than twice.
    with pytest.raises(RunwaySubmissionUnknownError):
        journal(store, try_number=2).earlier()


def test_a_wait_goes_on_until_its_own_deadline(store: TaskStateStore) -> None:
    submitted(store)
    second = journal(store, try_number=2)
    earlier = second.earlier()
    assert earlier is not None
    assert second.extend(earlier, 60).end_time == SOON


def test_a_wait_whose_deadline_has_passed_gets_a_new_one_that_is_kept(store: TaskStateStore) -> None:
    submitted(store, end_time=time.time() - 1)
    second = journal(store, try_number=2)
    earlier = second.earlier()
    assert earlier is not None
    end_time = second.extend(earlier, 600).end_time
    assert end_time > time.time() + 500
    third = journal(store, try_number=3).earlier()
    assert third is not None
    assert (third.end_time, third.runway_task_id) == (end_time, "task-1")


def test_only_the_beginning_of_a_long_prompt_is_kept(store: TaskStateStore) -> None:
    journal(store, request=replace(REQUEST, prompt="é" * 1800)).intend(SOON)
    (record,) = store.values.values()
    assert json.loads(record)["prompt"] == "é" * 80


def test_one_try_submits_one_request_alone(store: TaskStateStore) -> None:
    submitted(store, "task-1")
    with pytest.raises(
        RunwayValidationError, match=r"Another.*A lighthouse in the fog.*expand.*durable=False"
    ):
        journal(store, request=replace(REQUEST, prompt="Another")).earlier()
    # The same request once more is the same video.
    earlier = journal(store).earlier()
    assert earlier is not None
    assert earlier.runway_task_id == "task-1"


def test_a_run_that_was_deleted_and_made_again_may_ask_for_something_else(store: TaskStateStore) -> None:
    submitted(store)
    changed = replace(REQUEST, prompt="Another")
    assert journal(store, request=changed, try_began_at=time.time() + 1).earlier() is None


def test_an_unknown_submission_is_told_of_with_its_record(store: TaskStateStore) -> None:
    intent = journal(store).intend(SOON, "recipient")
    with pytest.raises(RunwaySubmissionUnknownError) as caught:
        journal(store, try_number=2).earlier()
    assert caught.value.submission == intent


@pytest.mark.parametrize(
    ("sent", "said", "fits"),
    [
        ("A lighthouse", "A lighthouse", True),
        ("A lighthouse", " A lighthouse\n", True),
        ("A lighthouse", "A lighthouse at noon", False),
        ("A lighthouse", "", False),
        ("é" * 300, "é" * 300, True),
        ("é" * 300, "é" * 79, False),
        ("x" * 80 + "tail", "x" * 80 + "tail", True),
        ("x" * 80 + "tail", "y" * 80 + "tail", False),
        ("x" * 79 + " tail", "x" * 79 + " tail", True),
        (" " * 100 + "tail", "tail", False),
        (" " * 100 + "tail", "anything", False),
    ],
)
def test_a_prompt_is_recognised_by_the_beginning_that_is_kept(
    store: TaskStateStore, sent: str, said: str, fits: bool
) -> None:
    submission = journal(store, request=replace(REQUEST, prompt=sent)).intend(SOON)
    assert submission.has_prompt(said) is fits


def test_what_cannot_be_noted_for_long_is_told_with_one_traceback(
    store: TaskStateStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = journal(store)
    intent = first.intend(SOON)
    store.breaks = down("set")
    first.accepted(intent, "task-1")
    assert caplog.text.count("Traceback") == 1
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 5
    assert all("task-1" in line for line in lines)
    assert all("the store does not answer" in line for line in lines[1:])


def test_without_a_store_every_try_submits() -> None:
    first = journal(None)
    assert first.earlier() is None
    assert first.accepted(first.intend(SOON), "task-1").runway_task_id == "task-1"
    first.refused()
    assert journal(None, try_number=2).earlier() is None


def test_a_submission_of_before_a_clear_is_not_that_of_now(store: TaskStateStore) -> None:
    submitted(store)
    found = noted(store, max_tries=3)
    assert found is not None
    assert found.runway_task_id == "task-1"
    # Only a clear changes it.
    assert noted(store, max_tries=4) is None

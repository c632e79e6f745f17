"""A wait in the triggerer while kie.ai is expected to call: what it reads, when it looks, what it learns."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.triggers import arrivals, board, calls, lost_answer
from airflow_provider_runway.triggers.board import Board
from airflow_provider_runway.triggers.calls import Calls, may_wake_from
from airflow_provider_runway.triggers.lost_answer import LostAnswerTrigger
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from airflow_provider_runway.waiting.ending import RESUME_GUARD

TI: Any = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
LOG = logging.getLogger("waits")


@pytest.fixture(autouse=True)
def _nothing_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MISSED", {})


class Arrived(dict[str, str]):
    """What the API server has left as the XCom, and how often a trigger has read it."""

    reads = 0


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Arrived:
    """What the API server has left as the XCom, which a trigger reads."""
    kept = Arrived()

    async def read(_: Any) -> Any:
        kept.reads += 1
        return dict(kept)

    monkeypatch.setattr(arrivals, "_read_in_trigger", read)
    return kept


def a_wait(**other: Any) -> Calls:
    """A wait whose guard is over, and whose video should be done long from now."""
    now = time.time()
    given = {
        "recipient": "ours",
        "conn_id": "runway_default",
        "runway_task_id": "made",
        "may_wake_from": now - 10,
        "long_done_at": now + 1000,
        "every": 1000.0,
        "end_time": now + 1000,
    }
    return Calls(TI, **{**given, **other})


def missed(conn_id: str = "runway_default") -> None:
    async def story() -> None:
        wait = a_wait(conn_id=conn_id, long_done_at=0.0)
        assert await wait.wait()
        await wait.found_without(LOG)

    asyncio.run(story())


def test_what_was_kept_while_nobody_could_be_woken_is_a_reason_to_look(arrived: dict[str, str]) -> None:
    arrived["ours"] = "made"

    async def story() -> list[bool]:
        wait = a_wait()
        # Where that look finds no end, the ordinary schedule decides.
        return [await wait.wait(), await wait.wait()]

    assert asyncio.run(story()) == [True, False]


@pytest.mark.parametrize("kept", [{"ours": "foreign"}, {"another's": "made"}])
def test_what_is_about_another_video_or_address_is_none(
    kept: dict[str, str], arrived: dict[str, str]
) -> None:
    arrived.update(kept)
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(a_wait().wait(), 0.05))


def test_without_a_call_it_looks_when_the_video_should_long_be_done_and_then_now_and_then(
    arrived: dict[str, str],
) -> None:
    async def story() -> list[bool]:
        wait = a_wait(long_done_at=0.0, every=0.01)
        return [await wait.wait() for _ in range(4)]

    assert asyncio.run(story()) == [True] * 4


def test_it_looks_at_the_deadline_whatever_is_expected(arrived: dict[str, str]) -> None:
    asyncio.run(asyncio.wait_for(a_wait(end_time=time.time() - 1, may_wake_from=time.time() + 100).wait(), 5))


def test_after_three_calls_that_did_not_come_it_looks_as_without_and_says_so_once(
    arrived: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        missed()
    assert not asyncio.run(a_wait().wait())
    missed("another")
    assert caplog.text.count("did not arrive") == 1
    # Those of another connection are another matter.
    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(a_wait(conn_id="another").wait(), 0.05))


def test_a_call_that_comes_makes_up_for_those_that_did_not(arrived: dict[str, str]) -> None:
    for _ in range(3):
        missed()
    arrived["ours"] = "made"
    asyncio.run(a_wait().found_without(LOG))
    assert asyncio.run(a_wait().wait())


def test_an_end_that_was_found_before_a_call_was_due_is_no_missed_call(arrived: dict[str, str]) -> None:
    for _ in range(5):
        asyncio.run(a_wait().found_without(LOG))
    arrived["ours"] = "made"
    assert asyncio.run(a_wait().wait())


@pytest.mark.parametrize(
    ("deferred_at", "made_at", "expected"),
    [
        # Airflow notes the deferral between the two, and wakes nobody for some seconds after that.
        (100.0, 102.0, 102.0),
        # The trigger began late, in a triggerer that was busy or has been restarted.
        (100.0, 160.0, 105.0),
        # The worker's clock is ahead.
        (100.0, 90.0, 100.0),
        (None, 100.0, 100.0),
    ],
)
def test_no_call_falls_between_who_reads_and_who_wakes(
    deferred_at: float | None, made_at: float, expected: float
) -> None:
    assert may_wake_from(deferred_at, made_at) == expected + RESUME_GUARD


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is posted for the triggerer, and how often it was read."""
    there: dict[str, Any] = {"value": {}, "reads": 0}

    def read(*_: Any) -> str:
        there["reads"] += 1
        if isinstance(there["value"], Exception):
            raise there["value"]
        return json.dumps(there["value"])

    monkeypatch.setattr(board, "_value_of", read)
    monkeypatch.setattr(board, "_PAUSE", 0.01)
    return there


def test_all_waits_of_a_connection_read_once(posted: dict[str, Any]) -> None:
    names = [f"recipient-{number}" for number in range(50)]
    posted["value"] = {name: f"made-{name}" for name in names}

    async def story() -> list[str | None]:
        one = Board("runway_default")
        return await asyncio.gather(*(one.wait_for(name, time.time() + 1000) for name in names))

    assert asyncio.run(story()) == [f"made-{name}" for name in names]
    assert posted["reads"] == 1


def test_what_nobody_posts_is_not_waited_for_longer_than_asked(posted: dict[str, Any]) -> None:
    async def story() -> str | None:
        return await Board("runway_default").wait_for("ours", time.time() + 0.05)

    assert asyncio.run(story()) is None


def test_a_wait_that_is_cancelled_leaves_nothing_behind(posted: dict[str, Any]) -> None:
    async def story() -> None:
        one = Board("runway_default")
        wait = asyncio.create_task(one.wait_for("ours", time.time() + 1000))
        while one._reader is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        assert one._reader is not None
        # Nobody waits, so nobody reads.
        await asyncio.wait_for(one._reader, 10)
        posted["value"] = {"ours": "made"}
        assert await one.wait_for("ours", time.time() + 1000) == "made"

    asyncio.run(story())


@pytest.mark.parametrize("trouble", [OSError("away"), ["no object"], "no JSON"])
def test_what_cannot_be_read_is_read_again_and_told_once(
    trouble: Any, posted: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    posted["value"] = trouble

    async def story() -> str | None:
        one = Board("runway_default")
        wait = asyncio.create_task(one.wait_for("ours", time.time() + 1000))
        deadline = time.monotonic() + 30
        while posted["reads"] < 3:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        posted["value"] = {"ours": "made"}
        return await wait

    assert asyncio.run(story()) == "made"
    assert caplog.text.count("cannot be read") == isinstance(trouble, Exception)


def lost_answer_trigger(**other: Any) -> LostAnswerTrigger:
    given = {"recipient": "ours", "until": time.time() + 1000, "deferred_at": time.time() - 100, **other}
    path, arguments = LostAnswerTrigger(**given).serialize()
    assert path == f"{LostAnswerTrigger.__module__}.{LostAnswerTrigger.__qualname__}"
    assert arguments == {"foreign": None, **given}
    made_again = LostAnswerTrigger(**arguments)
    made_again.task_instance = TI
    return made_again


async def first_event(trigger: Any) -> Any:
    return (await anext(trigger.run())).payload


def test_a_call_about_a_lost_answer_is_told_and_nothing_of_what_it_said(arrived: dict[str, str]) -> None:
    arrived["ours"] = "made"
    assert asyncio.run(first_event(lost_answer_trigger())) == {"status": "callback"}


def test_where_none_comes_that_is_told_once_none_is_expected(arrived: dict[str, str]) -> None:
    event = first_event(lost_answer_trigger(until=time.time() - 1))
    assert asyncio.run(event) == {"status": "none"}


def test_what_was_seen_to_be_foreign_is_not_told_again(
    arrived: Arrived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_answer, "_PAUSE", 0.01)
    arrived["ours"] = "foreign"

    async def story() -> Any:
        event = asyncio.create_task(first_event(lost_answer_trigger(foreign="foreign")))
        while arrived.reads < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        assert not event.done()
        arrived["ours"] = "made"
        return await event

    assert asyncio.run(story()) == {"status": "callback"}


@pytest.mark.parametrize("kept", [{"ours": "made"}, {}])
def test_a_task_that_was_woken_is_not_told_that_nobody_waits_for_its_video(
    kept: dict[str, str],
    arrived: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrived.update(kept)
    monkeypatch.setattr(RunwayTaskTrigger, "log", LOG)
    trigger = RunwayTaskTrigger("made", kind="generate", recipient="ours")
    trigger.task_instance = TI
    asyncio.run(trigger.on_kill())
    assert ("cannot cancel" in caplog.text) == (not kept)

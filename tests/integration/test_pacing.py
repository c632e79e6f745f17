"""The look-ups of one account are spaced, and slowed down all together when kie.ai asks for it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwayMaintenanceError,
    RunwayRateLimitError,
    RunwayServerError,
)
from airflow_provider_runway.hooks import pacing
from airflow_provider_runway.hooks.pacing import Pacer
from airflow_provider_runway.hooks.runway import RunwayAsyncHook
from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
from airflow_provider_runway.waiting.poller import Poller
from tests.integration.recorder import Answer, Recorder, Request, envelope


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await _real_sleep(0)


_real_sleep = asyncio.sleep


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


def limited(retry_after: float | None = None) -> RunwayRateLimitError:
    return RunwayRateLimitError("too many requests", code=429, retry_after=retry_after)


async def turns(pacer: Pacer, clock: Clock, count: int) -> list[float]:
    """Return when so many requests had their turns, one after the other."""
    moments = []
    for _ in range(count):
        await pacer.take_turn()
        moments.append(clock.now)
        pacer.end_turn()
    return moments


def test_requests_are_spaced_to_the_cap_a_second(clock: Clock) -> None:
    moments = asyncio.run(turns(Pacer(per_second=4, at_once=10), clock, 9))
    assert [moment - moments[0] for moment in moments] == pytest.approx([0.25 * n for n in range(9)])


def test_no_cap_means_no_pause(clock: Clock) -> None:
    asyncio.run(turns(Pacer(per_second=0, at_once=10), clock, 100))
    assert clock.slept == []


def test_time_in_which_nobody_asked_is_not_saved_up(clock: Clock) -> None:
    async def run() -> list[float]:
        pacer = Pacer(per_second=2, at_once=10)
        await turns(pacer, clock, 1)
        clock.now += 3600
        return await turns(pacer, clock, 4)

    moments = asyncio.run(run())
    assert moments[-1] - moments[0] == pytest.approx(1.5)


def test_no_more_requests_are_under_way_than_allowed() -> None:
    async def run() -> int:
        pacer = Pacer(per_second=0, at_once=3)
        under_way = most = 0

        async def request() -> None:
            nonlocal under_way, most
            await pacer.take_turn()
            under_way += 1
            most = max(most, under_way)
            for _ in range(3):
                await asyncio.sleep(0)
            under_way -= 1
            pacer.end_turn()

        await asyncio.gather(*(request() for _ in range(20)))
        return most

    assert asyncio.run(run()) == 3


def test_a_turn_that_does_not_come_in_time_is_an_error_and_leaves_the_others_theirs() -> None:
    async def run() -> None:
        pacer = Pacer(per_second=0, at_once=1)
        await pacer.take_turn()
        with pytest.raises(asyncio.TimeoutError):
            await pacer.take_turn(0.01)
        pacer.end_turn()
        await asyncio.wait_for(pacer.take_turn(), 5)

    asyncio.run(run())


def test_a_waiter_that_is_cancelled_gives_its_place_back() -> None:
    async def run() -> None:
        pacer = Pacer(per_second=0, at_once=1)
        pacer.told(limited(3600))
        waiter = asyncio.create_task(pacer.take_turn())
        for _ in range(5):
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        pacer._resume_at = 0.0
        await asyncio.wait_for(pacer.take_turn(), 5)

    asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [limited(20), RunwayMaintenanceError("maintenance", code=455, retry_after=20)],
    ids=["429", "455"],
)
def test_a_refusal_of_one_holds_all_back(clock: Clock, error: Any) -> None:
    pacer = Pacer(per_second=0, at_once=10)
    pacer.told(error)
    began = clock.now
    assert asyncio.run(turns(pacer, clock, 1))[0] >= began + 20


def test_refusals_in_a_row_hold_back_longer_and_an_answer_ends_that(clock: Clock) -> None:
    pacer = Pacer(per_second=0, at_once=10)
    pauses = []
    for _ in range(4):
        pacer.told(limited())
        pauses.append(pacer._resume_at - clock.now)
        clock.now = pacer._resume_at
    assert pauses[3] > 4 * pauses[0]
    pacer.told(None)
    pacer.told(limited())
    assert pacer._resume_at - clock.now < pauses[3] / 2


def test_refusals_that_were_under_way_when_the_pause_began_do_not_lengthen_it(clock: Clock) -> None:
    pacer = Pacer(per_second=0, at_once=50)
    pacer.told(limited())
    resume_at = pacer._resume_at
    for _ in range(49):
        pacer.told(limited())
    assert pacer._resume_at == resume_at


def test_another_error_holds_nobody_back(clock: Clock) -> None:
    pacer = Pacer(per_second=0, at_once=10)
    pacer.told(RunwayServerError("down", code=503))
    asyncio.run(turns(pacer, clock, 10))
    assert clock.slept == []


@pytest.mark.parametrize("answer", [Answer(b"", 429), envelope(None, 455, "maintenance")], ids=["429", "455"])
def test_one_refused_look_up_pauses_every_trigger_of_that_connection_and_no_other(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    connect("limited", host=recorder.url)
    connect("free", host=recorder.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setattr("airflow_provider_runway.hooks.pacing.backoff", lambda *_, **__: 3600.0)

    def script(request: Request) -> Answer:
        if "limited" in request.path:
            return answer
        return envelope({"taskId": "free", "state": "generating"})

    recorder.answer = script

    def asked_for(name: str) -> int:
        return sum(name in request.path for request in recorder.requests)

    refusals = []
    told = Pacer.told

    def noted(pacer: Pacer, error: RunwayError | None) -> None:
        told(pacer, error)
        refusals.extend([error] if error else [])

    monkeypatch.setattr(Pacer, "told", noted)

    async def run() -> None:
        first = asyncio.create_task(RunwayTaskTrigger("limited-0", "limited", poll_interval=0.01).wait())
        await until(lambda: len(refusals) == 1)
        rest = [
            asyncio.create_task(RunwayTaskTrigger(f"limited-{n}", "limited", poll_interval=0.01).wait())
            for n in range(1, 20)
        ]
        other = asyncio.create_task(RunwayTaskTrigger("free-1", "free", poll_interval=0.01).wait())
        await until(lambda: asked_for("free") >= 10)
        for task in (first, other, *rest):
            task.cancel()
        await asyncio.gather(first, other, *rest, return_exceptions=True)

    asyncio.run(run())
    assert asked_for("limited") == 1


def test_the_cap_of_the_connection_spaces_its_look_ups(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=recorder.url, extra={"max_lookups_per_second": 5})
    recorder.answer = lambda request: envelope({"taskId": "1", "state": "generating"})
    clock = Clock()

    async def run() -> None:
        async with RunwayAsyncHook().shared_session() as session:
            monkeypatch.setattr(pacing, "time", clock)
            monkeypatch.setattr(asyncio, "sleep", clock.sleep)
            for number in range(6):
                await session.look_up(str(number), "runway")

    asyncio.run(run())
    assert len(recorder.requests) == 6
    assert sum(clock.slept) == pytest.approx(1.0)


@pytest.mark.parametrize("interval", [1.0, 1.5])
def test_a_fixed_interval_is_kept_to_over_http(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, interval: float
) -> None:
    connect(host=recorder.url, extra={"max_lookups_per_second": 0})
    states = iter(["generating"] * 3 + ["fail"])
    recorder.answer = lambda request: envelope({"taskId": "1", "state": next(states)})
    now, moments, delays = time.time(), [], []
    original = Poller.next_delay

    def noted(poller: Poller, moment: float) -> float:
        delay = original(poller, moment)
        moments.append(moment)
        delays.append(delay)
        return delay

    monkeypatch.setattr(Poller, "next_delay", noted)
    asyncio.run(RunwayTaskTrigger("1", poll_interval=interval, started_at=now).wait())
    assert delays[0] == 0.0
    # A look takes time itself; what it took is taken off the pause, so that looks do not drift apart.
    assert len(delays) == 4
    assert all(0.0 <= delay <= interval for delay in delays)
    planned = [moment + delay for moment, delay in zip(moments, delays, strict=True)]
    for earlier, later in itertools.pairwise(planned[1:]):
        assert later - earlier >= interval - 1e-6


def test_without_an_interval_nobody_asks_before_a_video_can_be_ready(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope({"taskId": "1", "state": "fail", "successFlag": 3})
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await _real_sleep(0)

    monkeypatch.setattr("airflow_provider_runway.triggers.runway.asyncio.sleep", sleep)
    asyncio.run(RunwayTaskTrigger("1", started_at=time.time(), kind="aleph", model="aleph").wait())
    assert max(slept) >= 100
    asyncio.run(RunwayTaskTrigger("1", started_at=time.time(), kind="generate-5s-720p").wait())
    assert 30 <= max(slept[1:]) < 60


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""

    async def look() -> None:
        while not is_so():
            await _real_sleep(0.01)

    await asyncio.wait_for(look(), 60)

"""When to look: against simulated tasks whose end is known, without a clock or a network."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest

from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.exceptions import RunwayServerError
from airflow_provider_runway.waiting.poller import Poller, _kind_of
from airflow_provider_runway.waiting.schedule import KNOWN_BEFOREHAND, Durations

START = 1_800_000_000.0


@dataclass
class Watched:
    """What a wait for one simulated task cost."""

    looks: list[float]
    delay: float


def watch(
    ready_after: float,
    *,
    queued_for: float = 0.0,
    kind: str | None = "generate-5s-720p",
    poll_interval: float | None = None,
    durations: Durations | None = None,
    started_after: float = 0.0,
    speed: float = 1.0,
) -> Watched:
    """Wait for a task that is generated for ``ready_after`` seconds once it has left the queue."""
    begun = START + started_after
    poller = Poller(
        runway_task_id="task-1",
        model="aleph" if kind == "aleph" else "runway",
        started_at=begun,
        end_time=START + 36_000,
        poll_interval=poll_interval,
        kind=kind,
        durations=durations or Durations(),
        speed=speed,
    )
    ready_at = START + queued_for + ready_after
    now, looks = begun, []
    for _ in range(10_000):
        now += poller.next_delay(now)
        looks.append(now - START)
        if now >= ready_at:
            state = TaskState.SUCCESS
        else:
            state = TaskState.GENERATING if now >= START + queued_for else TaskState.QUEUEING
        task = RunwayTask(
            task_id="task-1",
            model=poller.model,
            state=state,
            video_url="https://example.com/video.mp4" if state is TaskState.SUCCESS else None,
            created_at=datetime.fromtimestamp(START, timezone.utc),
        )
        if poller.on_task(task, now):
            return Watched(looks, now - ready_at)
    raise AssertionError("the wait did not end")


def watch_many(draw: Callable[[], float], count: int = 400, **how: Any) -> list[Watched]:
    return [watch(draw(), **how) for _ in range(count)]


@pytest.fixture(autouse=True)
def _the_same_jitter_each_time() -> None:
    random.seed(11)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


def test_tasks_of_30_to_45_seconds_take_at_most_6_looks_and_a_median_delay_of_at_most_1_5_s(
    chance: random.Random,
) -> None:
    waits = watch_many(lambda: chance.uniform(30, 45))
    assert max(len(wait.looks) for wait in waits) <= 6
    assert statistics.median(wait.delay for wait in waits) <= 1.5


def test_it_beats_a_fixed_interval_of_5_s_in_looks_and_in_delay(chance: random.Random) -> None:
    ours = watch_many(lambda: chance.uniform(30, 45))
    fixed = watch_many(lambda: chance.uniform(30, 45), poll_interval=5.0)
    assert (
        statistics.mean(len(wait.looks) for wait in ours) < statistics.mean(len(w.looks) for w in fixed) / 2
    )
    assert statistics.median(wait.delay for wait in ours) < statistics.median(wait.delay for wait in fixed)


@pytest.mark.parametrize("kind", sorted(set(KNOWN_BEFOREHAND) - {"generate"}))
def test_there_is_no_look_before_the_video_can_be_ready(kind: str) -> None:
    assert watch(2_000, kind=kind).looks[0] >= KNOWN_BEFOREHAND[kind].earliest


def test_time_in_the_queue_does_not_count_as_generating() -> None:
    wait = watch(35, queued_for=600)
    in_queue = [look for look in wait.looks if look < 600]
    assert len(in_queue) <= 600 / 30
    fixed = watch(35, queued_for=600, poll_interval=5.0)
    assert len(wait.looks) < len(fixed.looks) / 4
    assert wait.delay < 5


def test_a_late_task_is_looked_at_ever_less_often_but_not_less_than_once_a_minute_for_an_hour() -> None:
    looks = watch(3_600).looks
    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert pauses[0] < 3.5
    assert 40 < pauses[-1] <= 65
    assert len(looks) < 130


def test_one_straggler_in_twenty_does_not_widen_the_pauses_for_all() -> None:
    durations = Durations()
    waits = [watch(3000 if number % 20 == 7 else 37, durations=durations) for number in range(200)]
    assert statistics.median(wait.delay for wait in waits[100:]) <= 3


def test_a_wait_for_a_task_of_unknown_age_looks_at_once() -> None:
    assert watch(35, kind=None).looks[0] == 0
    late = watch(35, kind=None, started_after=500)
    assert late.looks == [500]


def test_a_sensor_that_starts_late_takes_the_age_from_the_task() -> None:
    """Submitted 20 s before the wait, ready after 40 s: the 10 s after the first look pass without one."""
    looks = watch(40, kind=None, started_after=20).looks
    assert looks[0] == 20
    assert looks[1] >= 30


def test_a_slower_service_is_asked_later(chance: random.Random) -> None:
    durations = Durations()
    before = watch_many(lambda: chance.uniform(100, 120), count=20, durations=durations)
    after = watch_many(lambda: chance.uniform(100, 120), count=200, durations=durations)
    assert after[0].looks[0] > 80
    assert max(len(wait.looks) for wait in after) <= 8
    assert len(before[0].looks) > statistics.mean(len(wait.looks) for wait in after)
    assert statistics.median(wait.delay for wait in after) <= 4


def test_a_faster_service_is_asked_earlier() -> None:
    durations = Durations()
    waits = [watch(12, durations=durations) for _ in range(200)]
    assert waits[-1].delay < waits[0].delay / 3


@pytest.mark.parametrize("kind", ["generate-5s-720p", "aleph"])
def test_a_coarse_interval_of_somebody_else_teaches_nothing(kind: str) -> None:
    durations = Durations()
    for _ in range(40):
        watch(150, kind=kind, poll_interval=300.0, durations=durations)
    assert durations.usual(kind) == KNOWN_BEFOREHAND[kind]


def test_an_interval_as_close_as_the_default_schedules_teaches_as_much() -> None:
    durations = Durations()
    for _ in range(40):
        watch(70, poll_interval=5.0, durations=durations)
    assert 60 < durations.usual("generate-5s-720p").earliest < 70


@pytest.mark.parametrize("looked_before", [True, False])
def test_time_in_which_looks_failed_teaches_nothing(looked_before: bool) -> None:
    durations = Durations()
    for _ in range(40):
        poller = Poller(
            runway_task_id="task-1",
            model="runway",
            started_at=START,
            end_time=START + 36_000,
            kind="generate-5s-720p",
            durations=durations,
        )
        if looked_before:
            poller.on_task(RunwayTask("task-1", "runway", TaskState.GENERATING), START + 33)
        for minute in range(1, 30):
            poller.on_error(RunwayServerError("code 503"), START + 60 * minute)
        video = RunwayTask("task-1", "runway", TaskState.SUCCESS, video_url="https://example.com/video.mp4")
        poller.on_task(video, START + 1800)
    assert durations.usual("generate-5s-720p") == KNOWN_BEFOREHAND["generate-5s-720p"]


@pytest.mark.parametrize("seconds", [0.01, 1e6])
def test_what_is_learned_is_bounded_by_what_is_known_beforehand(seconds: float) -> None:
    durations = Durations()
    for _ in range(40):
        durations.record("generate-5s-720p", seconds)
    usual = durations.usual("generate-5s-720p")
    assert 5 < usual.earliest <= usual.latest < 200


def test_one_kind_learns_nothing_from_another() -> None:
    durations = Durations()
    for _ in range(40):
        watch(300, kind="extend", durations=durations)
    assert durations.usual("generate-5s-720p") == KNOWN_BEFOREHAND["generate-5s-720p"]


@pytest.mark.parametrize("speed", [20.0, 200.0])
def test_a_simulator_that_is_faster_is_waited_for_as_much_faster(chance: random.Random, speed: float) -> None:
    durations = Durations()
    waits = [watch(chance.uniform(30, 45) / speed, speed=speed, durations=durations) for _ in range(400)]
    assert statistics.median(wait.delay for wait in waits) <= 1.5 / speed
    assert statistics.median(wait.looks[0] for wait in waits) < 40 / speed
    assert statistics.mean(len(wait.looks) for wait in waits) <= 6


def test_one_service_learns_nothing_from_another_that_is_faster() -> None:
    durations = Durations()
    for _ in range(40):
        watch(300 / 20, kind="extend", speed=20, durations=durations)
    assert durations.usual("extend") == KNOWN_BEFOREHAND["extend"]
    assert durations.usual("extend", 20) != KNOWN_BEFOREHAND["extend"]


@pytest.mark.parametrize("interval", [5.0, 10.0, 30.0, 60.0])
def test_a_fixed_interval_is_kept_exactly(interval: float) -> None:
    looks = watch(interval * 4 - 1, poll_interval=interval).looks
    assert looks == [0.0, interval, 2 * interval, 3 * interval, 4 * interval]


def test_a_fixed_interval_counts_from_look_to_look_however_long_a_look_takes() -> None:
    poller = Poller(
        runway_task_id="task-1", model="runway", started_at=START, end_time=START + 600, poll_interval=5.0
    )
    task = RunwayTask(task_id="task-1", model="runway", state=TaskState.GENERATING)
    assert poller.next_delay(START) == 0
    poller.on_task(task, START + 1.5)
    assert poller.next_delay(START + 1.5) == pytest.approx(3.5)
    poller.on_task(task, START + 12)
    assert poller.next_delay(START + 12) == 0


def test_every_request_has_a_kind_whose_duration_is_known() -> None:
    requests: list[RunwayRequest] = [
        GenerateVideo(prompt="a", duration=duration, quality=quality)
        for duration, quality in ((5, "720p"), (10, "720p"), (5, "1080p"))
    ]
    extension = ExtendVideo(parent_task_id="task-1", prompt="a")
    aleph = GenerateAlephVideo(prompt="a", video_url="https://example.com/video.mp4")
    assert {request.kind for request in (*requests, extension, aleph)} == set(KNOWN_BEFOREHAND) - {"generate"}


@pytest.mark.parametrize("odd", [1.0, 300.0])
def test_a_few_odd_ones_do_not_change_when_the_others_are_looked_at(odd: float) -> None:
    durations = Durations()
    for _ in range(4):
        durations.record("generate-5s-720p", odd)
    assert durations.usual("generate-5s-720p") == KNOWN_BEFOREHAND["generate-5s-720p"]


def test_the_first_and_the_seventh_eighth_are_where_they_were_seen() -> None:
    durations = Durations()
    for moment in (48.0, 32.0, 64.0, 36.0, 60.0, 40.0, 56.0, 44.0, 52.0):
        durations.record("generate-5s-720p", moment)
    eighths = durations.usual("generate-5s-720p").eighths
    # With nine, a quarter of the way from the first to the second, and three from the eighth to the ninth.
    assert (eighths[1], eighths[-2]) == pytest.approx((33.0, 63.0))


@pytest.mark.parametrize("kind", sorted(KNOWN_BEFOREHAND))
def test_looks_are_as_dense_as_the_root_of_the_chance_that_the_video_gets_ready(kind: str) -> None:
    usual = KNOWN_BEFOREHAND[kind]
    ends = usual.eighths

    def root_of_hazard(moment: float) -> float:
        index = next(index for index in range(8) if moment < ends[index + 1])
        a_second = 1 / 8 / (ends[index + 1] - ends[index])
        return sqrt(a_second / ((8 - index) / 8 - (moment - ends[index]) * a_second))

    def looks_in(begin: float, end: float) -> float:
        step = (end - begin) / 2_000
        return sum(root_of_hazard(begin + (number + 0.5) * step) for number in range(2_000)) * step

    looks = [ends[0]]
    while (then := usual.next_look(looks[-1])) < ends[-2]:
        looks.append(then)
    # All but those that the shortest pause has moved.
    between = [looks_in(earlier, later) for earlier, later in pairwise(looks) if later - earlier > 2.01]
    assert len(between) > 1
    assert max(between) == pytest.approx(min(between), rel=0.01)


def test_where_videos_take_nearly_the_same_time_the_polls_gather_there(chance: random.Random) -> None:
    durations = Durations()
    watch_many(lambda: chance.uniform(40, 41), count=60, durations=durations)
    usual = durations.usual("generate-5s-720p")
    assert usual.eighths[-2] - usual.eighths[1] < 5


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"model": "aleph"}, "aleph"),
        ({"model": "runway"}, "generate"),
        ({"model": "runway", "parent_task_id": "task-0"}, "extend"),
    ],
)
def test_a_task_that_was_made_elsewhere_tells_its_kind(changed: dict[str, Any], kind: str) -> None:
    assert _kind_of(RunwayTask(task_id="task-1", state=TaskState.GENERATING, **changed)) == kind
    assert kind in KNOWN_BEFOREHAND

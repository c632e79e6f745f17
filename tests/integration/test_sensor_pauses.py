"""When the sensor polls again in a worker: in its interval, and later where polls fail, in any process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from tests.integration.recorder import Answer, Recorder, always, envelope
from tests.stores import TaskStateStore

DOWN = Answer(b"", 503)
GENERATING = envelope({"state": "generating"})

MODES = pytest.mark.parametrize("mode", ["poke", "reschedule"])
Poll = Callable[[Answer], float]


@pytest.fixture
def polls(recorder: Recorder, connect: Callable[..., str], context: Any) -> Callable[..., Poll]:
    """A function that makes a sensor, as one that gives what is answered to a poll and returns its pause."""
    connect(host=recorder.url)
    context["task_state_store"] = TaskStateStore()

    def made(mode: str, **arguments: Any) -> Poll:
        def new() -> RunwayTaskSensor:
            return RunwayTaskSensor(task_id="wait", runway_task_id="task-1", mode=mode, **arguments)

        process = [new()]

        def poll(answer: Answer) -> float:
            recorder.answer = always(answer)
            if mode == "reschedule":
                process[0] = new()
            assert not process[0].poke(context)
            return process[0]._get_next_poke_interval(0.0, lambda: 0.0, 1)

        return poll

    return made


@MODES
@pytest.mark.parametrize("arguments", [{}, {"poke_interval": 5}, {"exponential_backoff": True}], ids=str)
def test_it_never_polls_sooner_than_the_server_asked_for(
    polls: Callable[..., Poll], mode: str, arguments: dict[str, Any]
) -> None:
    poll = polls(mode, **arguments)
    assert poll(Answer(b"", 429, {"Retry-After": "200"})) >= 200


@MODES
@pytest.mark.parametrize("interval", [None, 2])
def test_pauses_grow_while_polls_fail_and_are_as_before_once_one_does_not(
    polls: Callable[..., Poll], mode: str, interval: float | None
) -> None:
    poll = polls(mode, poke_interval=interval)
    usual = poll(GENERATING)
    failing = [poll(DOWN) for _ in range(7)]
    assert failing[0] < 6
    assert failing[0] < failing[2] < failing[4]
    assert failing[6] > 40
    assert poll(GENERATING) == pytest.approx(usual, rel=0.25)
    assert poll(DOWN) < 6


@MODES
def test_a_longer_interval_of_the_sensors_own_is_kept_while_polls_fail(
    polls: Callable[..., Poll], mode: str
) -> None:
    poll = polls(mode, poke_interval=600)
    assert [poll(DOWN) for _ in range(3)] == [600, 600, 600]


@MODES
def test_an_interval_of_the_sensors_own_is_kept_to_where_none_fails(
    polls: Callable[..., Poll], mode: str
) -> None:
    poll = polls(mode, poke_interval=7)
    assert [poll(GENERATING) for _ in range(3)] == [7, 7, 7]

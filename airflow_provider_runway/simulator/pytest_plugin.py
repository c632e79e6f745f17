"""The fixture ``runway_simulator``: a user's own DAG tested against a local kie.ai.

Every pytest run loads this module, so it imports nothing but pytest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_runway.simulator.server import Simulator
    from airflow_provider_runway.waiting.schedule import Usual

#: Seconds between two looks at least, however fast the simulator is.
_SHORTEST_PAUSE = 0.01


@pytest.fixture
def runway_simulator_settings() -> dict[str, Any]:
    """Fields of the simulator's ``Settings``; override it where the defaults of the fixture do not fit."""
    return {}


@pytest.fixture
def runway_simulator(
    runway_simulator_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator]:
    """A simulator of the test's own, with the connection ``runway_default`` leading to it.

    Its tasks end in a fraction of a second, and every result is one tiny clip, unless
    ``runway_simulator_settings`` says otherwise. Waits without an interval of their own look as much more
    often as its tasks are faster, and what they learn of durations is forgotten after the test.
    """
    from airflow_provider_runway.simulator.server import Simulator

    with Simulator(**{"speed": 200.0, "render": False, **runway_simulator_settings}) as simulator:
        connection = {
            "conn_type": "runway",
            "host": simulator.url,
            "password": "simulator",
            # No proxy of the environment can reach an address of this machine.
            "extra": {"upload_host": simulator.url, "trust_env": False},
        }
        monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))
        _let_schedules_run(simulator.settings.speed, monkeypatch)
        yield simulator


def _let_schedules_run(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the pauses between looks, which are made for the real service, as the simulator its durations.

    :param speed: the simulator's.
    """
    from airflow_provider_runway.waiting import poller
    from airflow_provider_runway.waiting.schedule import seconds_to_next_look

    def faster(usual: Usual, generated_for: float) -> float:
        return max(_SHORTEST_PAUSE, seconds_to_next_look(usual, generated_for * speed) / speed)

    record = poller.DURATIONS.record
    learned = vars(poller.DURATIONS)
    monkeypatch.setattr(poller, "seconds_to_next_look", faster)
    monkeypatch.setitem(learned, "record", lambda kind, seconds, _=1.0: record(kind, seconds * speed))
    monkeypatch.setitem(learned, "_seen", {})

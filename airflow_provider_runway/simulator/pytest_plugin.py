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

# Answers come without the key in them, so it is nothing that a prompt could say.
_KEY = "2f6d1c9e84b7403a95d0e7b3c8a1f652"


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
    ``runway_simulator_settings`` says otherwise. Waits without an interval of their own poll as much more
    often as its tasks are faster, and what they learn of durations is forgotten after the test.
    """
    from airflow_provider_runway.simulator.server import Simulator

    with Simulator(**{"speed": 200.0, "render": False, **runway_simulator_settings}) as simulator:
        connection = {
            "conn_type": "runway",
            "host": simulator.url,
            "password": _KEY,
            # No proxy of the environment can reach an address of this machine.
            "extra": {
                "upload_host": simulator.url,
                "speed": simulator.settings.speed,
                "trust_env": False,
            },
        }
        monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))
        _check_connection(simulator.url)
        _forget_durations(monkeypatch)
        yield simulator


def _check_connection(url: str) -> None:
    """End a test that would ask, and pay, the real kie.ai: a secrets backend comes before the environment."""
    from airflow_provider_runway.compat import get_connection

    try:
        found = get_connection("runway_default").host or "https://api.kie.ai"
    except Exception as error:
        found = f"nowhere ({error})"
    if found != url:
        pytest.fail(
            f"The connection runway_default leads to {found}, and not to the simulator at {url}. A secrets "
            "backend has it, and Airflow asks that before the environment variable of this fixture: switch "
            "it off in tests ([secrets] backend, AIRFLOW__SECRETS__BACKEND).",
            pytrace=False,
        )


def _forget_durations(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_runway.waiting.poller import DURATIONS

    for learned in list(vars(DURATIONS)):
        monkeypatch.setitem(vars(DURATIONS), learned, {})

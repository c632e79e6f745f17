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
    ``runway_simulator_settings`` says otherwise.
    """
    from airflow_provider_runway.simulator.server import Simulator

    with Simulator(**{"speed": 200.0, "render": False, **runway_simulator_settings}) as simulator:
        connection = {
            "conn_type": "runway",
            "host": simulator.url,
            "password": "simulator",
            "extra": {"upload_host": simulator.url},
        }
        monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))
        yield simulator

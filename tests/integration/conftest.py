"""What the tests against a simulated kie.ai share: connections, a recording server, a task instance."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from airflow_provider_runway.simulator.pytest_plugin import runway_simulator, runway_simulator_settings
from tests.integration.recorder import Recorder

__all__ = ["runway_simulator", "runway_simulator_settings"]

# Airflow reads these when it is imported, which the test modules do.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="runway-integration-airflow-")
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

#: A key like kie.ai's; no test may find it where it does not belong.
KEY = "0123456789abcdef0123456789abcdef"
#: The modules that mask secrets in logs, in whatever Airflow this is.
MASKERS = (
    "airflow.sdk._shared.secrets_masker",
    "airflow._shared.secrets_masker",
    "airflow.sdk.execution_time.secrets_masker",
    "airflow.utils.log.secrets_masker",
)


@pytest.fixture(autouse=True)
def _no_proxy_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def _nothing_learned_from_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.DURATIONS._seen", {})


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    """Have no secret masked after its test: each new one costs more with every one that is masked already."""
    yield
    for name in MASKERS:
        if found := vars(sys.modules.get(name, object)).get("_secrets_masker"):
            masker: Any = found()
            masker.patterns, masker.replacer = set(), None


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that defines an Airflow connection and returns its ID."""

    def define(conn_id: str = "runway_default", **fields: Any) -> str:
        connection = {"conn_type": "runway", "password": KEY, **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    return define


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server that answers as told and keeps every request as it came."""
    with Recorder() as server:
        yield server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between repeated requests, in seconds, which are noted instead of slept, and have passed."""
    noted: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=noted.append))
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(noted))
    monkeypatch.setattr("tenacity.time", clock)
    return noted


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> list[float]:
    """Waits that look every few milliseconds, whatever interval or pause they are asked to keep."""
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.Poller._delay", lambda *_: 0.01)
    monkeypatch.setattr("airflow_provider_runway.hooks.pacing.backoff", lambda *_, **__: 0.01)
    monkeypatch.setattr("airflow_provider_runway.hooks.pacing.random", SimpleNamespace(uniform=min))
    return pauses


class TaskInstance:
    """As much of Airflow's task instance as operators use: XComs, and when the try started."""

    def __init__(self) -> None:
        from datetime import datetime, timezone

        self.id = uuid4()
        self.dag_id, self.task_id, self.run_id, self.map_index = "dag", "task", "run", -1
        self.try_number, self.max_tries = 1, 0
        self.start_date: datetime = datetime.now(timezone.utc)
        self.first_reschedule_date: datetime | None = None
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        json.dumps(value)
        assert value is not None, "Airflow 3.0 refuses it"
        self.xcoms[key] = value

    def xcom_pull(self, *_: Any, key: str = "return_value", **__: Any) -> Any:
        return self.xcoms.get(key)

    def get_first_reschedule_date(self, _: Any) -> Any:
        return self.first_reschedule_date


@pytest.fixture
def ti() -> TaskInstance:
    """A task instance that keeps its XComs."""
    return TaskInstance()


@pytest.fixture
def context(ti: TaskInstance) -> dict[str, Any]:
    """The Airflow context of that task instance."""
    return {"ti": ti, "task_instance": ti}

"""A worker that is killed at a chosen moment, and task instances in both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.conftest import TaskInstance
from tests.integration.durable.life import Killed, Life
from tests.stores import TaskStateStore


@pytest.fixture(params=["task_state_store", "state_path"])
def life(
    request: pytest.FixtureRequest,
    runway_simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Life]:
    """A function that makes task instances whose state is kept in Airflow's store, or in files."""
    if request.param == "state_path":
        monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(tmp_path))
        return lambda **arguments: Life(None, **arguments)
    return lambda **arguments: Life(TaskStateStore(), **arguments)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused creations are sent again at once, in whatever way they wait."""
    monkeypatch.setattr("airflow_provider_runway.waiting.backoff.pause_before_creation", lambda *_: 0.01)
    monkeypatch.setattr("airflow_provider_runway.submissions.journal._PAUSES", (0.01, 0.01))


@pytest.fixture
def killed_at() -> Iterator[Callable[[str], None]]:
    """A function that kills the worker once, at a moment of the submission or the wait."""
    arranged: list[pytest.MonkeyPatch] = []

    def arrange(moment: str) -> None:
        patches = pytest.MonkeyPatch()
        arranged.append(patches)
        submit = RunwayHook.submit

        def die(*arguments: Any, **keywords: Any) -> Any:
            patches.undo()
            if moment == "after the creation":
                submit(*arguments, **keywords)
            raise Killed

        target: dict[str, tuple[Any, str]] = {
            "before the creation": (RunwayHook, "submit"),
            "after the creation": (RunwayHook, "submit"),
            "after the record": (TaskInstance, "xcom_push"),
            "while waiting": (RunwayHook, "wait_for_task"),
        }
        patches.setattr(*target[moment], die)

    yield arrange
    for patches in reversed(arranged):
        patches.undo()

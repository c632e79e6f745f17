"""Settings that make no sense are refused by name, in Python as by the command."""

from __future__ import annotations

import gc
import math
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.simulator import Settings, Simulator
from airflow_provider_runway.simulator.server import PortInUseError
from tests.integration.simulator.conftest import TEXT_TO_VIDEO, Client

NOT_NEGATIVE = [
    "balance",
    "waiting_seconds",
    "queueing_seconds",
    "generate_seconds",
    "extend_seconds",
    "aleph_seconds",
    "invisible_seconds",
    "running_limit",
    "rate_limit",
    "rate_window",
    "callback_retry_seconds",
]


def settings(name: str, value: Any) -> Settings:
    changes: dict[str, Any] = {name: value}
    return Settings(**changes)


@pytest.mark.parametrize("name", NOT_NEGATIVE)
def test_a_number_below_zero_is_refused_with_its_name_and_rule(name: str) -> None:
    assert getattr(settings(name, 0), name) == 0
    with pytest.raises(ValueError, match=f"{name} must not be negative, got -1"):
        settings(name, -1)


def test_a_seed_may_be_negative() -> None:
    assert Settings(seed=-1).seed == -1


@pytest.mark.parametrize("value", [math.nan, math.inf, "5", None, True])
@pytest.mark.parametrize("name", [*NOT_NEGATIVE, "speed", "spread", "seed"])
def test_what_is_no_finite_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number"):
        settings(name, value)


def test_a_single_key_is_no_set_of_keys() -> None:
    single: Any = "very-secret"
    with pytest.raises(ValueError, match="api_keys must be a set") as caught:
        Settings(api_keys=single)
    assert "very-secret" not in str(caught.value)


def test_paths_may_be_given_as_text(tmp_path: Path) -> None:
    paths: dict[str, Any] = {
        "state_file": str(tmp_path / "state.sqlite"),
        "files_dir": str(tmp_path / "files"),
    }
    with Simulator(render=False, **paths) as simulator:
        task_id = Client(simulator.url).create(body=TEXT_TO_VIDEO)
    with Simulator(render=False, **paths) as simulator:
        assert [task["task_id"] for task in simulator.tasks] == [task_id]
    beside = tmp_path / "other.sqlite"
    with Simulator(render=False, state_file=str(beside)):
        assert beside.with_name("other.sqlite.files").is_dir()


def test_what_cannot_start_leaves_nothing_open(tmp_path: Path) -> None:
    broken, used = tmp_path / "broken.sqlite", tmp_path / "used.sqlite"
    broken.write_text("These are notes and no database at all. " * 50)
    (tmp_path / "folder").write_text("no folder")
    # What other tests have left open is told now.
    gc.collect()
    with Simulator(render=False) as simulator, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(PortInUseError), Simulator(render=False, port=simulator.port):
            pass
        with pytest.raises(PortInUseError), Simulator(render=False, port=simulator.port, state_file=used):
            pass
        with pytest.raises(sqlite3.DatabaseError), Simulator(render=False, state_file=broken):
            pass
        with (
            pytest.raises(OSError, match="folder"),
            Simulator(files_dir=tmp_path / "folder", state_file=used),
        ):
            pass
        gc.collect()
    assert [str(warning.message) for warning in warned if warning.category is ResourceWarning] == []

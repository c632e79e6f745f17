"""Airflow is upgraded to 3.3 while tasks are in flight: what they noted in files is read on, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.exceptions import (
    RunwayResubmissionsError,
    RunwayServerError,
    RunwayTaskFailedError,
)
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Killed, Life
from tests.stores import TaskStateStore


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the notes, which stays set after the upgrade."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def upgraded(task: Life) -> Life:
    """Let the task go on with an Airflow that has a store of its own, which is empty."""
    task.store = TaskStateStore()
    return task


@pytest.mark.parametrize("mode", MODES)
def test_a_retry_takes_up_what_was_submitted_before(
    mode: str, runway_simulator: Simulator, killed_at: Callable[[str], None], folder: Path
) -> None:
    task = Life(None, **MODES[mode])
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    before = contents(folder)
    assert upgraded(task).to_the_end() == runway_simulator.creations[0]["task_id"]
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1
    assert contents(folder) == before


def test_a_wait_that_was_deferred_before_and_fails_after_goes_on_in_the_retry(
    runway_simulator: Simulator, folder: Path
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = Life(None, **MODES["wait deferred"])
    assert task.run() is None
    upgraded(task)
    with pytest.raises(RunwayServerError):
        task.trigger_fails()
    assert task.run() is None
    runway_simulator.force_task(runway_simulator.creations[0]["task_id"], "success")
    assert task.resume() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_what_nobody_can_know_stays_unknown(
    runway_simulator: Simulator, killed_at: Callable[[str], None], folder: Path
) -> None:
    task = Life(None)
    killed_at("after the creation")
    with pytest.raises(Killed):
        task.run()
    with pytest.raises(Exception, match="nobody can tell"):
        upgraded(task).run()
    assert len(runway_simulator.creations) == 1


def test_resubmissions_of_before_count(runway_simulator: Simulator, folder: Path) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION, count=None)
    task = Life(None, retries=5, **MODES["wait deferred"])
    with pytest.raises(RunwayTaskFailedError):
        task.to_the_end()
    assert task.run() is None
    # The second generation fails after the upgrade.
    with pytest.raises(RunwayResubmissionsError):
        upgraded(task).resume()
    assert len(runway_simulator.creations) == 2


def test_a_clear_after_the_upgrade_makes_a_new_video_and_its_retry_takes_that_up(
    runway_simulator: Simulator, killed_at: Callable[[str], None], folder: Path
) -> None:
    task = Life(None, wait_for_completion=True)
    task.run()
    task.clear()
    upgraded(task)
    killed_at("while waiting")
    with pytest.raises(Killed):
        task.run()
    assert task.run() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize("code", [402, 429, 500])
def test_a_refusal_after_the_upgrade_leaves_what_was_submitted_before(
    code: int, runway_simulator: Simulator, killed_at: Callable[[str], None], folder: Path
) -> None:
    task = Life(None, deferrable=True)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    upgraded(task)
    task.rendered = {"prompt": "Another"}
    runway_simulator.add_fault("body_code", CREATION, code=code)
    if code == 429:
        assert task.run() is None
    else:
        with pytest.raises(Exception, match=str(code)):
            task.run()
    task.rendered = {}
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


class TestWithoutTheFolder:
    """The files are gone after the upgrade: no reason to fail a task for ever."""

    @pytest.mark.parametrize("away", ["gone", "empty"])
    def test_a_retry_says_so_and_submits(
        self, away: str, runway_simulator: Simulator, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        task = upgraded(Life(None))
        folder.rmdir()
        if away == "empty":
            folder.mkdir()
        runway_simulator.add_fault("body_code", CREATION, code=500)
        with pytest.raises(RunwayServerError):
            task.run()
        caplog.clear()
        assert task.run() == runway_simulator.creations[0]["task_id"]
        assert "[runway] state_path" in caplog.text
        assert away == "gone" or list(folder.iterdir()) == []

    def test_a_missing_package_is_no_reason_either(
        self,
        runway_simulator: Simulator,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", "nowhere://bucket/state")
        task = upgraded(Life(None))
        runway_simulator.add_fault("body_code", CREATION, code=500)
        with pytest.raises(RunwayServerError):
            task.run()
        assert task.run() == runway_simulator.creations[0]["task_id"]
        assert "[runway] state_path" in caplog.text

    @pytest.mark.parametrize("mode", MODES)
    def test_a_task_that_begins_after_the_upgrade_does_not_even_look(
        self, mode: str, runway_simulator: Simulator, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder.rmdir()
        upgraded(Life(None, **MODES[mode])).to_the_end()
        assert "state_path" not in caplog.text

    def test_what_cannot_be_read_for_a_moment_is_not_taken_for_nothing(
        self,
        runway_simulator: Simulator,
        killed_at: Callable[[str], None],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        task = Life(None)
        killed_at("after the record")
        with pytest.raises(Killed):
            task.run()
        upgraded(task)

        def no_answer(*_: Any, **__: Any) -> Any:
            raise ConnectionError("no answer")

        with monkeypatch.context() as patch:
            patch.setattr("airflow_provider_runway.submissions.stores._FileStateStore.get", no_answer)
            with pytest.raises(RunwayServerError, match="nothing is submitted"):
                task.run()
        assert task.run() == runway_simulator.creations[0]["task_id"]
        assert len(runway_simulator.creations) == 1

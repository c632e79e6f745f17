"""A try that could not send its request says so, and leaves the next one nothing to wonder about."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from airflow_provider_runway.exceptions import RunwaySubmissionUnknownError, RunwayValidationError
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.certificates import self_signed
from tests.integration.durable.life import Life
from tests.stores import TaskStateStore


def _fail(*_: Any, **__: Any) -> Any:
    raise TypeError("unhashable type: 'list'")


def test_what_could_not_be_built_was_not_sent_and_the_next_try_submits(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Life(TaskStateStore())
    with monkeypatch.context() as patch:
        patch.setattr("requests.Session.prepare_request", _fail)
        with pytest.raises(RunwayValidationError, match="Nothing was sent"):
            task.run()
    assert runway_simulator.creations == []
    assert task.run() == runway_simulator.tasks[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_a_try_says_itself_that_nobody_knows_whether_its_request_was_sent(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Life(TaskStateStore())
    with monkeypatch.context() as patch:
        patch.setattr("requests.adapters.HTTPAdapter.send", _fail)
        with pytest.raises(RunwaySubmissionUnknownError, match="unhashable"):
            task.run()
    with pytest.raises(RunwaySubmissionUnknownError):
        task.run()
    assert runway_simulator.creations == []


def test_a_client_certificate_with_its_key_submits_in_the_first_try(
    runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with self_signed() as files:
        connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
        extra = {**connection.get("extra", {}), "cert": list(files)}
        monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps({**connection, "extra": extra}))
        assert Life(TaskStateStore()).run() == runway_simulator.tasks[0]["task_id"]
    assert len(runway_simulator.creations) == 1

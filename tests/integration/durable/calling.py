"""Calls of kie.ai as a task sees them: an Airflow that can be called, what is kept, and who is woken."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from airflow_provider_runway.simulator.server import Simulator
from airflow_provider_runway.triggers import arrivals
from tests.integration.durable.life import Life

BASE_URL = "https://airflow.example/prefix"
DEFERRED: dict[str, Any] = {"wait_for_completion": True, "deferrable": True}


def let_it_call(monkeypatch: pytest.MonkeyPatch, **extras: Any) -> None:
    """Let the connection say where Airflow can be called, and other extras."""
    connection = json.loads(os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"])
    connection["extra"] = {**connection.get("extra", {}), "callback_base_url": BASE_URL, **extras}
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps(connection))


def asked_for(simulator: Simulator) -> Any:
    """Return where the newest creation asks to be called."""
    return simulator.creations[-1]["body"].get("callBackUrl")


def call(task: Life, recipient: str, runway_task_id: str) -> None:
    """Let a call arrive, as the API server keeps it."""
    task.ti.xcoms[arrivals.KEY] = {recipient: runway_task_id}


def lost(task: Life) -> str:
    """Run a try whose answer is lost, and return at which address its task waits for a call."""
    assert task.run() is None
    assert task.deferral is not None
    assert task.deferral.method_name == "answer_awaited"
    assert task.deferral.kwargs is not None
    return str(task.deferral.kwargs["submission"]["recipient"])


def woken(task: Life, event: Any = None) -> str | None:
    """Let a task go on because a call has woken it, or with another event."""
    assert task.deferral is not None
    return task._go_on(
        task.deferral.method_name, {**(task.deferral.kwargs or {}), "event": event or {"status": "callback"}}
    )

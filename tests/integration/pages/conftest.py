"""A real Airflow API server in this process, on a database of its own, without anything running."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.versions import AIRFLOW

if AIRFLOW < (3, 1):
    collect_ignore_glob = ["test_*.py"]

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from tests.harness.history import History

PLUGIN = "from airflow_provider_runway.plugins.runway import RunwayPlugin\n"


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's tables."""
    from airflow.configuration import conf

    # Tests in other folders of the same process have a home of their own; Airflow has read one of them.
    url = conf.get("database", "sql_alchemy_conn")
    environment = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, check=True, capture_output=True, timeout=280, env=environment)


@pytest.fixture(scope="session")
def history(database: None) -> History:
    """Writes runs into the database."""
    from tests.harness.history import History

    return History()


@pytest.fixture(scope="session")
def server(database: None) -> Any:
    """The API server's app with the plugin in it and the SimpleAuthManager."""
    # The package may be on the path alone, without the entry point by which Airflow finds the plugin.
    from airflow import settings
    from airflow.api_fastapi.app import create_app

    assert settings.PLUGINS_FOLDER is not None
    folder = Path(settings.PLUGINS_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runway_plugin.py").write_text(PLUGIN)

    return create_app(apps="core")


@pytest.fixture(scope="session")
def login(server: Any) -> Callable[[str | None], Any]:
    """Return a function that makes a client with the cookie of somebody with a role."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    def client(role: str | None) -> TestClient:
        user = SimpleAuthManagerUser(username=f"{role}", role=role)
        token = server.state.auth_manager.generate_jwt(user)
        return TestClient(server, cookies={"_token": token}, raise_server_exceptions=False)

    return client


@pytest.fixture
def viewer(login: Callable[[str | None], TestClient]) -> Iterator[TestClient]:
    """Somebody who may see everything."""
    with login("viewer") as client:
        yield client


@pytest.fixture
def dag_id() -> str:
    """A DAG of the test's own."""
    return f"dag_{uuid4().hex[:8]}"


class Past:
    """One run of a DAG, and what the pages are told of it."""

    def __init__(self, history: History, client: TestClient, dag_id: str, run_id: str) -> None:
        self.history = history
        self.client = client
        self.dag_id = dag_id
        self.run_id = run_id

    def add(self, task_id: str, map_index: int = -1, **what: Any) -> None:
        """Add a task instance."""
        self.history.add(self.dag_id, self.run_id, task_id, map_index, **what)

    def get(self, path: str, *, method: str = "GET", headers: Any = None, **query: Any) -> Any:
        """Return the answer to a request."""
        return self.client.request(
            method,
            f"/runway/dags/{self.dag_id}/{path}",
            params={"run_id": self.run_id, **query},
            headers=headers,
        )

    def video(self, task_id: str, map_index: int | str = -1) -> dict[str, Any]:
        """Return what the page of a task instance is told."""
        answer = self.get("data/video", task_id=task_id, map_index=map_index)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def gallery(self, **query: Any) -> dict[str, Any]:
        """Return what the page of the run is told."""
        answer = self.get("data/gallery", **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def past(history: History, viewer: TestClient, dag_id: str) -> Past:
    """A run that has ended well."""
    history.add_run(dag_id, "past")
    return Past(history, viewer, dag_id, "past")


@pytest.fixture
def present(history: History, viewer: TestClient, dag_id: str) -> Past:
    """A run that goes on."""
    history.add_run(dag_id, "present", state="running")
    return Past(history, viewer, dag_id, "present")


def submitted(runway_task_id: str, prompt: str = "A boat", **also: Any) -> dict[str, Any]:
    """Return the XComs of a submission."""
    request = {
        "model": "runway",
        "kind": "generate-5s-720p",
        "prompt": prompt,
        "duration": 5,
        "quality": "720p",
    }
    return {"runway_task_id": runway_task_id, "runway_request": request, "credits_consumed": 12.0, **also}


def extended(runway_task_id: str, parent: str, **also: Any) -> dict[str, Any]:
    """Return the XComs of a submitted extension."""
    request = {
        "model": "runway",
        "kind": "extend",
        "prompt": "On",
        "quality": "720p",
        "parent_task_id": parent,
    }
    return {"runway_task_id": runway_task_id, "runway_request": request, **also}

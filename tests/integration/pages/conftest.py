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
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, timeout=280
    )


@pytest.fixture(scope="session")
def history(database: None) -> History:
    """Writes runs into the database."""
    from tests.harness.history import History

    return History()


@pytest.fixture(scope="session")
def server(database: None) -> Any:
    """The API server's app with the plugin in it and the SimpleAuthManager."""
    # The package may be on the path alone, without the entry point by which Airflow finds the plugin.
    folder = Path(os.environ["AIRFLOW_HOME"]) / "plugins"
    folder.mkdir(exist_ok=True)
    (folder / "runway_plugin.py").write_text(PLUGIN)
    from airflow.api_fastapi.app import create_app

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

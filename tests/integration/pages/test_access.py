"""Who may see the pages: each route asks Airflow, on the server, about the DAG that it is about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.harness.history import History
from tests.integration.pages.conftest import PLUGIN, Past, submitted

PATHS = ("video", "gallery", "static/page.css", "data/video", "data/gallery", "file", "poster")
QUERY = {"run_id": "past", "task_id": "generate"}


def routes() -> list[Any]:
    from airflow_provider_runway.plugins.app import make_app

    return list(make_app().app.routes)  # type: ignore[attr-defined]


def dependencies(dependant: Any) -> Iterator[Any]:
    for one in dependant.dependencies:
        yield one.call
        yield from dependencies(one)


def unguarded(route: Any) -> list[str]:
    """Return what is missing for a route to let only those see a DAG's videos who may."""
    missing = []
    # By any other name, Airflow would ask whether somebody may list DAGs.
    if not route.path.startswith("/dags/{dag_id}/"):
        missing.append("the DAG")
    asked = []
    for call in dependencies(route.dependant) if hasattr(route, "dependant") else ():
        if getattr(call, "__qualname__", "") == "requires_access_dag.<locals>.inner":
            known = dict(zip(call.__code__.co_freevars, call.__closure__, strict=True))
            if known["param_dag_id"].cell_contents is None:
                asked.append((known["method"].cell_contents, known["access_entity"].cell_contents.value))
    missing += [f"{entity}" for entity in ("TASK_INSTANCE", "XCOM") if ("GET", entity) not in asked]
    if not (getattr(route, "methods", None) or {"any"}) <= {"GET", "HEAD"}:
        missing.append("being read only")
    return missing


def test_every_route_names_its_dag_and_asks_for_both_rights() -> None:
    found = routes()
    assert {route.path for route in found} >= {f"/dags/{{dag_id}}/{path}" for path in ("video", "file")}
    assert {route.path: unguarded(route) for route in found} == {route.path: [] for route in found}


def test_a_route_without_a_check_would_be_found() -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI
    from fastapi.staticfiles import StaticFiles

    def seen(dag_id: str = "") -> None: ...

    entities = (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
    both = [Depends(requires_access_dag("GET", entity)) for entity in entities]
    app = FastAPI(openapi_url=None)
    app.add_api_route("/dags/{dag_id}/good", seen, dependencies=both)
    app.add_api_route("/dags/{dag_id}/open", seen)
    app.add_api_route("/dags/{dag_id}/half", seen, dependencies=both[:1])
    app.add_api_route("/dags/{dag_id}/writes", seen, dependencies=both, methods=["POST"])
    app.add_api_route("/videos/{id}", seen, dependencies=both)
    app.mount("/files", StaticFiles(directory="."))
    mounted: list[Any] = app.routes
    assert {route.path: unguarded(route) for route in mounted} == {
        "/dags/{dag_id}/good": [],
        "/dags/{dag_id}/open": ["TASK_INSTANCE", "XCOM"],
        "/dags/{dag_id}/half": ["XCOM"],
        "/dags/{dag_id}/writes": ["being read only"],
        "/videos/{id}": ["the DAG"],
        "/files": ["the DAG", "TASK_INSTANCE", "XCOM", "being read only"],
    }


def test_the_plugin_brings_these_routes_and_the_receiver_of_callbacks_and_nothing_else() -> None:
    from airflow_provider_runway.compat import AirflowPlugin
    from airflow_provider_runway.plugins.runway import RunwayPlugin

    brought = {
        name
        for name, value in vars(RunwayPlugin).items()
        if not name.startswith("_") and isinstance(value, list) and value
    }
    # What the others bring asks Airflow for nothing: links, and where a tab leads.
    assert brought == {"fastapi_apps", "external_views", "operator_extra_links"}
    assert brought < {name for name in dir(AirflowPlugin) if not name.startswith("_")}
    made = {app["url_prefix"]: app["app"]._make() for app in RunwayPlugin.fastapi_apps}
    assert {prefix: type(app).__name__ for prefix, app in made.items()} == {
        "/runway": "_Guarded",
        # The one that nobody logs in for: it believes nothing (tests/integration/pages/test_receiver.py).
        "/runway-callbacks": "Receiver",
    }


def test_the_paths_that_are_tried_are_all_there_are() -> None:
    assert {route.path for route in routes()} == {
        f"/dags/{{dag_id}}/{'static/{name}' if path.startswith('static') else path}" for path in PATHS
    }


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_logged_in_sees_nothing(server: Any, past: Past, path: str, method: str) -> None:
    past.add("generate", xcoms=submitted("one"))
    with TestClient(server, follow_redirects=False) as nobody:
        answer = nobody.request(method, f"/runway/dags/{past.dag_id}/{path}", params=QUERY)
    expected = 405 if method == "HEAD" and path not in ("file", "poster") else 401
    assert answer.status_code == expected


@pytest.mark.parametrize("path", PATHS)
def test_somebody_without_a_right_sees_nothing(
    login: Callable[[str | None], TestClient], past: Past, path: str
) -> None:
    past.add("generate", xcoms=submitted("one"))
    with login(None) as somebody:
        assert somebody.get(f"/runway/dags/{past.dag_id}/{path}", params=QUERY).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_a_forged_cookie_is_refused(server: Any, past: Past, path: str) -> None:
    with TestClient(server, cookies={"_token": "e30.e30.e30"}) as forger:
        assert forger.get(f"/runway/dags/{past.dag_id}/{path}", params=QUERY).status_code == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wildcard", ["~", "%7E"])
def test_no_dag_is_all_dags(viewer: TestClient, path: str, wildcard: str) -> None:
    assert viewer.get(f"/runway/dags/{wildcard}/{path}", params=QUERY).status_code == 404


def test_a_dag_id_in_the_query_changes_nothing(past: Past, history: History) -> None:
    history.add_run("another", "past")
    past.add("generate", xcoms=submitted("one"))
    assert past.get("data/video", task_id="generate", dag_id="another").json()["dag_id"] == past.dag_id


@pytest.mark.parametrize("path", ["", "docs", "redoc", "openapi.json", "dags", "dags/x", "dags/x/data"])
def test_there_is_nothing_else(viewer: TestClient, path: str) -> None:
    assert viewer.get(f"/runway/{path}").status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_a_browser_may_do(viewer: TestClient, past: Past, path: str) -> None:
    past.add("generate", xcoms=submitted("one"))
    headers = viewer.get(f"/runway/dags/{past.dag_id}/{path}", params=QUERY).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    assert policy["media-src"] == "'self' https:"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    if path.startswith("data/"):
        assert headers["cache-control"] == "no-store"
        assert headers["content-type"] == "application/json"


def test_only_packaged_files_are_static(viewer: TestClient, past: Past) -> None:
    for name in (
        "..",
        "../app.py",
        "%2e%2e%2fapp.py",
        "..%2Fapp.py",
        "__init__.py",
        "never.css",
        "video.html",
    ):
        assert viewer.get(f"/runway/dags/{past.dag_id}/static/{name}").status_code == 404, name


FAB = """
import json, os, sys
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from tests.harness.history import History
from tests.integration.pages.test_access import PATHS, QUERY

history = History()
for dag_id in ("one", "two"):
    history.add_run(dag_id, "past")
    history.add(dag_id, "past", "generate", xcoms={"runway_task_id": dag_id, "path": sys.argv[1]})

with get_application_builder() as builder:
    manager = builder.sm
    for name, resources in {
        "of_one": ["DAG:one", "Task Instances", "XComs", "DAG Runs"],
        "without_xcoms": ["DAG:one", "Task Instances"],
        "without_instances": ["DAG:one", "XComs"],
    }.items():
        role = manager.add_role(name)
        for resource in resources:
            manager.add_permission_to_role(role, manager.create_permission("can_read", resource))
        assert manager.add_user(name, "A", "B", f"{name}@example.com", role, password="secret")

from airflow.api_fastapi.app import create_app
from fastapi.testclient import TestClient

server = create_app(apps="core")
told = {}
with TestClient(server, raise_server_exceptions=False) as client:
    def look(cookies):
        client.cookies = cookies
        return {
            dag_id: {
                path: client.get(f"/runway/dags/{dag_id}/{path}", params=QUERY).status_code for path in PATHS
            }
            for dag_id in ("one", "two", "~")
        }
    told["nobody"] = look({})
    for name in ("of_one", "without_xcoms", "without_instances"):
        client.cookies = {}
        answer = client.post("/auth/token", json={"username": name, "password": "secret"})
        told[name] = look({"_token": answer.json()["access_token"]})
print("TOLD" + json.dumps(told))
"""


@pytest.mark.slow
def test_with_fab_a_person_sees_the_dags_that_they_may_see(tmp_path: Path) -> None:
    pytest.importorskip("airflow.providers.fab")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "runway_plugin.py").write_text(PLUGIN)
    video = tmp_path / "videos" / "one.mp4"
    video.parent.mkdir()
    video.write_bytes(b"\0\0\0\x18ftypisom" + b"\0" * 100)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of this test alone" * 3,
        "AIRFLOW__RUNWAY__VIDEO_ROOTS": str(video.parent),
    }
    for command in (["-m", "airflow", "db", "migrate"], ["-c", FAB, str(video)]):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.partition("TOLD")[2].splitlines()[0])
    right = dict.fromkeys(PATHS, 200) | {"poster": 404}
    assert told["of_one"]["one"] == right
    for name, dags in told.items():
        refused = 401 if name == "nobody" else 403
        for dag_id, statuses in dags.items():
            if (name, dag_id) != ("of_one", "one"):
                expected = {refused} if dag_id != "~" or name == "nobody" else {403, 404}
                assert set(statuses.values()) <= expected, (name, dag_id)

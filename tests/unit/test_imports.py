"""What importing the package costs a DAG file: no HTTP client, no picture library, no connection."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_runway
from airflow_provider_runway import compat
from tests.examples import dag_ids_of, readable
from tests.versions import AIRFLOW, DAG

PACKAGE = Path(airflow_provider_runway.__file__).parent
MODULES = [
    "airflow_provider_runway.operators.runway",
    "airflow_provider_runway.sensors.runway",
    "airflow_provider_runway.get_provider_info",
    "airflow_provider_runway.exceptions",
]
HEAVY = [
    "aiohttp",
    "requests",
    "urllib3",
    "requests_toolbelt",
    "av",
    "PIL",
    "airflow.providers.http.hooks.http",
    "airflow_provider_runway.hooks",
    "airflow_provider_runway.simulator",
    "airflow_provider_runway.files",
    "airflow_provider_runway.plugins.app",
    "airflow_provider_runway.plugins.receiver",
    "airflow_provider_runway.plugins.events",
    "airflow_provider_runway.assets",
    "fastapi",
]
#: What is imported, one after the other, in one fresh interpreter; first what a DAG file imports anyway.
STEPS = {
    "airflow alone": (
        "from tests.versions import DAG\n"
        "from airflow_provider_runway.compat import BaseOperator, BaseSensorOperator"
    ),
    **{module: f"import {module}" for module in MODULES},
    "a DAG file without the package": """
from datetime import datetime
with DAG("dark", schedule=None, start_date=datetime(2024, 1, 1)):
    BaseOperator(task_id="nothing")
""",
    "a DAG file": """
from datetime import datetime
from airflow_provider_runway.operators.runway import *
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
with DAG("light", schedule=None, start_date=datetime(2024, 1, 1)):
    generate = RunwayGenerateOperator(task_id="generate", prompt="x", deferrable=True)
    wait = RunwayTaskSensor(task_id="wait", runway_task_id=generate.output, deferrable=True)
    RunwayDownloadOperator(task_id="download", path="/tmp/", video_url=wait.output)
    RunwayGenerateOperator.partial(task_id="mapped").expand(prompt=["a", "b"])
""",
    "a DAG file that is started by a watcher": """
from airflow_provider_runway.assets.finished import RunwayFinishedTrigger
RunwayFinishedTrigger(path="/tmp/watched/")
""",
    "the hooks": "import airflow_provider_runway.hooks.runway",
}

SCRIPT = """
import json, socket, sys

opened, loaded = [], {{}}

def refuse(self, address):
    opened.append(repr(address))
    raise OSError("no connection may be opened")

socket.socket.connect = socket.socket.connect_ex = refuse
for name, step in {steps!r}.items():
    exec(step)
    loaded[name] = [name for name in {heavy!r} if name in sys.modules]
print(json.dumps([opened, loaded]))
"""


@pytest.fixture(scope="module")
def observed() -> tuple[list[str], dict[str, set[str]]]:
    """The connections that were tried, and which heavy modules were loaded after each step."""
    script = SCRIPT.format(steps=STEPS, heavy=HEAVY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    opened, loaded = json.loads(done.stdout.splitlines()[-1])
    return opened, {name: set(modules) for name, modules in loaded.items()}


@pytest.mark.parametrize("module", MODULES)
def test_an_import_loads_nothing_heavy_that_airflow_does_not_load_itself(module: str, observed: Any) -> None:
    _, loaded = observed
    assert loaded[module] == loaded["airflow alone"]


def test_a_dag_file_loads_nothing_heavy_that_one_without_the_package_does_not_load(observed: Any) -> None:
    _, loaded = observed
    assert loaded["a DAG file"] == loaded["a DAG file without the package"]


def test_a_watcher_loads_nothing_of_ours_that_only_its_run_needs(observed: Any) -> None:
    _, loaded = observed
    new = loaded["a DAG file that is started by a watcher"] - loaded["a DAG file"]
    assert "airflow_provider_runway.assets" in new
    assert not {name for name in new if name.startswith(("aiohttp", "airflow_provider_runway.hooks"))}


def test_no_connection_is_opened(observed: Any) -> None:
    opened, _ = observed
    assert opened == []


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="earlier versions load some of it themselves")
def test_airflow_loads_nothing_heavy_itself(observed: Any) -> None:
    _, loaded = observed
    assert loaded["airflow alone"] == set()


def test_the_check_can_fail(observed: Any) -> None:
    _, loaded = observed
    assert {"aiohttp", "requests", "airflow_provider_runway.hooks"} <= loaded["the hooks"]


def test_the_providers_namespace_belongs_to_airflow() -> None:
    assert airflow_provider_runway.__name__ == "airflow_provider_runway"
    assert not (PACKAGE.parent / "airflow").exists()


WAITING = sorted(path for room in ("triggers", "assets") for path in (PACKAGE / room).glob("*.py"))


@pytest.mark.parametrize("path", WAITING, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_of_a_wait_can_submit(path: Path) -> None:
    """The paid request is made in a worker alone: whatever restarts, nothing is paid twice."""
    assert not names_in(path) & {"submit", "post", "creation"}


def test_the_triggers_do_not_even_know_the_hook_that_can() -> None:
    assert "RunwayHook" not in names_in(PACKAGE / "triggers" / "runway.py")
    assert "RunwayHook" in names_in(PACKAGE / "triggers" / "deferral.py"), "the check can fail"


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return called | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_the_asynchronous_hook_cannot_submit() -> None:
    from airflow_provider_runway.hooks.runway import RunwayAsyncHook

    assert not hasattr(RunwayAsyncHook, "submit")


def imported_from_outside(folder: Path) -> set[str]:
    """Return the distributions whose modules are imported under a folder, wherever in a module that is."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    modules = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    modules -= {airflow_provider_runway.__name__}
    return {
        {"airflow": "apache-airflow", "PIL": "pillow"}.get(name, name).replace("_", "-") for name in modules
    }


def declared(table: str, key: str) -> set[str]:
    """Return the names of the distributions that a list in pyproject.toml asks for."""
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition(f"[{table}]\n")[2].partition("\n[")[0]
    return {
        name_of(line)
        for line in re.findall(rf"^{key} = \[(.*?)\]$", section, re.M | re.S)[0].split('"')[1::2]
    }


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def required_by(distribution: str) -> set[str]:
    """Return what an installed distribution always requires."""
    try:
        return {name_of(line) for line in requires(distribution) or () if "extra ==" not in line}
    except PackageNotFoundError:
        return set()


def test_whatever_is_imported_is_declared_or_comes_with_what_is_declared() -> None:
    wanted = declared("project", "dependencies")
    assert wanted == {"apache-airflow", "apache-airflow-providers-http", "requests"}
    # Airflow 3 is these two, in the same release.
    at_hand = wanted.union(*map(required_by, (*wanted, "apache-airflow-core", "apache-airflow-task-sdk")))
    simulator = declared("project.optional-dependencies", "simulator")
    for folder in PACKAGE.iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            # Only pytest loads the plugin for it.
            also = simulator | {"pytest"} if folder.name == "simulator" else set()
            if folder.name == "hooks":
                # aiohttp brings the first before Python 3.11; a web server that asks for the form, the rest.
                also |= {"async-timeout", "flask-appbuilder", "wtforms"}
            if folder.name in ("links", "plugins"):
                # Parts of Airflow, of its API server above all.
                also |= {"anyio", "fastapi", "sqlalchemy", "starlette"}
            if folder.name == "operators":
                # Imported when OpenLineage's provider asks for lineage.
                also |= {"apache-airflow-providers-openlineage", "openlineage"}
            assert imported_from_outside(folder) <= at_hand | also, folder.name
    assert {"tenacity", "aiohttp", "asgiref", "urllib3"} <= imported_from_outside(PACKAGE / "hooks"), (
        "the scan sees"
    )


@pytest.mark.parametrize("name", compat._HOMES)
def test_every_name_of_compat_is_where_it_is_said_to_be_and_is_not_deprecated_there(name: str) -> None:
    if all(since > AIRFLOW for since, _ in compat._HOMES[name]):
        pytest.skip("a later Airflow has it")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert compat.__getattr__(name) is not None
    said = [str(warning.message) for warning in caught if issubclass(warning.category, DeprecationWarning)]
    assert not [text for text in said if name in text]


@pytest.mark.parametrize("path", readable(), ids=lambda path: path.stem)
def test_every_example_can_be_read_by_this_airflow(path: Path) -> None:
    dags = [value for value in runpy.run_path(str(path)).values() if isinstance(value, DAG)]
    assert [dag.dag_id for dag in dags] == dag_ids_of(path)
    assert all(dag.tasks for dag in dags)


@pytest.mark.parametrize("home", ["airflow.moved_away", "airflow:moved_away"])
def test_an_internal_of_airflow_that_is_gone_is_missing_and_no_error(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("handle_event_submit", "asset_manager", "BaseOperator"):
        monkeypatch.setitem(compat._HOMES, name, (((2, 11), home),))
        monkeypatch.setattr(compat, name, None, raising=False)
        monkeypatch.delattr(compat, name)
    assert compat.handle_event_submit is None
    assert compat.asset_manager is None
    with pytest.raises((ImportError, AttributeError)):
        _ = compat.BaseOperator

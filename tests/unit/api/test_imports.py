"""``api/`` and ``polling.py`` know neither Airflow nor HTTP, and import only downwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_provider_runway

PACKAGE = Path(airflow_provider_runway.__file__).parent
PURE_MODULES = [*sorted((PACKAGE / "api").glob("*.py")), PACKAGE / "polling.py", PACKAGE / "schedule.py"]
ONLY_THESE_OF_OURS = tuple(f"airflow_provider_runway.{name}" for name in ("api", "exceptions", "schedule"))
DOING_IO = {
    "aiohttp",
    "airflow",
    "asyncio",
    "http",
    "httpx",
    "requests",
    "socket",
    "ssl",
    "subprocess",
    "urllib.request",
    "urllib3",
}


def imported_names(source: str) -> set[str]:
    """Return the dotted names of all imports of a module, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def forbidden(names: set[str]) -> set[str]:
    return {name for name in names if any(f"{name}.".startswith(f"{banned}.") for banned in DOING_IO)}


def test_the_scan_sees_every_form_of_import():
    source = "import requests\nfrom airflow.sdk import DAG\ndef f():\n    from urllib import request, parse\n"
    assert forbidden(imported_names(source)) == {"requests", "airflow.sdk.DAG", "urllib.request"}


def test_the_modules_are_there():
    assert {"answers.py", "envelope.py", "polling.py"} <= {path.name for path in PURE_MODULES}


@pytest.mark.parametrize("path", PURE_MODULES, ids=lambda path: path.name)
def test_no_airflow_and_no_http_library_is_imported(path):
    assert not forbidden(imported_names(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PURE_MODULES, ids=lambda path: path.name)
def test_only_api_and_exceptions_are_imported_of_this_package(path):
    ours = {
        name
        for name in imported_names(path.read_text(encoding="utf-8"))
        if name.startswith("airflow_provider")
    }
    assert all(name.startswith(ONLY_THESE_OF_OURS) for name in ours), ours

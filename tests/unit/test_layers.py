"""The rooms: imports run downwards only and in no circle, and what is pure knows neither Airflow nor HTTP."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_runway

NAME = "airflow_provider_runway"
PACKAGE = Path(airflow_provider_runway.__file__).parent
MODULES = {
    ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
AT_THE_ROOT = {"__init__.py", "compat.py", "exceptions.py", "retries.py", "get_provider_info.py", "py.typed"}

PURE = (f"{NAME}.api", f"{NAME}.waiting")

#: Each room, and the rooms that it may import beside itself.
_FACES = {"triggers", "submissions", "files", "hooks", "waiting", "api"}
MAY_IMPORT: dict[str, set[str]] = {
    "compat": set(),
    "exceptions": {"compat"},
    "get_provider_info": set(),
    "retries": {"exceptions"},
    "api": {"exceptions"},
    "waiting": {"api", "exceptions"},
    "files": {"waiting", "api", "exceptions"},
    "hooks": {"files", "waiting", "api", "exceptions", "get_provider_info"},
    "submissions": {"files", "hooks", "waiting", "api", "exceptions"},
    "triggers": {"files", "hooks", "waiting", "api", "exceptions"},
    # A link names the classes that have it.
    "links": {"exceptions", "operators", "sensors"},
    "assets": _FACES | {"exceptions"},
    "operators": _FACES | {"exceptions"},
    "sensors": _FACES | {"exceptions"},
    "plugins": _FACES | {"exceptions", "operators", "sensors", "links"},
    # What a user's test needs of it runs the schedule as fast as the simulator.
    "simulator": {"waiting"},
}
#: What tells which Airflow runs.
VERSIONS = ("airflow.__version__", "airflow.version", "airflow.providers.common")
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


def imported_modules(module: str, source: str | None = None) -> set[str]:
    """Return the modules of this package that a module of it imports; the package's own version is none."""
    found = set()
    for name in imported_names(source or MODULES[module].read_text(encoding="utf-8")):
        while name.startswith(f"{NAME}.") and name not in MODULES:
            name = name.rpartition(".")[0]
        if name.startswith(f"{NAME}."):
            found.add(name)
    return found - {module}


def room_of(module: str) -> str:
    return module.split(".")[1]


def upward(module: str, source: str | None = None) -> set[str]:
    """Return the rooms that a module imports from and may not."""
    rooms = {room_of(other) for other in imported_modules(module, source)} - {room_of(module), "compat"}
    return rooms - MAY_IMPORT[room_of(module)]


def test_the_scan_sees_every_form_of_import() -> None:
    source = "import requests\nfrom airflow.sdk import DAG\ndef f():\n    from urllib import request, parse\n"
    assert forbidden(imported_names(source)) == {"requests", "airflow.sdk.DAG", "urllib.request"}
    assert imported_modules(f"{NAME}.hooks.runway") >= {
        f"{NAME}.api.answers",
        f"{NAME}.exceptions",
        f"{NAME}.hooks.connection",
    }


def test_there_is_nothing_at_the_root_but_folders_and_what_belongs_there() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == AT_THE_ROOT
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= MAY_IMPORT.keys()


@pytest.mark.parametrize("module", [module for module in MODULES if module != NAME])
def test_imports_run_downwards_only(module: str) -> None:
    assert upward(module) == set()


def test_an_import_upwards_would_be_found() -> None:
    source = (
        f"def f():\n    from {NAME}.operators import runway\nimport {NAME}.files.naming, {NAME}.api.values"
    )
    assert upward(f"{NAME}.hooks.runway", source) == {"operators"}
    assert upward(f"{NAME}.waiting.poller", source) == {"operators", "files"}


def test_no_module_is_in_a_circle_of_imports() -> None:
    # Raises where there is one, and names it.
    assert list(TopologicalSorter({module: imported_modules(module) for module in MODULES}).static_order())


def test_the_rooms_are_in_no_circle() -> None:
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(PURE)])
def test_what_is_pure_imports_no_airflow_and_no_http_library(module: str) -> None:
    assert not forbidden(imported_names(MODULES[module].read_text(encoding="utf-8")))


def asking(source: str) -> set[str]:
    """Return where a module asks which Airflow runs, by its version or by trying an import."""
    tree = ast.parse(source)
    found = {name for name in imported_names(source) if name.startswith(VERSIONS)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found |= {ast.unparse(node)} & set(VERSIONS)
        elif isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), ", ".join(map(ast.unparse, node.args))
            found |= {called} if "version" in called and "apache-airflow" in given else set()
        elif isinstance(node, ast.Try):
            caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
            if "ImportError" in caught or "ModuleNotFoundError" in caught:
                tried = imported_names("\n".join(map(ast.unparse, node.body)))
                found |= {name for name in tried if name.partition(".")[0] == "airflow"}
    return found


@pytest.mark.parametrize("module", [module for module in MODULES if module != f"{NAME}.compat"])
def test_only_compat_asks_which_airflow_runs(module: str) -> None:
    assert asking(MODULES[module].read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    [
        "from airflow import __version__",
        "import airflow\nif airflow.__version__ < '3': pass",
        "from airflow.version import version",
        "import importlib.metadata\nimportlib.metadata.version('apache-airflow')",
        "from importlib.metadata import version\nversion('apache-airflow-core')",
        "try:\n    import airflow.sdk.nothing\nexcept ImportError:\n    pass",
        "def f():\n  try:\n    from airflow import DAG\n  except (ModuleNotFoundError, OSError): pass",
    ],
)
def test_whoever_asks_would_be_found(source: str) -> None:
    assert asking(source)


def test_what_asks_nobody_is_left_alone() -> None:
    assert not asking("try:\n    import av\nexcept ImportError:\n    from airflow.sdk import DAG")
    assert not asking("import importlib.metadata\nimportlib.metadata.version('aiohttp')")

"""What this package must never do, wherever in it, as its source tells."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_runway
from tests.calls import MODULE, Call, Calls, Code, Function

NAME = "airflow_provider_runway"
PACKAGE = Path(airflow_provider_runway.__file__).parent
PATHS = sorted(PACKAGE.rglob("*.py"))
CALLS = Calls.of(PACKAGE)

#: What asks somebody else: the network, a database, a secrets backend, the configuration.
LOOK_UPS = (
    *("BaseHook.get_connection", "Connection.get", "Variable.get"),
    *("create_session", "ObjectStoragePath", "RunwayHook", "RunwayAsyncHook"),
    *("requests.", "aiohttp.ClientSession", "urlopen", "urllib3.", "http.client.", "httpx.", "fsspec."),
    *("socket.create_connection", "socket.getaddrinfo", "socket.gethostbyname", "socket.socket"),
)
#: The setting that Airflow's own operators read, too, for the default of an argument.
READ_WHILE_PARSING = {"'operators', 'default_deferrable', False"}
#: What blocks the event loop for as long as a disk, a network or a clock likes.
BLOCKING = (
    *("time.sleep", "open", "read_text", "read_bytes", "write_text", "write_bytes", "urlopen"),
    *("requests.", "urllib3.", "http.client.", "httpx.", "fsspec.", "socket.socket"),
    *("subprocess.", "create_session", "BaseHook.get_connection", "Variable.get"),
    *("socket.create_connection", "socket.getaddrinfo", "socket.gethostbyname", "ssl.create_default_context"),
    *("os.replace", "os.link", "os.scandir", "os.listdir", "os.unlink", "shutil.", "ObjectStoragePath"),
)
LOGGING = {"debug", "info", "warning", "error", "exception", "critical"}
#: In the name of an argument that is one; a ``recipient`` is the name of an address, not its signed form.
SECRET = re.compile(r"key|secret|token|password|auth|url|header")
#: Arguments that have to be numbers for a trigger to be made.
MOMENTS = ("end_time", "started_at", "until", "deferred_at")
#: The rooms whose modules and classes a DAG file brings in.
IN_A_DAG_FILE = ("operators", "sensors", "links", "triggers", "assets", "retries", "exceptions", "compat")


def is_one_of(target: str, names: tuple[str, ...]) -> bool:
    """Return whether a dotted name ends with one of these names, or begins with one ending in a dot."""
    return any(
        target.startswith(name) if name.endswith(".") else f".{target}".endswith(f".{name}") for name in names
    )


def looks_up(call: Call) -> bool:
    is_conf = call.target.rpartition(".")[2].startswith("get") and is_one_of(
        call.target.rpartition(".")[0], ("conf",)
    )
    return (is_conf or is_one_of(call.target, LOOK_UPS)) and call.arguments not in READ_WHILE_PARSING


def blocks(call: Call) -> bool:
    return is_one_of(call.target, BLOCKING)


def imported_at_once(source: str) -> set[str]:
    """Return the dotted names that a module imports when it is itself imported."""
    found, waiting = set(), list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif not isinstance(node, Function) and not (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            waiting += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
    return found


def loaded_with(modules: dict[str, str], begin: set[str]) -> set[str]:
    """Return the modules that are loaded with these, and with those that they import, and so on."""
    waiting, found = list(begin), set[str]()
    while waiting:
        name = waiting.pop()
        while name and name not in found:
            if name in modules:
                found.add(name)
                waiting += imported_at_once(modules[name])
            # With a module comes the package that it is in.
            name = name.rpartition(".")[0]
    return found


def parsed(calls: Calls, name: str = NAME) -> list[Code]:
    """Return what runs while a DAG file is parsed: modules, and constructors of what stands in it."""
    rooms = {
        module for module in calls.modules if module.removeprefix(f"{name}.").split(".")[0] in IN_A_DAG_FILE
    }
    loaded = loaded_with(calls.modules, rooms)
    return [
        code
        for code in calls.code.values()
        if code.name.removesuffix(f".{MODULE}") in loaded
        or (
            code.name.removeprefix(f"{name}.").split(".")[0] in IN_A_DAG_FILE
            and code.name.rpartition(".")[2]
            in ("__init__", "__post_init__", "__init_subclass__", "__set_name__")
        )
    ]


def waiting_in_the_loop(calls: Calls) -> list[Code]:
    return [code for code in calls.code.values() if code.is_async]


def swallowing(source: str) -> list[int]:
    """Return the lines that let any error pass without a word: neither raised, nor handed on, nor logged."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            inside = [part for statement in node.body for part in ast.walk(statement)]
            told = any(
                isinstance(part, ast.Raise)
                or (isinstance(part, ast.Name) and part.id == node.name)
                or (isinstance(part, ast.Attribute) and part.attr in LOGGING)
                for part in inside
            )
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught, told = ", ".join(map(ast.unparse, node.args)), False
        else:
            continue
        if not told and {"Exception", "BaseException"} & set(re.findall(r"\w+", caught)):
            found.append(node.lineno)
    return found


def forgotten_or_secret(trigger: type[Any]) -> list[str]:
    """Return what is wrong with the arguments that a trigger writes down: not all of them, or a secret."""
    arguments = dict.fromkeys(inspect.signature(trigger).parameters, None)
    written = trigger(**arguments | {name: 1.0 for name in arguments if name in MOMENTS}).serialize()[1]
    wrong = [f"{name} is not written" for name in arguments.keys() - written.keys()]
    return wrong + [f"{name} is a secret" for name in written if SECRET.search(name)]


def test_nothing_is_looked_up_while_a_dag_file_is_parsed() -> None:
    assert CALLS.paths(parsed(CALLS), looks_up, through_async=True) == []


def test_nothing_blocks_the_event_loop() -> None:
    assert CALLS.paths(waiting_in_the_loop(CALLS), blocks, through_async=False) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_error_passes_without_a_word(path: Path) -> None:
    assert swallowing(path.read_text(encoding="utf-8")) == []


def test_every_trigger_writes_all_its_arguments_down_and_none_that_is_secret() -> None:
    triggers = [
        value
        for path in PATHS
        if "def serialize" in (source := path.read_text(encoding="utf-8")) and "Trigger)" in source
        for value in vars(importlib.import_module(module_of(path))).values()
        if inspect.isclass(value) and value.__module__ == module_of(path) and hasattr(value, "serialize")
    ]
    assert {trigger.__name__ for trigger in triggers} >= {"RunwayTaskTrigger", "LostAnswerTrigger"}
    assert {trigger.__name__: forgotten_or_secret(trigger) for trigger in triggers} == {
        trigger.__name__: [] for trigger in triggers
    }


def module_of(path: Path) -> str:
    return ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts))


PLANTED = {
    "planted.operators.near": "from airflow.configuration import conf\nconf.get('a', 'b')\n",
    "planted.operators.default": """
from airflow.sdk import Variable
class Operator:
    def execute(self, context, at=Variable.get("at")): ...
""",
    "planted.sensors.far": """
from planted.hooks.settings import load as load_it
from planted.operators.base import Base
class Sensor(Base):
    def __init__(self):
        super().__init__()
""",
    "planted.operators.base": """
from planted.sensors import far
class Base:
    def __init__(self):
        self.settings
    @property
    def settings(self):
        return far.load_it()
""",
    "planted.hooks.settings": """
from airflow.sdk import BaseHook
def load():
    return BaseHook.get_connection("runway_default")
def harmless():
    return load
""",
    "planted.operators.far_off": "from planted.submissions.stores import keep",
    "planted.submissions.stores": """
from planted.submissions import tokens
def keep(): ...
""",
    "planted.submissions.tokens": """
from airflow.sdk import Variable
KEY = Variable.get("key")
""",
    "planted.operators.client": """
import urllib3
class Operator:
    def __init__(self):
        urllib3.PoolManager().request("GET", "https://kie.ai")
""",
    "planted.operators.good": """
from typing import TYPE_CHECKING
from planted.hooks.settings import harmless
if TYPE_CHECKING:
    from planted.hooks.late import of_a_type
from airflow_provider_runway.compat import conf
class Operator:
    def __init__(self, deferrable=conf.getboolean("operators", "default_deferrable", fallback=False)):
        harmless()
    def execute(self, context):
        from planted.hooks.late import at
        return conf.get("runway", "video_roots"), at
""",
    "planted.hooks.late": """
from airflow.sdk import Variable
at = Variable.get("at")
""",
}


def test_a_look_up_while_parsing_would_be_found() -> None:
    calls = Calls(PLANTED)
    found = calls.paths(parsed(calls, "planted"), looks_up, through_async=True)
    assert {path.partition(" -> ")[0].removeprefix("planted.") for path in found} == {
        *("operators.near.<module>", "operators.default.<module>"),
        *("sensors.far.Sensor.__init__", "operators.base.Base.__init__"),
        *("submissions.tokens.<module>", "operators.client.Operator.__init__"),
    }


BLOCKED = """
import asyncio, time
from time import sleep as rest
from requests import get
from pathlib import Path
class Trigger:
    async def direct(self): rest(1)
    async def reads(self): return Path("a").read_bytes()
    async def opens(self):
        with open("a") as file:
            return file
    async def asks(self): get("https://kie.ai")
    async def through_a_method(self): self._look()
    async def in_a_function_of_its_own(self):
        def inner(): time.sleep(1)
        inner()
    async def good(self):
        await asyncio.to_thread(self._look)
        await asyncio.to_thread(lambda: time.sleep(1))
        await asyncio.sleep(1)
    def _look(self): time.sleep(1)
"""


def test_what_blocks_the_event_loop_would_be_found() -> None:
    calls = Calls({"planted.triggers": BLOCKED})
    found = calls.paths(waiting_in_the_loop(calls), blocks, through_async=False)
    assert {path.partition(" -> ")[0].rpartition(".")[2] for path in found} == {
        *("direct", "reads", "opens", "asks", "through_a_method", "in_a_function_of_its_own")
    }


def test_an_error_that_passes_without_a_word_would_be_found() -> None:
    source = """
try: a()
except Exception: pass
try: a()
except (ValueError, Exception): b = 1
try: a()
except: pass
with contextlib.suppress(Exception): a()
try: a()
except Exception as error: tell(error)
try: a()
except Exception: log.exception("A")
try: a()
except BaseException: raise
try: a()
except ValueError: pass
"""
    assert swallowing(source) == [3, 5, 7, 8]


def test_a_secret_or_a_forgotten_argument_of_a_trigger_would_be_found() -> None:
    class Trigger:
        def __init__(self, runway_task_id: str, api_key: str, end_time: float) -> None:
            self.api_key = api_key

        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "", {"runway_task_id": "", "api_key": self.api_key}

    assert forgotten_or_secret(Trigger) == ["end_time is not written", "api_key is a secret"]

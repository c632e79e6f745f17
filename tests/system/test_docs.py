"""Each snippet of the README and the docs works as it stands there, against the simulator."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_runway.compat import HAS_RETRY_POLICIES
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator import Simulator
from tests.pages import REPOSITORY, Snippet, sections, snippets

pytest.importorskip("airflow.sdk", reason="the pages' DAGs are written for Airflow 3")
# The first test starts one Airflow process for all DAGs, which takes a minute or two on a busy machine.
pytestmark = pytest.mark.timeout(600)


def named(found: list[Snippet]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("snippet", found, ids=[snippet.name for snippet in found])


def connection_to(url: str, **extra: str) -> str:
    return json.dumps(
        {"conn_type": "runway", "host": url, "password": "any-key", "extra": {"upload_host": url, **extra}}
    )


class Shell:
    """Bash with an Airflow of its own, and connections that lead to a simulator."""

    def __init__(self, folder: Path, simulator_url: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)]),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        }
        self.connections = {
            f"AIRFLOW_CONN_{name}": connection_to(simulator_url)
            for name in ("RUNWAY_DEFAULT", "RUNWAY_MARKETING")
        } | {
            "AIRFLOW_CONN_RUNWAY_MARKET": connection_to(simulator_url, api="market"),
            # What those have who come from elsewhere.
            "AIRFLOW_CONN_KIE_AI": json.dumps(
                {"conn_type": "http", "host": simulator_url, "extra": {"Authorization": "Bearer any-key"}}
            ),
            "KIE_API_KEY": "any-key",
        }

    def run(self, script: str, *, connected: bool = False) -> str:
        """Run a script and return what it printed; a command in it that fails is an error."""
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=580,
            env=self.environment | (self.connections if connected else {}),
            cwd=self.folder,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(speed=1000.0, render=False, rate_limit=0) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def shell(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "dags").mkdir()
    shell = Shell(folder, simulator.url)
    shell.run("airflow db migrate")
    return shell


# The simulator's page shows how to test: its tests run what stands there; `make tutorial` follows its page.
PYTHON = [
    snippet
    for snippet in snippets("python")
    if snippet.page not in {"docs/simulator.md", "docs/tutorial.md"}
    and (HAS_RETRY_POLICIES or "RunwayRetryPolicy(" not in snippet.source)
]
# The operators' page begins with the imports that the snippets of all pages use.
IMPORTS = next(snippet for snippet in PYTHON if snippet.page == "docs/operators.md")
MEDIA = REPOSITORY / "example_dags" / "media"
MODERATED = "errors_moderated"
# How often a look-up is worth its request is not what these runs are about.
RUN_DAGS = """
import importlib, sys
from airflow_provider_runway.waiting.poller import Poller
Poller._delay = lambda *_: 0.1
for name in sys.argv[1:]:
    dag = importlib.import_module(name).dag
    assert dag.tasks
    print("ENDED", name, dag.test().state, flush=True)
"""


def dag_file(snippet: Snippet) -> str:
    if "with DAG(" in snippet.source:
        return snippet.source
    body = textwrap.indent(snippet.source, "    ")
    return f'{IMPORTS.source}\nwith DAG("{snippet.name}", schedule=None) as dag:\n{body}'


@dataclass
class Runs:
    """What became of the DAGs that the snippets make.

    :param states: name to the state of the run
    :param printed: everything that was printed meanwhile
    :param data: what stands for ``/data``, with a folder for each DAG
    """

    states: dict[str, str]
    printed: str
    data: Path


@pytest.fixture(scope="module")
def runs(shell: Shell, simulator: Simulator) -> Runs:
    sources = {snippet.name: dag_file(snippet) for snippet in PYTHON if snippet != IMPORTS}
    (callback,) = [source for source in sources.values() if "on_failure_callback" in source]
    sources[MODERATED] = callback.replace("A lighthouse in a storm", "A lighthouse [moderated]")
    for name, source in sources.items():
        for page_path, real_path in {
            "/data/pictures/fox.jpg": MEDIA / "mountains.jpg",
            "/data/videos/hills.mp4": MEDIA / "hills.mp4",
            "/data/": f"{shell.folder}/data/{name}/",
            "s3://aws_default@my-bucket/": f"{shell.folder}/bucket/{name}/",
            "https://api.kie.ai/": f"{simulator.url}/",
            # How long somebody's own code sleeps is not what these runs are about, either.
            "time.sleep(30)": "time.sleep(0.1)",
        }.items():
            source = source.replace(page_path, str(real_path))
        (shell.folder / "dags" / f"{name}.py").write_text(source)
    (shell.folder / "run_dags.py").write_text(RUN_DAGS)
    printed = shell.run(f"PYTHONPATH=dags:$PYTHONPATH python run_dags.py {' '.join(sources)}", connected=True)
    states = dict(re.findall(r"^ENDED (\S+) (\S+)$", printed, re.MULTILINE))
    return Runs(states, printed, shell.folder / "data")


@named([snippet for snippet in PYTHON if snippet != IMPORTS])
def test_a_dag_with_the_snippet_succeeds(snippet: Snippet, runs: Runs, simulator: Simulator) -> None:
    assert runs.states[snippet.name] == "success", runs.printed[-5000:]
    source = snippet.source
    # The arguments of an operator that makes and stores a video stand on lines of their own.
    downloads = bool(
        re.search(r"RunwayDownloadOperator|keep_video|write_bytes|^ +path=", source, re.MULTILINE)
    )
    assert downloads == bool(list(runs.data.glob(f"{snippet.name}/**/*.mp4")))
    assert simulator.violations == []


MOVES = [snippet for snippet in PYTHON if snippet.page == "docs/moving.md"]


def test_each_move_stores_a_video_before_and_after(runs: Runs) -> None:
    moves = {
        move: [snippet for snippet in MOVES if begin < snippet.line < end]
        for move, begin, end in sections("docs/moving.md")
        if any(begin < snippet.line < end for snippet in MOVES)
    }
    assert len(moves) == 3
    for move, found in moves.items():
        sides = [snippet.source.splitlines()[0] for snippet in found]
        assert sides[0] == "# before", move
        assert set(sides[1:]) == {"# after"}, move
        for snippet in found:
            (video,) = (runs.data / snippet.name).glob("**/*.mp4")
            assert video.read_bytes()[4:8] == b"ftyp"


def test_the_move_to_the_market_asks_the_market(runs: Runs, simulator: Simulator) -> None:
    (last,) = [snippet for snippet in MOVES if "runway_market" in snippet.source]
    assert runs.states[last.name] == "success"
    asked = [creation["path"] for creation in simulator.creations]
    assert asked.count("/api/v1/jobs/createTask") == 1


def test_the_callback_of_the_errors_page_is_told_of_a_moderated_prompt(runs: Runs) -> None:
    assert runs.states[MODERATED] == "failed"
    assert re.search(r"Runway task \w+ failed: .+ \(code \d+\)", runs.printed), runs.printed[-5000:]


# Without a running task, Airflow 3 looks for a connection in the environment only, not in its database.
READ_VARIABLE = """
python -c 'from airflow_provider_runway.hooks.runway import RunwayHook; print(RunwayHook().settings)'
"""
READ_DATABASE = """
python - <<EOF
from airflow.models import Connection
from airflow.utils.session import create_session
from airflow_provider_runway.hooks.connection import RunwaySettings
with create_session() as session:
    print(RunwaySettings.from_connection(session.query(Connection).one()))
EOF
airflow connections delete runway_default
"""
#: How each command of the pages is tried, or why it is not; by the words that it begins with.
COMMANDS = {
    "make demo": "dry run",  # minutes: the system tests run the same DAG in the same harness
    "make demo-ui": "dry run",
    "RUNWAY_API_KEY=YOUR-API-KEY make demo": "dry run",  # the real one costs money
    "make chaos": "dry run",
    "make benchmark": "dry run",
    "make test": "dry run",  # that is what is running
    "make lint": "dry run",
    "export AIRFLOW__TRIGGERER__CAPACITY=": "run, then read the option",
    "airflow pools set": "run, then read the pool",
    "pip install .": "not run: `make` installs the package in the same way before any test",
    "pip wheel . --no-deps": "not run: the tests of the distributions build the same wheel",
    'PYTHON_VERSION="$(python -c': "not run: a test of the pages sees what pip is asked for",
    "curl -X POST https://airflow.example.com": "not run: a test of the pages asks the receiver",
    "airflow providers list": "run",
    "airflow connections add": "run, then read the connection",
    "AIRFLOW__CORE__TEST_CONNECTION=Enabled airflow connections test": "run with a simulator",
    "export AIRFLOW_CONN_RUNWAY_DEFAULT=": "run, then read the connection",
    "export AIRFLOW_CONN_KIE_AI=": "run, then read the HTTP connection",
    "pip install '.[simulator]'": "run without the installation",
    "curl -d": "run with a simulator, then read its faults",
}


def how_to_try(snippet: Snippet) -> str:
    known = [words for words in COMMANDS if snippet.source.startswith(words)]
    assert known, f"{snippet.page}, line {snippet.line}: say in COMMANDS how this is to be tried"
    return COMMANDS[max(known, key=len)]


@named([snippet for snippet in snippets("bash") if snippet.page != "docs/tutorial.md"])
def test_the_command_works(snippet: Snippet, shell: Shell, simulator: Simulator) -> None:
    way = how_to_try(snippet)
    if way == "dry run":
        command = snippet.source.strip().replace("make", f"make --dry-run -C {REPOSITORY}")
        modules = {
            "make chaos": "tests.chaos",
            "make benchmark": "-m benchmarks",
            "make demo": "tests.harness.demo",
            "make test": "pytest tests/integration",
        }
        (module,) = [module for word, module in modules.items() if word in snippet.source]
        assert module in shell.run(command)
    elif way == "run":
        installed = subprocess.run(
            [
                sys.executable,
                "-c",
                "import importlib.metadata as m; m.distribution('airflow-provider-runway')",
            ],
            capture_output=True,
            cwd=shell.folder,
        )
        if installed.returncode:
            pytest.skip("the package is not installed, so Airflow does not list it")
        assert "airflow-provider-runway" in shell.run(snippet.source)
    elif way == "run, then read the pool":
        pools = json.loads(shell.run(snippet.source + "airflow pools list -o json").splitlines()[-1])
        named = re.findall(r"--include-deferred (\w+) 90 ", snippet.source)
        assert len(named) == len(snippet.source.splitlines())
        for name in named:
            (pool,) = [pool for pool in pools if pool["pool"] == name]
            assert (pool["slots"], pool["include_deferred"]) == ("90", "True")
    elif way == "run, then read the option":
        value = snippet.source.strip().partition("=")[2]
        read = "airflow config get-value triggerer capacity"
        assert shell.run(snippet.source + read).splitlines()[-1] == value
    elif way == "run, then read the connection":
        read = READ_VARIABLE if "export" in snippet.source else READ_DATABASE
        assert "RunwaySettings(conn_id='runway_default'" in shell.run(snippet.source + read)
    elif way == "run, then read the HTTP connection":
        read = """python -c 'from airflow.providers.http.hooks.http import HttpHook as H
hook = H(http_conn_id="kie_ai"); session = hook.get_conn(); print(hook.base_url, dict(session.headers))'"""
        printed = shell.run(snippet.source + read).splitlines()[-1]
        assert printed.startswith("https://api.kie.ai ")
        assert "'Authorization': 'Bearer YOUR-API-KEY'" in printed
    elif way == "run with a simulator":
        assert "Connection success!" in shell.run(snippet.source, connected=True)
    elif way == "run with a simulator, then read its faults":
        if not shutil.which("curl"):
            pytest.skip("there is no curl")
        try:
            shell.run(snippet.source.replace("http://127.0.0.1:8089", simulator.url))
            assert simulator.stats()["faults"]
        finally:
            simulator.clear_faults()
    elif way == "run without the installation":
        (said,) = [text for text in snippets("text") if text.page == snippet.page]
        installation, _, command = snippet.source.partition("\n")
        assert installation.startswith("pip install")
        with subprocess.Popen(
            shlex.split(command.replace("8089", "0")),
            cwd=shell.folder,
            env=shell.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.kill()
        assert re.sub(r":\d+$", ":8089", line.strip()) == said.source.strip()
    else:
        assert way.startswith("not run: ")


@pytest.mark.usefixtures("runway_simulator")
def test_a_connection_test_says_what_the_page_shows() -> None:
    (said,) = [snippet for snippet in snippets("text") if snippet.page == "docs/connection.md"]
    assert RunwayHook().test_connection() == (True, said.source.strip())

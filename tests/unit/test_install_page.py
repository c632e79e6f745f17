"""What the page about installing tells: commands, images and options, tried as far as one machine can."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import MutableMapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from airflow.models import Connection

from airflow_provider_runway import __version__
from airflow_provider_runway.compat import HAS_TABS
from airflow_provider_runway.get_provider_info import get_provider_info
from airflow_provider_runway.hooks.connection import RunwaySettings
from airflow_provider_runway.submissions.tokens import PREFIX
from tests.pages import PAGES, REPOSITORY, Snippet, snippets

PAGE = "docs/install.md"
PINNED = [
    version
    for pins in (REPOSITORY / "tests" / "pins").glob("airflow-*.txt")
    for version in re.findall(r"^apache-airflow==(\S+)$", pins.read_text(encoding="utf-8"), re.MULTILINE)
]
TEXTS = [snippet.source.strip() for snippet in snippets("text") if snippet.page == PAGE]
#: What stands in for pip where a page's command is run: it says what it was asked for.
PIP = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"


@pytest.fixture
def pip(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "pip").write_text(PIP)
    (tmp_path / "pip").chmod(0o755)
    path = [str(tmp_path), os.path.dirname(sys.executable), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(path)}


def test_every_airflow_that_a_page_installs_is_one_that_is_tested() -> None:
    for page, text in PAGES.items():
        named = re.findall(r"apache-airflow==([\d.]+)|constraints-([\d.]+)/|apache/airflow:([\d.]+)", text)
        assert {version for found in named for version in found if version} <= set(PINNED), page


@pytest.mark.parametrize("snippet", snippets("dockerfile"), ids=lambda snippet: snippet.name)
def test_the_image_adds_the_wheel_and_keeps_its_airflow(snippet: Snippet, pip: dict[str, str]) -> None:
    steps = dict(line.split(" ", 1) for line in snippet.source.replace("VERSION-", "*-").splitlines())
    base = steps.pop("FROM", None)
    assert list(steps) == ["COPY", "RUN"]
    wheel, folder = steps["COPY"].split()
    assert fnmatch(f"airflow_provider_runway-{__version__}-py3-none-any.whl", Path(wheel).name)
    version = base.partition(":")[2] if base else ""
    ended = subprocess.run(
        ["sh", "-ec", steps["RUN"]],
        env={**pip, "AIRFLOW_VERSION": version},
        capture_output=True,
        text=True,
        check=True,
    )
    asked = [word for word in ended.stdout.splitlines() if not word.startswith("--")]
    # Where the image's Airflow is nobody's here to name, the wheel alone changes none of its packages.
    airflow = [f"apache-airflow=={version}"] if base else []
    assert asked == ["install", *airflow, folder + Path(wheel).name]


def test_the_requirements_name_the_wheel_and_what_the_package_knows() -> None:
    (lines,) = [text for text in TEXTS if text.startswith("--constraint")]
    constraint, wheel, extra = lines.splitlines()
    assert constraint.startswith(
        '--constraint "https://raw.githubusercontent.com/apache/airflow/constraints-'
    )
    name = Path(wheel).name.replace("VERSION", __version__)
    assert name == f"airflow_provider_runway-{__version__}-py3-none-any.whl"
    assert extra in PAGES["docs/storing.md"]


def test_the_command_for_constraints_asks_for_this_python_and_keeps_airflow(pip: dict[str, str]) -> None:
    (command,) = [s.source for s in snippets("bash") if s.page == PAGE and "CONSTRAINTS" in s.source]
    asked = subprocess.run(
        ["bash", "-euc", command], env=pip, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    airflow = next(word for word in asked if word.startswith("apache-airflow=="))
    constraints = asked[asked.index("--constraint") + 1]
    python = subprocess.run(["python", "-V"], env=pip, capture_output=True, text=True, check=True).stdout
    minor = re.findall(r"(\d+\.\d+)", python)[0]
    assert constraints.endswith(f"/constraints-{airflow.partition('==')[2]}/constraints-{minor}.txt")
    assert "." in asked


@pytest.mark.parametrize("snippet", snippets("yaml"), ids=lambda snippet: snippet.name)
def test_what_all_containers_share_is_a_connection_and_options_that_exist(snippet: Snippet) -> None:
    shared = yaml.safe_load(snippet.source)["x-airflow-common"]
    variables = dict(shared["environment"])
    definition = variables.pop("AIRFLOW_CONN_RUNWAY_DEFAULT").replace("${RUNWAY_API_KEY}", "YOUR-API-KEY")
    connection = Connection.from_json(definition, conn_id="runway_default")
    assert RunwaySettings.from_connection(connection).api_key == "YOUR-API-KEY"
    options = get_provider_info()["config"]["runway"]["options"]
    assert set(variables) <= {f"AIRFLOW__RUNWAY__{name.upper()}" for name in options}
    folders = [volume.split(":")[1] for volume in shared["volumes"]]
    assert variables["AIRFLOW__RUNWAY__VIDEO_ROOTS"] in folders


def test_the_options_that_the_page_about_installing_names_exist() -> None:
    named = re.findall(r"\[runway\] (\w+)|`runway\.(\w+)`|AIRFLOW__RUNWAY__(\w+)", PAGES[PAGE])
    options = get_provider_info()["config"]["runway"]["options"]
    assert {name.lower() for found in named for name in found if name} == {"state_path", "video_roots"}
    assert {"state_path", "video_roots"} <= options.keys()


@pytest.mark.skipif(not HAS_TABS, reason="this Airflow has no place for the receiver")
def test_the_receiver_answers_what_the_page_about_installing_shows() -> None:
    from airflow_provider_runway.plugins.receiver import Receiver

    (asked,) = re.findall(r"^curl -X POST https://airflow\.example\.com(\S+)$", PAGES[PAGE], re.MULTILINE)
    (said,) = [text for text in TEXTS if text.startswith("{")]
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "root_path": PREFIX, "path": asked, "headers": []}
    asyncio.run(Receiver()(scope, receive, send))
    assert asked == f"{PREFIX}/"
    assert [message.get("status", message.get("body")) for message in sent] == [404, said.encode()]

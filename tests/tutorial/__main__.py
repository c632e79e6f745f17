"""Follow the tutorial word by word in a fresh environment: ``make tutorial``.

A reader's home, with nothing in it, is ``.tutorial/home``. What stands on the page is written and typed as it
is, each terminal being a bash of its own, but for what cannot be done everywhere:

- Airflow's constraints, which lie on a code host, are the pins of this repository (``--constraints page``
  takes the page's own);
- the step with an API key is led to the simulator, so nothing is paid, and nothing leaves this machine but
  pip's requests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tests.harness.processes import (
    MARK,
    REPOSITORY,
    HarnessError,
    clean_environment,
    end_marked_processes,
    port_is_free,
    renew_folder,
)
from tests.harness.video import describe_video
from tests.pages import PAGES
from tests.tutorial.steps import FIRST, Commands, File, is_said, steps

PAGE = "docs/tutorial.md"
PINS = REPOSITORY / "tests" / "pins" / "airflow-3.3.txt"
#: Where the page puts everything, seen from the reader's home.
FOLDER = "first-video"
AIRFLOW, SIMULATOR = 8080, 8089
#: Seconds for one step. pip takes some minutes on a slow machine, Airflow's start one.
PATIENCE = 600
_CONSTRAINTS = re.compile(r"https://raw\.githubusercontent\.com/apache/airflow/\S+\.txt")
_KEY = '--conn-password "YOUR-API-KEY"'
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A bash that is given one block of commands after another, and stops at the first that fails.

    :param name: what its log is called
    :param folder: where its logs and what it is given are kept
    :param start: the folder that it begins in
    """

    def __init__(self, name: str, folder: Path, start: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._folder = folder
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._bash = subprocess.Popen(
                ["bash", "-eo", "pipefail"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=start,
                env=environment,
                text=True,
                start_new_session=True,
            )

    def run(self, step: Commands, *, stays: bool) -> str:
        """Type a block, wait until it has ended, and return what it said.

        :param stays: its last command goes on, so wait until it says what is expected
        :raises HarnessError: when a command fails, or nothing of that happens in time
        """
        begin = self.log.stat().st_size
        script = self._folder / f"{self.name}-{step.line}.sh"
        script.write_text(step.source)
        ended = self._folder / f"{self.name}-{step.line}.ended"
        ended.unlink(missing_ok=True)
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"source {script} </dev/null\ntouch {ended}\n")
        self._bash.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        while True:
            over = ended.exists()
            output = _ESCAPES.sub("", self.log.read_bytes()[begin:].decode(errors="replace"))
            if over or (stays and is_said(step.says, output)):
                return output
            if self._bash.poll() is not None:
                raise HarnessError(f"{PAGE}, line {step.line}: a command failed.\n{output[-5000:]}")
            if time.monotonic() > deadline:
                raise HarnessError(f"{PAGE}, line {step.line}: no end in {PATIENCE} s.\n{output[-5000:]}")
            time.sleep(0.2)


class Reader:
    """Somebody who does what the page says.

    :param folder: everything is written there
    :param constraints: what stands for Airflow's constraints; ``None`` leaves the page's
    """

    def __init__(self, folder: Path, constraints: Path | None) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self._constraints = constraints
        self._terminals: dict[str, Terminal] = {}
        self._environment = _environment(folder, self.home)

    def do(self, step: File | Commands) -> None:
        """Do one step, and see that the page tells what happens.

        :raises HarnessError: when something else happens
        """
        if isinstance(step, File):
            (self.home / FOLDER / step.path).write_text(step.text)
            return
        if step.terminal not in self._terminals:
            # The first one is in the clone's folder, as the page says.
            start = REPOSITORY if step.terminal == FIRST else self.home
            terminal = Terminal(step.terminal, self.folder, start, self._environment)
            self._terminals[step.terminal] = terminal
        typed = Commands(**{**vars(step), "source": self.adapted(step)})
        deadline = time.monotonic() + PATIENCE
        while True:
            output = self._terminals[step.terminal].run(typed, stays=step.terminal != FIRST)
            if is_said(step.says, output):
                return
            if not step.again or time.monotonic() > deadline:
                raise HarnessError(f"{PAGE}, line {step.line}: it did not say\n{step.says}\nbut\n{output}")
            time.sleep(1)

    def adapted(self, step: Commands) -> str:
        """Return what is typed: what the page says, but for what cannot be done everywhere."""
        source = step.source
        if self._constraints:
            source = _CONSTRAINTS.sub(str(self._constraints), source)
        if step.with_a_key:
            if _KEY not in source:
                raise HarnessError(f"{PAGE}, line {step.line}: no {_KEY} to lead to the simulator")
            simulator = f"--conn-host http://127.0.0.1:{SIMULATOR} --conn-extra '{{\"trust_env\": false}}'"
            source = source.replace(_KEY, f"{_KEY} {simulator}")
        return source

    def look(self) -> None:
        """See that the videos are whole, that the tab shows them, and that each was paid for once.

        :raises HarnessError: when it is otherwise
        """
        runs = sorted((self.home / FOLDER / "videos").glob("*.mp4"))
        if not runs:
            raise HarnessError(f"{PAGE}: in the end there is no video on the disk")
        session = requests.Session()
        session.trust_env = False
        password_file = self.home / FOLDER / "simple_auth_manager_passwords.json.generated"
        login = {"username": "admin", "password": json.loads(password_file.read_text())["admin"]}
        airflow = f"http://localhost:{AIRFLOW}"
        answer = session.post(f"{airflow}/auth/token", json=login, timeout=60)
        answer.raise_for_status()
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        for video in runs:
            print(f"  {video.name}: {describe_video(video)}")
            query = {"run_id": video.stem}
            tab = session.get(f"{airflow}/runway/dags/first_video/gallery", params=query, timeout=60)
            tab.raise_for_status()
            told = session.get(f"{airflow}/runway/dags/first_video/data/gallery", params=query, timeout=60)
            told.raise_for_status()
            if [entry["video"]["source"] for entry in told.json()["videos"]] != ["stored"]:
                raise HarnessError(f"the tab does not show {video}:\n{told.text}")
            file = session.get(
                f"{airflow}/runway/dags/first_video/file",
                params={**query, "task_id": "generate", "map_index": "-1"},
                timeout=60,
            )
            file.raise_for_status()
            if file.content != video.read_bytes():
                raise HarnessError(f"the tab does not play {video}")
        seen: dict[str, Any] = session.get(
            f"http://127.0.0.1:{SIMULATOR}/_simulator/stats", timeout=60
        ).json()
        if len(seen["creations"]) != len(runs) or seen["violations"]:
            raise HarnessError(f"{len(runs)} videos, but the simulator saw {seen}")


def _environment(folder: Path, home: Path) -> dict[str, str]:
    environment = clean_environment()
    # What is tried is the package that pip has installed.
    del environment["PYTHONPATH"]
    for name in ("VIRTUAL_ENV", "PIP_CONSTRAINT", "PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_TARGET"):
        environment.pop(name, None)
    # Where this machine's pip finds packages is no part of the page.
    pip_config = Path.home() / ".config" / "pip" / "pip.conf"
    if pip_config.exists():
        environment.setdefault("PIP_CONFIG_FILE", str(pip_config))
    python = os.path.dirname(getattr(sys, "_base_executable", sys.executable))
    path = os.pathsep.join([python, os.environ["PATH"]])
    return {**environment, "HOME": str(home), "PATH": path, MARK: str(folder)}


def main() -> int:
    """Follow the tutorial and return the exit code."""
    parser = argparse.ArgumentParser(prog="make tutorial", description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".tutorial", help="default: .tutorial")
    parser.add_argument("--constraints", choices=["pins", "page"], default="pins")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    begun = time.monotonic()
    try:
        end_marked_processes(folder)
        for port in (AIRFLOW, SIMULATOR):
            if not port_is_free(port):
                raise HarnessError(f"port {port}, which the page names, is in use by another program")
        renew_folder(folder)
        reader = Reader(folder, PINS if arguments.constraints == "pins" else None)
        for step in steps(PAGES[PAGE]):
            what = step.path if isinstance(step, File) else step.source.splitlines()[-1].strip()
            print(f"{time.monotonic() - begun:5.0f} s  line {step.line:3}  {what}", flush=True)
            reader.do(step)
        reader.look()
    except (HarnessError, requests.RequestException) as error:
        print(f"\n{error}\n\nThe logs: {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    finally:
        end_marked_processes(folder, grace=20)
    print(f"Followed word by word in {(time.monotonic() - begun) / 60:.1f} minutes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

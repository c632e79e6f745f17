"""A real Airflow in a folder of its own, each component a process that can be killed and started again."""

from __future__ import annotations

import importlib.metadata
import json
import secrets
import sqlite3
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
from typing_extensions import Self

from tests.harness.airflow_api import AirflowApi
from tests.harness.processes import (
    HarnessError,
    Processes,
    clean_environment,
    end_marked_processes,
    free_port,
    marked_processes,
)

# Component to the name under which Airflow's health answer lists it.
COMPONENTS_3 = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}
COMPONENTS_2 = {"webserver": "metadatabase", "scheduler": "scheduler", "triggerer": "triggerer"}


class LocalAirflow:
    """Airflow as installed beside an interpreter, 3.x or 2.11, on SQLite with the LocalExecutor.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param folder: everything that Airflow writes goes there; kept afterwards
    :param dags_folder: where the DAG files are
    :param connections: connection ID to its fields, such as ``{"conn_type": "runway", "password": "key"}``
    :param port: the TCP port of the API server (web server); ``None`` takes a free one
    :param database_url: a SQLAlchemy URL of a database to use in place of SQLite
    :param config: further settings, for example ``{"AIRFLOW__CORE__PARALLELISM": "2"}``
    :param own_port: where a load balancer listens on ``port``, the one on which the API server (web server)
        itself does
    :param login: user name and password of an administrator, who has to log in then (Airflow 3); ``None``
        lets everybody in
    :param python: the interpreter of another environment, which has nothing of this repository but what is
        installed there; ``None`` means this one
    """

    def __init__(
        self,
        folder: Path,
        *,
        dags_folder: Path,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        port: int | None = None,
        database_url: str | None = None,
        config: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        python: Path | None = None,
        own_port: int | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self._python = str(python or sys.executable)
        self.version = _version_beside(python) if python else importlib.metadata.version("apache-airflow")
        self.major = int(self.version.split(".")[0])
        self.components = COMPONENTS_3 if self.major >= 3 else COMPONENTS_2
        self.port = port or free_port()
        self.own_port = own_port or self.port
        self.url = f"http://localhost:{self.port}"
        self.processes = Processes(self.folder / "components")
        self.api = AirflowApi(
            f"http://127.0.0.1:{self.port}", major=self.major, check=self.processes.check, login=login
        )
        self._sqlite_file = None if database_url else self.folder / "airflow.db"
        self._database_url = database_url or f"sqlite:///{self._sqlite_file}?timeout=60"
        self._environment = {
            **clean_environment(with_repository=python is None),
            **self._settings(dags_folder.resolve()),
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(dict(fields))
                for conn_id, fields in (connections or {}).items()
            },
            **(self._closed(*login) if login else {}),
            **(config or {}),
        }

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, *names: str, timeout: float = 180) -> None:
        """Start components and wait until they are healthy.

        :param names: which ones; none means all, after the database is made
        :param timeout: seconds that they have
        :raises HarnessError: when one ends, or is not healthy in time; with the end of its log
        """
        if not names:
            end_marked_processes(self.processes.folder)
            self._make_database()
        started = datetime.now(timezone.utc)
        for name in names or tuple(self.components):
            self.processes.start(name, self._command(name), self._environment)
        self._wait_until_healthy(names or tuple(self.components), since=started, timeout=timeout)

    def launch(
        self,
        name: str,
        component: str | None = None,
        config: Mapping[str, str] | None = None,
        *,
        working_folder: Path | None = None,
    ) -> None:
        """Start a process of a component without waiting for it.

        :param name: its name here and that of its log file; several can be of the same component
        :param component: which component, where the name is another; ``celery worker`` is one, too
        :param config: further settings for this process alone
        :param working_folder: where it is started; ``None``: where its log is
        """
        environment = {**self._environment, **(config or {})}
        command = self._command(component or name)
        if component == "celery worker":
            command += ["--celery-hostname", f"{name}@localhost", "--skip-serve-logs"]
        self.processes.start(name, command, environment, working_folder=working_folder)

    def stop(self, *names: str) -> None:
        """Stop components in an orderly way.

        :param names: which ones; none means all
        """
        self.processes.stop(*names)
        if not names:
            # A killed scheduler leaves tasks behind, which belong to no component any more.
            end_marked_processes(self.processes.folder)

    def kill(self, name: str) -> None:
        """End a component and all its children with SIGKILL.

        :param name: ``api-server``, ``scheduler``, ``dag-processor`` or ``triggerer``
        """
        self.processes.kill(name)

    def busy_workers(self) -> list[psutil.Process]:
        """Return the LocalExecutor's processes that are running a task now (Airflow 3), by age.

        Each supervises the process of the task, which is its child. An idle one may hold the lock of the
        queue that all of them read, so that killing it would stop the executor for good.
        """
        found = []
        for process in marked_processes(self.processes.folder):
            with suppress(psutil.Error):
                title = " ".join(process.cmdline())
                busy = title.startswith("airflow worker -- LocalExecutor") and "<idle>" not in title
                # One that has outlived its scheduler has nobody to report to, and does nothing more.
                if busy and process.children():
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    def run(self, *arguments: str) -> None:
        """Run an ``airflow`` command in this Airflow's environment, its output appended to ``commands.log``.

        :raises HarnessError: when it fails
        """
        self.processes.run("commands", [self._python, "-m", "airflow", *arguments], self._environment)

    @property
    def log_folder(self) -> Path:
        """Where Airflow writes the logs of tasks."""
        return self.folder / "logs"

    def _command(self, name: str) -> list[str]:
        command = [self._python, "-m", "airflow", *name.split()]
        if name == "webserver":
            command += ["--workers", "1"]
        if name in {"scheduler", "triggerer"}:
            # Their logs are files of this machine; a server for them would listen on every interface.
            command += ["--skip-serve-logs"]
        return command

    def _make_database(self) -> None:
        self.run("db", "migrate")
        if self._sqlite_file:
            # The components use it at the same time: with a write-ahead log, readers and a writer do not
            # lock each other out. The file remembers the mode.
            with sqlite3.connect(self._sqlite_file) as database:
                database.execute("PRAGMA journal_mode=WAL")
            database.close()

    def _wait_until_healthy(self, names: tuple[str, ...], *, since: datetime, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        waiting = set(names)
        while waiting:
            self.processes.check()
            health = self.api.health()
            waiting = {name for name in waiting if not _is_healthy(health, self.components[name], since)}
            if waiting and time.monotonic() > deadline:
                raise HarnessError(
                    f"not healthy after {timeout:.0f} s: {', '.join(sorted(waiting))}.\n"
                    + "\n".join(self.processes.log_tail(name) for name in sorted(waiting))
                )
            time.sleep(0.25)

    def _secrets(self) -> dict[str, str]:
        file = self.folder / "secrets.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(
                json.dumps(
                    {
                        "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                        "session": secrets.token_hex(32),
                        "jwt": secrets.token_hex(64),
                    }
                )
            )
        return dict(json.loads(file.read_text()))

    def _settings(self, dags_folder: Path) -> dict[str, str]:
        own = self._secrets()
        settings = {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.folder / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__FERNET_KEY": own["fernet"],
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # The default asks the name service, which can take seconds on a machine without one.
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database_url,
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.log_folder),
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            # After so many seconds of silence another triggerer takes up a dead one's triggers.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        }
        return settings | (self._settings_3(own) if self.major >= 3 else self._settings_2(own))

    def _settings_3(self, own: Mapping[str, str]) -> dict[str, str]:
        return {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.own_port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": own["session"],
            "AIRFLOW__API_AUTH__JWT_SECRET": own["jwt"],
            # 3.0 sends none by default, as `null`, and a newer PyJWT than it knows refuses that.
            "AIRFLOW__API_AUTH__JWT_ISSUER": "local",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            # A busy small machine can take longer than the default 5 s to answer.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
            # A task's supervisor can notice the end of its process as late as this many seconds. With the
            # default 5, a deferral that is over sooner looks to the scheduler like a task killed from outside
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }

    def _closed(self, name: str, password: str) -> dict[str, str]:
        file = self.folder / "passwords.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({name: password}))
        return {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{name}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(file),
        }

    def _settings_2(self, own: Mapping[str, str]) -> dict[str, str]:
        # Nobody logs in on this machine's loopback, as with Airflow 3's `all_admins`.
        (self.folder / "webserver_config.py").write_text('AUTH_ROLE_PUBLIC = "Admin"\n')
        return {
            # 2.11 refuses to run more than one task at a time on SQLite; with a write-ahead log it works.
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
            "AIRFLOW__WEBSERVER__CONFIG_FILE": str(self.folder / "webserver_config.py"),
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(self.own_port),
            "AIRFLOW__WEBSERVER__BASE_URL": self.url,
            "AIRFLOW__WEBSERVER__SECRET_KEY": own["session"],
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }


def _version_beside(python: Path) -> str:
    ask = "import importlib.metadata; print(importlib.metadata.version('apache-airflow'))"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def _is_healthy(health: Mapping[str, Any], key: str, since: datetime) -> bool:
    said = health.get(key) or {}
    if said.get("status") != "healthy":
        return False
    if key == "metadatabase":
        return True
    # Until its first heartbeat, a component that was started again is vouched for by its predecessor's.
    beat = said.get(f"latest_{key}_heartbeat")
    return bool(beat) and datetime.fromisoformat(str(beat).replace("Z", "+00:00")) >= since

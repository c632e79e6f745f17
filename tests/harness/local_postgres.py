"""A PostgreSQL of its own on loopback, for an Airflow whose components die at any moment."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from typing_extensions import Self

from tests.harness.packages import find_installed
from tests.harness.processes import (
    HarnessError,
    Processes,
    clean_environment,
    end_marked_processes,
    free_port,
)

USER = "postgres"


class LocalPostgres:
    """A cluster made anew in a folder, started and stopped as a context manager.

    Run as root it belongs to the user ``postgres``, since PostgreSQL refuses to run as root.

    :param folder: its files and its log go there
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.processes = Processes(folder)
        self._programs = find_programs()
        self._data = self.processes.folder / "data"
        self._temporary: Path | None = None

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of its database."""
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, *, timeout: float = 60) -> None:
        """Make the cluster and wait until it answers.

        :param timeout: seconds that it has
        :raises HarnessError: when it does not; with the end of its log
        """
        end_marked_processes(self.processes.folder)
        self._make_folder()
        initdb = ["initdb", "-D", str(self._data), "-U", USER, "--auth=trust", "-E", "UTF8", "--no-sync"]
        self.processes.run("initdb", self._command(*initdb), clean_environment())
        self.revive(timeout=timeout)

    def revive(self, *, timeout: float = 60) -> None:
        """Start it with the cluster that is there, as after :meth:`kill`, and wait until it answers.

        :param timeout: seconds that it has
        :raises HarnessError: when it does not; with the end of its log
        """
        self.processes.start(
            "postgres",
            self._command(
                *("postgres", "-D", str(self._data), "-p", str(self.port), "-k", ""),
                *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "fsync=off"),
                # Workers that outlive a killed scheduler hold its connections open, and so its locks.
                *("-c", "idle_in_transaction_session_timeout=30s"),
            ),
            clean_environment(),
        )
        deadline = time.monotonic() + timeout
        while self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port)).returncode:
            self.processes.check()
            if time.monotonic() > deadline:
                raise HarnessError(
                    f"no answer from PostgreSQL in {timeout:.0f} s.\n{self.processes.log_tail('postgres')}"
                )
            time.sleep(0.2)

    def is_running(self) -> bool:
        """Tell whether it was started and has not ended."""
        return self.processes.is_running("postgres")

    def kill(self) -> None:
        """End it and all its processes with SIGKILL; what was committed is in its files."""
        self.processes.kill("postgres")

    def stop(self) -> None:
        """Stop it, and remove what lay outside its folder."""
        self.processes.stop()
        end_marked_processes(self.processes.folder)
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def dump(self) -> str:
        """Return the whole database as SQL text."""
        answer = self._run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "postgres")
        if answer.returncode:
            raise HarnessError(f"pg_dump failed: {answer.stderr}")
        return answer.stdout

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._programs / program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() != 0:
            return command
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--", *command]

    def _make_folder(self) -> None:
        if os.geteuid() == 0:
            # Every folder above must be open to the other user; a home folder often is not.
            if not all(parent.stat().st_mode & 0o001 for parent in self._data.parents):
                self._temporary = Path(tempfile.mkdtemp(prefix="runway-postgres-"))
                self._temporary.chmod(0o711)
                self._data = self._temporary / "data"
            user = pwd.getpwnam(USER)
            shutil.rmtree(self._data, ignore_errors=True)
            self._data.mkdir(mode=0o700)
            os.chown(self._data, user.pw_uid, user.pw_gid)
        else:
            shutil.rmtree(self._data, ignore_errors=True)


def find_programs() -> Path:
    """Return the folder with PostgreSQL's programs, installing Debian's package where root may.

    :raises HarnessError: when there is none; with what to install
    """
    return find_installed("postgresql", "PostgreSQL with `initdb` and `postgres`", _look_for_programs)


def _look_for_programs() -> Path | None:
    # Debian keeps them off the PATH; what lies on the PATH may be a wrapper.
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    needed = ("initdb", "postgres", "pg_isready", "pg_dump")
    return next((path for path in candidates if all((path / name).exists() for name in needed)), None)

"""Start processes so that every one of them, and all that they started in turn, surely ends again.

Airflow's supervisors put their children into process groups of their own, so ending a group is not enough.
Every process started here carries its folder's name in its environment, which its descendants inherit: that
mark finds them, even those of an earlier run that was interrupted. A guardian process does the same when this
process dies without having stopped what it started.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

MARK = "RUNWAY_HARNESS_FOLDER"
#: A file of this name says that a folder was made here, and may be emptied by the next run.
OWN_FOLDER = "made-by-runway-harness"
REPOSITORY = Path(__file__).resolve().parents[2]


class HarnessError(Exception):
    """Something did not start, did not stay up or did not answer; the text says what and where to read on."""


def free_port() -> int:
    """Return a TCP port on loopback that is free, and given to nobody else within the next minute."""
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        # The side that closes first keeps the port in TIME_WAIT: a server may take it, which sets
        # SO_REUSEADDR, but the system hands it out neither to another call of this nor to a client.
        listener.accept()[0].close()
        return int(listener.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this TCP port of loopback.

    :param port: a port number, 1 to 65535
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def renew_folder(folder: Path) -> None:
    """Make a folder, or empty the one of an earlier run.

    :raises HarnessError: when there is something that no earlier run has made, which is left alone, or when
        it cannot be emptied
    """
    mark = folder / OWN_FOLDER
    if folder.is_symlink() or (folder.exists() and not mark.is_file()):
        raise HarnessError(
            f"{folder} exists already and was not made by an earlier run, so it is left alone. "
            "Move it away, or name another folder with --folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The mark stays, so that what is left of an interruption is known for what it is.
        mark.touch()
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()
    except OSError as error:
        raise HarnessError(f"{folder} cannot be made empty: {error}") from error


def clean_environment(*, with_repository: bool = True) -> dict[str, str]:
    """Return this process's environment without what would leak into an Airflow of its own.

    Proxies stay, since a user may need one to reach kie.ai, but never for loopback.

    :param with_repository: whether what lies in this repository can be imported
    """
    leaking = ("AIRFLOW", "_AIRFLOW", "OTEL_", "SENTRY_", "RUNWAY_")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(leaking) and name not in {"PYTHONHOME", "PYTHONPATH", "PYTHONWARNINGS"}
    }
    loopback = "localhost,127.0.0.1,::1"
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(filter(None, [os.environ.get(name), loopback]))
    if with_repository:
        environment["PYTHONPATH"] = str(REPOSITORY)
    environment["PYTHONUNBUFFERED"] = "1"
    # Without this, `setproctitle` overwrites the very memory in which the mark is read.
    environment["SPT_NOENV"] = "1"
    return environment


def marked_processes(folder: Path) -> list[psutil.Process]:
    """Return the living processes that were started for a folder, descendants included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_marked_processes(folder: Path, *, grace: float = 5) -> int:
    """End every process that was started for a folder and return how many there were.

    :param grace: seconds between asking (SIGTERM) and forcing (SIGKILL)
    """
    first = marked_processes(folder)
    _signal_all(first, psutil.Process.terminate)
    psutil.wait_procs(first, timeout=grace)
    while leftover := marked_processes(folder):
        _signal_all(leftover, psutil.Process.kill)
        psutil.wait_procs(leftover, timeout=1)
    return len(first)


def _signal_all(processes: Iterable[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            send(process)


class Processes:
    """The named processes of one folder, with a log file each.

    :param folder: where the logs are written (``<folder>/<name>.log``); also the mark
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guardian: subprocess.Popen[bytes] | None = None

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        working_folder: Path | None = None,
    ) -> None:
        """Start a process in a session of its own, its output appended to its log.

        :param environment: the whole environment of the process; the mark is added to it
        :param working_folder: where it is started; ``None``: where its log is
        :raises HarnessError: when one of this name is already running
        """
        if self.is_running(name):
            raise HarnessError(f"{name} is already running")
        self._start_guardian()
        with self.log_file(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=working_folder or self.folder,
                env={**environment, MARK: str(self.folder)},
                # A Ctrl-C in the terminal is for the program that orders them to stop, not for each of them.
                start_new_session=True,
            )

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a process to its end, its output appended to its log.

        :raises HarnessError: when it ends with an exit code other than 0
        """
        self.start(name, command, environment)
        code = self._running.pop(name).wait()
        if code:
            raise HarnessError(f"{name} ended with exit code {code}.\n{self.log_tail(name)}")

    def is_running(self, name: str) -> bool:
        """Tell whether the process of this name was started and has not ended."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        """Return the ID of the process of this name."""
        return self._running[name].pid

    def check(self, names: Iterable[str] | None = None) -> None:
        """Make sure that processes are still running, by default all that were started and not stopped.

        :raises HarnessError: when one has ended, with the end of its log
        """
        for name in list(self._running if names is None else names):
            process = self._running.get(name)
            if process is None:
                raise HarnessError(f"{name} was not started")
            if (code := process.poll()) is not None:
                raise HarnessError(f"{name} ended with exit code {code}.\n{self.log_tail(name)}")

    def kill(self, name: str, *, alone: bool = False) -> None:
        """End a process and its descendants with SIGKILL, as a crash of its machine would.

        :param alone: spare the descendants, as a crash of the process itself does
        """
        process = self._running.pop(name)
        try:
            leader = psutil.Process(process.pid)
            # Stopped first, so that it starts no further child between the look and the kill.
            leader.suspend()
            victims = [] if alone else leader.children(recursive=True)
            _signal_all([*victims, leader], psutil.Process.kill)
        except psutil.NoSuchProcess:
            pass
        process.wait()

    def stop(self, *names: str, grace: float = 15) -> None:
        """Ask processes to end, then force those that do not.

        :param names: which ones; none means all
        :param grace: seconds that they have together
        """
        stopping = {name: self._running[name] for name in names or tuple(self._running)}
        for process in stopping.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + grace
        for name, process in stopping.items():
            try:
                process.wait(timeout=max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.kill(name)
            self._running.pop(name, None)
        if not self._running:
            self._release_guardian()

    def log_file(self, name: str) -> Path:
        """Return the file that collects the output of the process of this name."""
        return self.folder / f"{name}.log"

    def log_tail(self, name: str, lines: int = 25) -> str:
        """Return the last lines of a process's log, headed by its path."""
        path = self.log_file(name)
        text = path.read_text(errors="replace") if path.exists() else ""
        return f"The end of {path}:\n" + "\n".join(f"    {line}" for line in text.splitlines()[-lines:])

    def _start_guardian(self) -> None:
        if self._guardian is None:
            self._guardian = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, str(self.folder)],
                stdin=subprocess.PIPE,
                cwd=REPOSITORY,
                env=clean_environment(),
                start_new_session=True,
            )
            atexit.register(self.stop)

    def _release_guardian(self) -> None:
        if self._guardian is not None:
            guardian, self._guardian = self._guardian, None
            assert guardian.stdin is not None
            guardian.stdin.close()
            guardian.wait()
            atexit.unregister(self.stop)


def _guard(folder: Path) -> None:
    # The other end of this pipe closes when the process that holds it ends, in whatever way it does.
    sys.stdin.buffer.read()
    end_marked_processes(folder)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))

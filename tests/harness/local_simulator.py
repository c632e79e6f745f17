"""The simulated kie.ai as a process of its own, which can be killed and started again with what it knew."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from typing_extensions import Self

from tests.harness.processes import (
    HarnessError,
    Processes,
    clean_environment,
    end_marked_processes,
    free_port,
)


class LocalSimulator:
    """``python -m airflow_provider_runway.simulator`` on loopback, its tasks kept in a file across restarts.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    :param folder: its tasks, videos and log go there; kept afterwards
    :param port: its TCP port; ``None`` takes a free one
    :param options: further command-line options, such as ``["--speed", "4"]``
    """

    def __init__(self, folder: Path, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes = Processes(folder)
        state_file = self.processes.folder / "tasks.sqlite"
        self._command = [
            *(sys.executable, "-m", "airflow_provider_runway.simulator"),
            *("--port", str(self.port), "--state-file", str(state_file), *options),
        ]
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow connection that leads here."""
        return {
            "conn_type": "runway",
            "host": self.url,
            "password": "any-key",
            "extra": {"upload_host": self.url},
        }

    def start(self, *, timeout: float = 30) -> None:
        """Start it, or start it again, and wait until it answers.

        :param timeout: seconds that it has
        :raises HarnessError: when it ends, or does not answer in time; with the end of its log
        """
        end_marked_processes(self.processes.folder)
        self.processes.start("simulator", self._command, clean_environment())
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.stats()
            except requests.RequestException:
                self.processes.check()
            else:
                return
            if time.monotonic() > deadline:
                log = self.processes.log_tail("simulator")
                raise HarnessError(f"no answer from the simulator in {timeout:.0f} s.\n{log}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self.processes.stop()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.processes.kill("simulator")

    def control(self, method: str, path: str, **kwargs: Any) -> Any:
        """Make a request to the control endpoint and return the decoded answer.

        :param path: what follows ``/_simulator/``, such as ``faults``
        :raises requests.HTTPError: when the answer is an error
        """
        response = self._session.request(method, f"{self.url}/_simulator/{path}", timeout=30, **kwargs)
        if not response.ok:
            raise requests.HTTPError(f"{method} {path}: HTTP {response.status_code} {response.text}")
        return response.json()

    def stats(self) -> dict[str, Any]:
        """Return what it saw so far."""
        return dict(self.control("GET", "stats"))

    def creations(self) -> list[dict[str, Any]]:
        """Return every task that it made and charged, in order, those before a restart included."""
        return list(self.stats()["creations"])

    def finish(self, runway_task_id: str) -> None:
        """Let a task be a success now, whatever its time."""
        self.control("POST", f"tasks/{runway_task_id}", json={"state": "success"})

    def add_fault(self, **fault: Any) -> None:
        """Put a fault into force.

        :param fault: its fields, such as ``kind="http_error", status=503, count=None``
        """
        self.control("POST", "faults", json=fault)

    def clear_faults(self) -> None:
        """Forget all faults."""
        self.control("DELETE", "faults")

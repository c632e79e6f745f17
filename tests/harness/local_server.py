"""Servers of their own on loopback that keep what they know through a kill: Redis, and one that speaks S3."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import Self

from tests.harness.packages import find_installed
from tests.harness.processes import (
    HarnessError,
    Processes,
    clean_environment,
    end_marked_processes,
    free_port,
)


class LocalServer:
    """A program that listens on a port of its own. Use it as a context manager.

    :param name: its name, and that of its log
    :param folder: its files and its log go there
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self.processes = Processes(folder)

    def command(self) -> Sequence[str]:
        """Return the command that starts it, in this folder."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            end_marked_processes(self.processes.folder)
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, *, timeout: float = 30) -> None:
        """Start it, or start it again, and wait until it answers.

        :param timeout: seconds that it has
        :raises HarnessError: when it ends, or does not answer in time; with the end of its log
        """
        self.processes.start(self.name, self.command(), clean_environment())
        deadline = time.monotonic() + timeout
        while not self.answers():
            self.processes.check()
            if time.monotonic() > deadline:
                log = self.processes.log_tail(self.name)
                raise HarnessError(f"no answer from {self.name} in {timeout:.0f} s.\n{log}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Tell whether it takes connections."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def is_running(self) -> bool:
        """Tell whether it was started and has not ended."""
        return self.processes.is_running(self.name)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.processes.kill(self.name)

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self.processes.stop()


class LocalRedis(LocalServer):
    """Redis, which writes down each change before it confirms it.

    :param folder: its data and its log go there
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("redis", folder)
        self._program = find_installed("redis-server", "`redis-server`", lambda: shutil.which("redis-server"))

    @property
    def url(self) -> str:
        """The URL of a database of it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        """Return the command that starts it."""
        return [
            *(self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.processes.folder)),
        ]

    def answers(self) -> bool:
        """Tell whether it has read what it had written down."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False


class LocalS3(LocalServer):
    """A server that speaks S3 and keeps its objects, and the parts of uploads, as files.

    It runs from the environment of this interpreter, which the package ``localbucket`` must be installed in.

    :param folder: its buckets and its log go there
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("s3", folder)

    @property
    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow connection that leads here."""
        extra = {"endpoint_url": f"http://127.0.0.1:{self.port}", "region_name": "us-east-1"}
        return {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}

    def command(self) -> Sequence[str]:
        """Return the command that starts it."""
        data = self.processes.folder / "data"
        return [sys.executable, "-m", "localbucket", str(data), "--port", str(self.port)]

    def client(self) -> Any:
        """Return boto3's client of it."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

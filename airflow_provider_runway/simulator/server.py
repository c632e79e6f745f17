"""Runs the simulator: in the background of a test, or as a process of its own."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web

from airflow_provider_runway.simulator.app import build_app
from airflow_provider_runway.simulator.faults import Fault
from airflow_provider_runway.simulator.service import Service
from airflow_provider_runway.simulator.settings import Settings

Value = TypeVar("Value")
_START_SECONDS = 30


class PortInUseError(OSError):
    """The port that was asked for belongs to another process."""


async def listen(service: Service, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Start serving in the running event loop.

    :param port: 0 takes a free one.
    :return: the runner to clean up, and the port.
    :raises PortInUseError: where the port is taken.
    """
    runner = web.AppRunner(build_app(service), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        # Many Airflow workers connect at once; the default queue of 128 would refuse some of them.
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(error.errno, f"port {port} on {host} is already in use") from None
        raise
    return runner, int(runner.addresses[0][1])


def authority(host: str, port: int) -> str:
    """Return host and port as they stand in a URL: there, an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Simulator:
    """A simulated kie.ai in a thread of this process, usable as a context manager.

    It can be stopped and started again on the same port, which looks like an outage: it knows its tasks
    afterwards.

    :param settings: how it behaves.
    :param host: address to listen on.
    :param port: the TCP port; 0 takes a free one.
    :param changes: single fields of ``Settings``, such as ``speed=100`` or ``balance=24``.
    """

    def __init__(
        self, settings: Settings | None = None, *, host: str = "127.0.0.1", port: int = 0, **changes: Any
    ) -> None:
        self.settings = replace(settings or Settings(), **changes)
        self.host = host
        self.port = port
        self._service: Service | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Base URL for a connection's host."""
        return f"http://{authority(self.host, self.port)}"

    @property
    def _state(self) -> Service:
        if self._service is None:
            raise RuntimeError("the simulator was not started")
        return self._service

    def start(self) -> None:
        """Start listening and return as soon as it does.

        :raises PortInUseError: where the port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the simulator is already running")
        if self._service is None:
            self._service = Service(self.settings)
        started = threading.Event()
        errors: list[BaseException] = []
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(started, errors)), name="runway-simulator", daemon=True
        )
        self._thread.start()
        if not started.wait(_START_SECONDS):
            raise RuntimeError(f"the simulator did not start within {_START_SECONDS} s")
        if errors:
            self._thread.join()
            self._thread = None
            raise errors[0]

    async def _run(self, started: threading.Event, errors: list[BaseException]) -> None:
        try:
            runner, self.port = await listen(self._state, self.host, self.port)
        except BaseException as error:
            errors.append(error)
            return
        else:
            self._loop = asyncio.get_running_loop()
            self._stopping = asyncio.Event()
        finally:
            started.set()
        try:
            await self._stopping.wait()
        finally:
            await runner.cleanup()

    def stop(self) -> None:
        """Stop listening and cut all connections; the tasks are kept for another ``start``."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = self._stopping = None

    def close(self) -> None:
        """Stop and remove what was temporary; the state file stays."""
        self.stop()
        if self._service is not None:
            self._service.close()
            self._service = None

    def __enter__(self) -> Simulator:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, function: Callable[[], Value]) -> Value:
        """Run something where the state lives, in the server's loop while there is one."""
        if self._loop is None:
            return function()

        async def run() -> Value:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_START_SECONDS)

    def add_fault(self, kind: str, path: str = "/", **details: Any) -> Fault:
        """Put a fault into force.

        :param kind: what happens, see ``Fault``.
        :param path: the beginning of the path of the requests it hits, or a pattern with ``*``.
        :param details: the other fields of ``Fault``, such as ``count=3`` or ``status=503``.
        :raises ValueError: naming the field that is wrong.
        """
        fault = Fault(kind=kind, path=path, **details)
        self._call(lambda: self._state.faults.add(fault))
        return fault

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._call(self._state.faults.clear)

    def stats(self, *, lists: bool = True) -> dict[str, Any]:
        """Return what ``GET /_simulator/stats`` answers.

        :param lists: with the lists of creations and tasks.
        """
        return self._call(lambda: self._state.summary(lists=lists))

    @property
    def creations(self) -> list[dict[str, Any]]:
        """Every creation that was accepted and charged: ``task_id, time, path, body, credits``."""
        return self._call(self._state.creations)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """Every task: ``task_id, generation, kind, prompt, parent_task_id, state, lookups`` and more."""
        return self._call(self._state.tasks)

    @property
    def violations(self) -> list[dict[str, str]]:
        """Requests that a real service could not refuse but should never see: ``rule, method, path``."""
        violations: list[dict[str, str]] = self.stats(lists=False)["violations"]
        return violations

    @property
    def balance(self) -> float:
        """Credits left."""
        return self._call(lambda: self._state.account.balance)

    def force_task(self, task_id: str, state: str, **details: Any) -> None:
        """Put a task into a state for good.

        :param task_id: its Runway task ID.
        :param state: ``waiting``, ``queueing``, ``generating``, ``success`` or ``fail``.
        :param details: ``code`` and ``message`` of a failure; ``expired`` or ``without_url`` of a success.
        :raises KeyError: where there is no such task.
        """

        def force() -> None:
            task = self._state.account.tasks[task_id]
            self._state.account.force(task, state, **details)
            self._state.callbacks.expect(task)

        self._call(force)

    def advance(self, seconds: float) -> None:
        """Put the simulator's clock forward, instead of waiting.

        :param seconds: how far.
        """

        def advance() -> None:
            self._state.account.advance(seconds)
            self._state.callbacks.wake()

        self._call(advance)

    def reset(self) -> None:
        """Forget tasks, faults and statistics."""
        self._call(self._state.reset)

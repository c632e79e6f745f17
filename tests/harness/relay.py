"""A relay for TCP connections on loopback: it stands for a load balancer, and for a network that can fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

from typing_extensions import Self

from tests.harness.processes import free_port


class Relay:
    """Takes connections on a port of its own and passes them on to the first server that takes them.

    Each new connection begins with the next server, so that all have their share; one that refuses is passed
    over. Cut, it still takes connections and bytes, as a machine's own network does, but passes nothing on,
    in neither direction; healed, it passes on what it has kept, as a network's retransmissions would.

    :param ports: the TCP ports of the servers on this machine
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self.port = free_port()
        self._ports = list(ports)
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._is_whole = asyncio.Event()
        self._is_whole.set()

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._pass_on, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def is_cut(self) -> bool:
        """Whether nothing is passed on."""
        return not self._is_whole.is_set()

    def cut(self) -> None:
        """Pass nothing on any more."""
        self._loop.call_soon_threadsafe(self._is_whole.clear)

    def heal(self) -> None:
        """Pass on again, what has been kept first."""
        self._loop.call_soon_threadsafe(self._is_whole.set)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._is_whole.wait()
            if server := await self._reach():
                await asyncio.gather(self._pump(reader, server[1]), self._pump(server[0], writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._turn += 1
        for number in range(len(self._ports)):
            port = self._ports[(self._turn + number) % len(self._ports)]
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._is_whole.wait()
                writer.write(data)
                await writer.drain()
        finally:
            # One side's end is the other's: neither HTTP nor PostgreSQL goes on half closed.
            writer.close()

"""Where arrivals are posted for the triggerer to read: all that waits for one connection's calls reads once.

It is an Airflow Variable, since that is what both the API server can write and a trigger can read without a
worker. It holds names of recipients and Runway task IDs, the newest last, and nothing that is secret.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_runway.triggers import arrivals

log = logging.getLogger(__name__)

#: How many arrivals are posted: more than come between two reads.
MOST = 1000

#: Seconds between two reads.
_PAUSE = 2.0


def key_of(conn_id: str) -> str:
    """
    Return the Variable's key.

    :param conn_id: The connection's ID.
    """
    return f"runway_callbacks_{conn_id}"


class Board:
    """
    What is posted for one connection, read for all that wait on one event loop.

    :param conn_id: The connection's ID.
    """

    def __init__(self, conn_id: str) -> None:
        self._key = key_of(conn_id)
        self._awaited: dict[str, asyncio.Future[str]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._failing = False

    async def wait_for(self, recipient: str, until: float) -> str | None:
        """
        Return the Runway task ID that arrives for a recipient, ``None`` where none does in time.

        :param recipient: The recipient's name.
        :param until: The time in epoch seconds.
        """
        future = self._awaited.setdefault(recipient, asyncio.get_running_loop().create_future())
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            return await asyncio.wait_for(asyncio.shield(future), max(0.0, until - time.time()))
        except asyncio.TimeoutError:
            return None
        finally:
            self._awaited.pop(recipient, None)

    async def _read(self) -> None:
        while self._awaited:
            posted = await self._posted()
            for recipient, future in self._awaited.items():
                found = arrivals.arrived(posted, recipient)
                if found is not None and not future.done():
                    future.set_result(found)
            await asyncio.sleep(_PAUSE)

    async def _posted(self) -> dict[str, Any]:
        from airflow_provider_runway.compat import Variable

        try:
            value = json.loads(await asyncio.to_thread(_value_of, Variable, self._key))
        except Exception as error:
            if not self._failing:
                log.warning("Arrived callbacks cannot be read from Variable %r: %s", self._key, error)
            self._failing = True
            return {}
        self._failing = False
        return value if isinstance(value, dict) else {}


def _value_of(variable: Any, key: str) -> str:
    return str(variable.get(key, default="{}"))


_BOARDS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Board]] = WeakKeyDictionary()


def board_of(conn_id: str) -> Board:
    """
    Return the board of a connection, one for all that run on this event loop.

    :param conn_id: The connection's ID.
    """
    boards = _BOARDS.setdefault(asyncio.get_running_loop(), {})
    return boards.setdefault(conn_id, Board(conn_id))

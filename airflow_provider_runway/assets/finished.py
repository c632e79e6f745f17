"""Events for videos that have ended, without callbacks: a task notes an ID, a watcher polls all of them.

The list is a folder with a small file for each Runway task. A watcher's trigger is made from the DAG file, so
what it watches must come from where a running task can write: a file of its own is written whole and at once,
however many tasks do so, outlives every restart, and is seen without a database. An Airflow Variable or the
asset's own store would be one value that tasks overwrite for each other, and the latter is there from 3.3 on
only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import TriggerEvent

from airflow_provider_runway.compat import BaseEventTrigger

if TYPE_CHECKING:
    from airflow_provider_runway.waiting.ending import WaitEnd

# What only a running task or trigger needs is imported there, so that a DAG file is parsed fast.

#: Seconds after an event in which its file stays: a triggerer that stops sooner may not have handed the event
#: on, and a second event for a paid video is better than none.
SETTLES_IN = 5.0

#: Seconds between two events: Airflow starts a run for what was there when the first was queued, and what
#: comes before it does so can be left to the next one.
APART = 3.0

#: Seconds until the next try where the connection, and not a video, is what is wrong.
_CONNECTION_PAUSE = 60.0

Found = TypeVar("Found")


@dataclass(frozen=True)
class Watched:
    """
    A Runway task that is watched, and who asked for that.

    :param runway_task_id: The Runway task ID.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param started_at: Since when, in epoch seconds.
    :param end_time: Until when, in epoch seconds.
    :param dag_id: The DAG of the task that asked.
    :param run_id: Its run.
    :param task_id: The task.
    :param map_index: Its map index.
    """

    runway_task_id: str
    model: str
    started_at: float
    end_time: float
    dag_id: str
    run_id: str
    task_id: str
    map_index: int


def watch_task(
    runway_task_id: str,
    *,
    path: str,
    context: Mapping[str, Any],
    model: str = "runway",
    timeout: float | timedelta = 3600.0,
) -> None:
    """
    Have a watcher fire an event when a Runway task ends. Call this in a task, after the submission.

    :param runway_task_id: The Runway task ID.
    :param path: The folder of the watcher's :class:`RunwayFinishedTrigger`.
    :param context: The Airflow context of the task, which will be named in the event.
    :param model: ``runway`` (generate, extend) or ``aleph``.
    :param timeout: Seconds, or a ``timedelta``, after which the watcher gives up, which is an event too.
    :raises RunwayValidationError: a value is invalid.
    """
    from airflow_provider_runway.api.answers import check_lookup
    from airflow_provider_runway.files.naming import safe_name
    from airflow_provider_runway.files.writing import store
    from airflow_provider_runway.waiting.arguments import seconds

    check_lookup(runway_task_id, model)
    ti: Any = context["ti"]
    now = time.time()
    watched = Watched(
        runway_task_id,
        model,
        started_at=now,
        end_time=now + (seconds("timeout", timeout) or 0.0),
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=ti.map_index,
    )
    store([json.dumps(asdict(watched)).encode()], f"{_folder(path)}/{safe_name(runway_task_id)}.json")


class RunwayFinishedTrigger(BaseEventTrigger):
    """
    Fire an event for each watched Runway task that ends: the trigger of an ``AssetWatcher`` (Airflow 3).

    All polls share one session, on the same schedule as any other wait. The event is plain data:
    ``runway_task_id``, ``model``, ``state``, ``video_url``, ``error`` (a string, ``None`` for success), and
    ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the task that called :func:`watch_task`.

    A file is removed once its event has been handed on; removing it earlier cancels the watch. So each ID
    fires once, however often the triggerer restarts. Only if it stops in the few seconds between the two is
    the event sent again, so the DAG that it starts should be idempotent. Events are 3 seconds apart, since
    Airflow can leave events that arrive sooner to the next run of the DAG.

    :param path: The folder of :func:`watch_task`, for this trigger only, shared by the workers and the
        triggerer: a local path or a URI for Airflow's ``ObjectStoragePath``.
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`.
    :param poll_interval: Seconds between two polls of a task, at least 1; ``None`` adapts to its kind.
    :param scan_interval: Seconds between two checks for new files, at least 1.
    """

    def __init__(
        self,
        path: str,
        runway_conn_id: str = "runway_default",
        poll_interval: float | None = None,
        scan_interval: float = 15.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.path = path
        self.runway_conn_id = runway_conn_id
        self.poll_interval = poll_interval
        self.scan_interval = scan_interval
        self._told: set[str] = set()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, by which Airflow tells one watcher from another."""
        return (
            "airflow_provider_runway.assets.finished.RunwayFinishedTrigger",
            {
                "path": self.path,
                "runway_conn_id": self.runway_conn_id,
                "poll_interval": self.poll_interval,
                "scan_interval": self.scan_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look after the folder for ever, and fire an event for each Runway task that ends."""
        waits: dict[str, asyncio.Task[dict[str, Any]]] = {}
        fired: dict[str, float] = {}
        last_event = -APART
        try:
            while True:
                await self._scan(waits, fired)
                next_scan = time.monotonic() + max(1.0, self.scan_interval)
                while (left := next_scan - time.monotonic()) > 0:
                    done = await _first_done(waits, left)
                    pause = last_event + APART - time.monotonic()
                    if done and pause > 0:
                        await asyncio.sleep(min(pause, left))
                    elif done:
                        last_event = fired[done[0]] = time.monotonic()
                        next_scan = min(next_scan, last_event + SETTLES_IN)
                        yield TriggerEvent(waits.pop(done[0]).result())
        finally:
            for wait in waits.values():
                wait.cancel()
            await asyncio.gather(*waits.values(), return_exceptions=True)

    async def _scan(self, waits: dict[str, asyncio.Task[dict[str, Any]]], fired: dict[str, float]) -> None:
        """Remove the files of events that have been handed on, begin to wait for new ones, drop old ones."""
        settled = [name for name, moment in fired.items() if moment + SETTLES_IN <= time.monotonic()]
        try:
            names = await _in_thread(lambda: _clear(self.path, settled))
            for name in settled:
                del fired[name]
            new = {name for name in names if name not in waits and name not in fired}
            found = await _in_thread(lambda: {name: _read(self.path, name) for name in new}) if new else {}
        except Exception as error:
            self._tell(f"The folder {self.path!r} cannot be read, still trying: {error!r}")
            return
        for name in waits.keys() - names:
            waits.pop(name).cancel()
        for name, watched in found.items():
            if watched is None:
                self._tell(f"{name!r} in {self.path!r} is no record of a Runway task, and is left alone.")
            else:
                waits[name] = asyncio.create_task(self._wait(watched))

    async def _wait(self, watched: Watched) -> dict[str, Any]:
        from airflow_provider_runway.exceptions import RunwayError
        from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
        from airflow_provider_runway.waiting.ending import WaitEnd

        while True:
            # It waits for one task, and shares the session with all that wait in this process.
            wait = RunwayTaskTrigger(
                watched.runway_task_id,
                self.runway_conn_id,
                watched.model,
                self.poll_interval,
                watched.end_time,
                watched.started_at,
            )
            try:
                end = await wait.wait()
                may_be_mended = _is_of_the_connection(end)
            except Exception as error:
                # One video is not to end the watch of all.
                end = WaitEnd(error=RunwayError(f"It cannot be polled: {error!r}"))
                may_be_mended = True
            left = watched.end_time - time.time()
            if not may_be_mended or left <= 0:
                return event_of(watched, end)
            self._tell(f"Connection {self.runway_conn_id!r} cannot be used, still trying: {end.error!r}")
            await asyncio.sleep(min(_CONNECTION_PAUSE, left))

    def _tell(self, what: str) -> None:
        """Warn, once for each thing that is to be said."""
        if what not in self._told:
            self._told.add(what)
            self.log.warning(what)


def event_of(watched: Watched, end: WaitEnd) -> dict[str, Any]:
    """
    Return what the event of a Runway task says.

    :param watched: The task.
    :param end: How the wait for it ended.
    """
    whose = ("runway_task_id", "model", "dag_id", "run_id", "task_id", "map_index")
    return {
        **{name: getattr(watched, name) for name in whose},
        "state": None if end.task is None else end.task.state.value,
        "video_url": None if end.error is not None or end.task is None else end.task.video_url,
        "error": None if end.error is None else str(end.error),
    }


def _is_of_the_connection(end: WaitEnd) -> bool:
    """Whether a wait ended for a reason that says nothing of the Runway task, and that a person can mend."""
    from airflow_provider_runway.exceptions import (
        RunwayAuthenticationError,
        RunwayConnectionNotFoundError,
        RunwayValidationError,
    )

    of_it = RunwayAuthenticationError | RunwayConnectionNotFoundError | RunwayValidationError
    return isinstance(end.error, of_it)


async def _first_done(waits: Mapping[str, asyncio.Task[dict[str, Any]]], timeout: float) -> list[str]:
    if not waits:
        await asyncio.sleep(timeout)
    else:
        await asyncio.wait(waits.values(), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    return [name for name, wait in waits.items() if wait.done()]


async def _in_thread(function: Callable[[], Found]) -> Found:
    from asgiref.sync import sync_to_async

    return await sync_to_async(function, thread_sensitive=False)()


def _folder(path: str) -> str:
    return path.rstrip("/")


def _clear(path: str, done: list[str]) -> set[str]:
    """Remove files, and return the names of those that are there."""
    from airflow_provider_runway.files.storage import reach
    from airflow_provider_runway.files.writing import remove

    for name in done:
        remove(f"{_folder(path)}/{name}")
    folder = reach(_folder(path))
    folder.fs.invalidate_cache()
    try:
        found = folder.fs.ls(folder.path, detail=False)
    except FileNotFoundError:
        # No task has written anything yet.
        return set()
    names = {str(name).rpartition("/")[2] for name in found}
    return {name for name in names if name.endswith(".json") and not name.startswith(".")}


def _read(path: str, name: str) -> Watched | None:
    """Return what a file says; ``None`` where it is none of ours."""
    from airflow_provider_runway.api.answers import check_lookup
    from airflow_provider_runway.files.storage import reach

    try:
        told = json.loads(reach(f"{_folder(path)}/{name}").read_text())
        watched = Watched(**{field.name: told[field.name] for field in fields(Watched)})
        check_lookup(watched.runway_task_id, watched.model)
    except (ValueError, TypeError, KeyError, FileNotFoundError):
        return None
    return watched

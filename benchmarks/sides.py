"""The sides that wait: each is a function that gives the coroutine of one wait, which ends with its event."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

from benchmarks.server import Task

#: Gives the coroutine of a wait for a task.
Side = Callable[[Task], Awaitable[Any]]

CONN_ID = "benchmark"


def make(name: str, *, host: str, scheme: str, authority: str | None, interval: float | None) -> Side:
    """
    Return a side, and define its Airflow connection.

    :param name: One of :data:`SIDES`.
    :param host: Host and port of the server.
    :param scheme: ``http`` or ``https``.
    :param authority: The file of the authority that vouches for the server's certificate.
    :param interval: Seconds between two polls; ``None`` is a schedule of its own, where a side has one.
    """
    return SIDES[name](host=host, scheme=scheme, authority=authority, interval=interval)


def _connect(**fields: Any) -> None:
    os.environ[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps(fields)


async def _first_event(trigger: Any) -> Any:
    # To its end, as the triggerer does: what is left half-way costs a task that closes it.
    events = [event async for event in trigger.run()]
    if not events:
        raise RuntimeError("the trigger ended without an event")
    return events[0]


def floor(
    *,
    host: str,
    scheme: str,
    authority: str | None,
    interval: float | None,
    kind: str | None = "generate-5s-720p",
) -> Side:
    """A bare loop over one shared aiohttp session: no Airflow, no checks, no errors handled.

    It polls when this package does: every ``interval`` seconds or, without one, at the moments of its default
    schedule, which are worked out before anything is measured.
    """
    import ssl

    import aiohttp

    url = f"{scheme}://{host}/api/v1/runway/record-detail"
    # The context and the limit of connections that this package has, too.
    context = ssl.create_default_context(cafile=authority)
    schedule = {} if interval else _default_schedule(kind)
    shared: list[aiohttp.ClientSession] = []

    async def wait(task: Task) -> Any:
        if not shared:
            shared.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50, ssl=context)))
        pauses = iter(schedule.get(round(10 * (task.ready_at - task.created_at)), ()))
        # From when a poll was due, not from its answer: else polls that once came together stay together, and
        # are the cheaper for it.
        due = time.monotonic() + (0.0 if interval else next(pauses, 0.0))
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            async with shared[0].get(url, params={"taskId": task.id}) as response:
                answer = json.loads(await response.read())
            if answer["data"]["state"] == "success":
                return answer
            due += interval or next(pauses, 2.0)

    return wait


def floor_sensor(**where: Any) -> Side:
    """The bare loop at the moments at which this package's sensor polls."""
    return floor(**where, kind=None)


def _default_schedule(kind: str | None) -> dict[int, list[float]]:
    """Return the pauses before each poll of a task, by the tenths of a second after which it is ready."""
    from airflow_provider_runway.api.tasks import RunwayTask, TaskState
    from airflow_provider_runway.waiting.poller import Poller
    from airflow_provider_runway.waiting.schedule import Durations

    durations, schedule = Durations(), {}
    lengths = list(range(1, 501))
    # What is learned comes from those that the benchmark asks for.
    random.Random(5).shuffle(lengths)
    for length in sorted(lengths, key=lambda tenths: not 300 <= tenths <= 450):
        ready_at = length / 10
        poller = Poller(
            runway_task_id="1",
            model="runway",
            end_time=1e9,
            started_at=0.0,
            kind=kind,
            durations=durations,
        )
        now, pauses, is_ready = 0.0, [], False
        while not is_ready:
            pauses.append(poller.next_delay(now))
            now += pauses[-1]
            is_ready = now >= ready_at
            created_at = datetime.fromtimestamp(0, timezone.utc)
            state = TaskState.SUCCESS if is_ready else TaskState.GENERATING
            video_url = "https://example.com/video.mp4" if is_ready else None
            task = RunwayTask("1", "runway", state, video_url=video_url, created_at=created_at)
            poller.on_task(task, now)
        schedule[length] = pauses
    return schedule


def ours(
    *,
    host: str,
    scheme: str,
    authority: str | None,
    interval: float | None,
    kind: str | None = "generate-5s-720p",
) -> Side:
    """This package's trigger; all of it is asked for at once, so without a cap on polls per second."""
    from airflow_provider_runway.triggers.runway import RunwayTaskTrigger

    extra = {"max_lookups_per_second": 0, **({"verify": authority} if authority else {})}
    _connect(
        conn_type="runway",
        host=f"{scheme}://{host}",
        password="0123456789abcdef0123456789abcdef",
        extra=extra,
    )

    async def wait(task: Task) -> Any:
        trigger = RunwayTaskTrigger(
            runway_task_id=task.id,
            runway_conn_id=CONN_ID,
            poll_interval=interval,
            started_at=task.created_at,
            end_time=time.time() + 3600,
            kind=kind,
        )
        event = await _first_event(trigger)
        if event.payload["status"] != "success":
            raise RuntimeError(f"no video: {event.payload}")
        return event

    return wait


def ours_sensor(**where: Any) -> Side:
    """This package's trigger as the sensor starts it: nobody knows what kind of task it is, or since when."""
    return ours(**where, kind=None)


def http_provider(*, host: str, scheme: str, authority: str | None, interval: float | None) -> Side:
    """``HttpEventTrigger`` of apache-airflow-providers-http."""
    from airflow.providers.http.triggers.http import HttpEventTrigger

    _connect(conn_type="http", host=f"{scheme}://{host}")

    async def wait(task: Task) -> Any:
        trigger = HttpEventTrigger(
            response_check_path="benchmarks.check.has_video",
            http_conn_id=CONN_ID,
            endpoint="api/v1/runway/record-detail",
            data={"taskId": task.id},
            poll_interval=interval or 5.0,
        )
        return await _first_event(trigger)

    return wait


def dbt_cloud(*, host: str, scheme: str, authority: str | None, interval: float | None) -> Side:
    """``DbtCloudRunJobTrigger`` of apache-airflow-providers-dbt-cloud, which always speaks HTTPS."""
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger  # type: ignore[import-not-found,unused-ignore]

    _connect(conn_type="dbt_cloud", host=host, login="1", password="token")

    async def wait(task: Task) -> Any:
        trigger = DbtCloudRunJobTrigger(
            conn_id=CONN_ID,
            run_id=int(task.id),
            end_time=time.time() + 3600,
            poll_interval=interval or 5.0,
            account_id=1,
        )
        event = await _first_event(trigger)
        if event.payload["status"] != "success":
            raise RuntimeError(f"no success: {event.payload}")
        return event

    return wait


SIDES: dict[str, Callable[..., Side]] = {
    "floor": floor,
    "floor_sensor": floor_sensor,
    "ours": ours,
    "ours_sensor": ours_sensor,
    "http": http_provider,
    "dbt": dbt_cloud,
}

"""The control endpoint under ``/_simulator``: faults, statistics, forced states, the clock."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from airflow_provider_runway.simulator.faults import Fault
from airflow_provider_runway.simulator.service import SERVICE

PREFIX = "/_simulator/"
_FORCE_FIELDS = {"state": str, "code": int, "message": str, "expired": bool, "without_url": bool}


def control_routes() -> list[web.RouteDef]:
    """Return the routes of the control endpoint; it wants no key."""
    return [
        web.get(PREFIX + "faults", _list_faults),
        web.post(PREFIX + "faults", _add_faults),
        web.delete(PREFIX + "faults", _clear_faults),
        web.get(PREFIX + "stats", _stats),
        web.post(PREFIX + "reset", _reset),
        web.post(PREFIX + "clock", _clock),
        web.post(PREFIX + "tasks/{task_id}", _force_task),
    ]


def _wrong(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        return None


async def _list_faults(request: web.Request) -> web.Response:
    return web.json_response({"faults": request.app[SERVICE].faults.to_json()})


async def _add_faults(request: web.Request) -> web.Response:
    body = await _body(request)
    try:
        faults = [Fault.from_json(data) for data in (body if isinstance(body, list) else [body])]
    except (ValueError, TypeError, RecursionError) as error:
        return _wrong(str(error))
    for fault in faults:
        request.app[SERVICE].faults.add(fault)
    return await _list_faults(request)


async def _clear_faults(request: web.Request) -> web.Response:
    request.app[SERVICE].faults.clear()
    return await _list_faults(request)


async def _stats(request: web.Request) -> web.Response:
    lists = request.query.get("lists", "true") != "false"
    return web.json_response(request.app[SERVICE].summary(lists=lists))


async def _reset(request: web.Request) -> web.Response:
    request.app[SERVICE].reset()
    return web.json_response({})


async def _clock(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    body = await _body(request)
    seconds: Any = body.get("advance") if isinstance(body, dict) else None
    try:
        service.account.advance(seconds)
    except ValueError as error:
        return _wrong(str(error))
    service.callbacks.wake()
    return web.json_response({"now": service.account.now()})


async def _force_task(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    task = service.account.tasks.get(request.match_info["task_id"])
    if task is None:
        return _wrong("no such task", 404)
    body = await _body(request)
    if not isinstance(body, dict) or "state" not in body:
        return _wrong('the body must be an object with a "state"')
    for name, value in body.items():
        if name not in _FORCE_FIELDS or not isinstance(value, _FORCE_FIELDS[name]):
            return _wrong(f"{name} is unknown or of the wrong type")
    try:
        service.account.force(task, **body)
    except ValueError as error:
        return _wrong(str(error))
    service.callbacks.expect(task)
    return web.json_response({"task_id": task.task_id, "state": task.state(service.account.now())})

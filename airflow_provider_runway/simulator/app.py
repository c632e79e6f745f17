"""The HTTP face: the routes of kie.ai, and the gate that every request passes first."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timezone

import aiohttp
from aiohttp import web

from airflow_provider_runway.simulator.answers import (
    aleph_record_info,
    envelope,
    record_detail,
    record_info,
    refusal,
)
from airflow_provider_runway.simulator.callbacks import CallbackSender
from airflow_provider_runway.simulator.control import PREFIX, control_routes
from airflow_provider_runway.simulator.faults import CALLBACK_KINDS, TASK_KINDS, Fault
from airflow_provider_runway.simulator.files import MET_FAULT, file_routes
from airflow_provider_runway.simulator.rules import (
    DEDICATED_PATHS,
    MARKET_PATH,
    Refused,
    read_json_object,
    read_submission,
)
from airflow_provider_runway.simulator.service import SERVICE, Service
from airflow_provider_runway.simulator.tasks import Task

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ODD_USER_AGENT = re.compile(r"\s*(Python-urllib/\S*)?\s*\Z", re.IGNORECASE)
_WRONG_KEY = "Unauthorized - Authentication failed. Please check your API key."
_GATEWAY_PAGE = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {reason}</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


def base_url(request: web.Request) -> str:
    """Return the simulator's address as this client sees it."""
    return f"{request.scheme}://{request.host}"


def build_app(service: Service) -> web.Application:
    """Return the web application around a service's state."""
    app = web.Application(middlewares=[_gate], client_max_size=1024**3)
    app[SERVICE] = service
    app.add_routes([web.post(path, _create) for path in (*DEDICATED_PATHS, MARKET_PATH)])
    app.add_routes(
        [
            web.get("/api/v1/runway/record-detail", _record_detail),
            web.get("/api/v1/aleph/record-info", _aleph_record_info),
            web.get("/api/v1/jobs/recordInfo", _record_info),
            web.get("/api/v1/chat/credit", _credit),
        ]
    )
    app.add_routes(file_routes())
    app.add_routes(control_routes())
    app.cleanup_ctx.append(_run_callbacks)
    return app


async def _run_callbacks(app: web.Application) -> AsyncIterator[None]:
    service = app[SERVICE]
    # However many ends fall together, none waits for another's receiver.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        service.callbacks = CallbackSender(service.account, service.settings, service.stats, session)
        running = asyncio.create_task(service.callbacks.run())
        yield
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@web.middleware
async def _gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith(PREFIX):
        return await handler(request)
    service = request.app[SERVICE]
    service.account.hosts.add(request.host)
    service.stats.arrived(request)
    fault = service.faults.take(request.method, request.path)
    MET_FAULT.set(fault)
    if fault is not None and fault.kind == "drop_before":
        return _drop(request)
    response: web.StreamResponse
    if fault is not None and fault.kind in ("http_error", "body_code", "html", "garbage"):
        if fault.carried_out:
            await _answer(request, handler)
        response = _faulty(fault)
    else:
        response = await _answer(request, handler)
        if fault is not None and fault.kind == "drop_after":
            return _drop(request)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
    service.stats.answered(request, response.status)
    _compress(request, response)
    return response


def _compress(request: web.Request, response: web.StreamResponse) -> None:
    """Answer in gzip where the client takes it, as kie.ai's edge does; files go as they are."""
    if not request.path.startswith("/api/") or "Content-Encoding" in response.headers:
        return
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)


def _drop(request: web.Request) -> web.StreamResponse:
    request.app[SERVICE].stats.answered(request, "dropped")
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _faulty(fault: Fault) -> web.Response:
    if fault.kind == "body_code":
        return web.json_response(envelope(None, fault.code, fault.msg or "error"))
    if fault.kind == "garbage":
        return web.Response(text='{"code":200,"msg":"success","da', content_type="application/json")
    response = web.Response(status=fault.status, headers=fault.headers)
    if fault.kind == "html":
        response.content_type = "text/html"
        response.text = _GATEWAY_PAGE.format(status=fault.status, reason=response.reason)
    elif isinstance(fault.body, str):
        response.text = fault.body
    else:
        error = web.json_response(envelope(None, fault.status, fault.msg or response.reason))
        response.content_type = "application/json"
        response.body = error.body
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/api/"):
        if _ODD_USER_AGENT.match(request.headers.get("User-Agent", "")):
            return web.Response(status=403, text="error code: 1010")
        if not _authorized(request):
            return web.json_response(refusal(401, _WRONG_KEY))
    elif "Authorization" in request.headers:
        # Results are public: a key that arrives here would have been handed to a foreign host.
        request.app[SERVICE].stats.violation("the API key was sent to a file's address", request)
    try:
        return await handler(request)
    except Refused as refused:
        return web.json_response(refusal(refused.code, refused.message))
    except web.HTTPException as error:
        if request.path.startswith("/api/"):
            return web.json_response(_springs(request, error), status=error.status)
        return web.json_response(envelope(None, error.status, error.reason), status=error.status)


def _springs(request: web.Request, error: web.HTTPException) -> dict[str, object]:
    """Return what the framework behind kie.ai says of a wrong path, without an envelope."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return {"timestamp": now, "status": error.status, "error": error.reason, "path": request.path}


def _key(request: web.Request) -> tuple[str, str]:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return scheme, key


def _owner(request: web.Request) -> str:
    """Return the name of the account that asks; no key is kept."""
    if not request.app[SERVICE].settings.separate_accounts:
        return ""
    return hashlib.sha256(_key(request)[1].encode(errors="replace")).hexdigest()[:12]


def _authorized(request: web.Request) -> bool:
    scheme, key = _key(request)
    accepted = request.app[SERVICE].settings.api_keys
    return scheme == "Bearer" and bool(key.strip()) and (not accepted or key in accepted)


async def _create(request: web.Request) -> web.StreamResponse:
    service = request.app[SERVICE]
    body = read_json_object(await request.read(), request.content_type)
    if not service.account.within_rate(_owner(request)):
        limited = envelope(None, 429, "The call frequency is too high, please try again later.")
        return web.json_response(limited, status=429)
    submission = read_submission(request.path, body)
    service.account.check_balance(submission, _owner(request))
    task = service.account.create(
        submission,
        path=request.path,
        body=body,
        base_url=base_url(request),
        fault=service.faults.take(request.method, request.path, TASK_KINDS),
        owner=_owner(request),
    )
    if submission.callback_url:
        await _disturb_callback(request, task)
    service.callbacks.expect(task)
    data = {"taskId": task.task_id}
    if submission.generation == "market":
        data["recordId"] = task.task_id
    return web.json_response(envelope(data))


async def _disturb_callback(request: web.Request, task: Task) -> None:
    """Give the callback of a task just created the trouble that is meant for it."""
    service = request.app[SERVICE]
    fault = service.faults.take(request.method, request.path, CALLBACK_KINDS)
    if fault is None:
        return
    service.account.disturb_callback(task, fault)
    if fault.kind == "callback_early":
        # Waited for, so that whoever is told knows of the task before its creator does.
        await service.callbacks.send_early(task)


def _asked_task(request: web.Request, generation: str, *kinds: str) -> Task | None:
    task_id = request.query.get("taskId")
    if not task_id:
        raise Refused(422, "taskId is required")
    return request.app[SERVICE].account.look_up(task_id, generation, kinds, _owner(request))


async def _record_detail(request: web.Request) -> web.Response:
    task = _asked_task(request, "dedicated", "generate", "extend")
    now = request.app[SERVICE].account.now()
    return web.json_response(envelope(record_detail(task, now, base_url(request)) if task else None))


async def _aleph_record_info(request: web.Request) -> web.Response:
    task = _asked_task(request, "dedicated", "aleph")
    now = request.app[SERVICE].account.now()
    return web.json_response(envelope(aleph_record_info(task, now, base_url(request)) if task else None))


async def _record_info(request: web.Request) -> web.Response:
    task = _asked_task(request, "market", "generate", "extend", "aleph")
    if task is None:
        raise Refused(422, "recordInfo is null")
    now = request.app[SERVICE].account.now()
    return web.json_response(envelope(record_info(task, now, base_url(request))))


async def _credit(request: web.Request) -> web.Response:
    return web.json_response(envelope(request.app[SERVICE].account.balance_of(_owner(request))))

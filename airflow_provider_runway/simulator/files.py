"""Uploads, download URLs and the result files."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import mimetypes
import random
import secrets
import shutil
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from airflow_provider_runway.simulator.answers import envelope
from airflow_provider_runway.simulator.faults import FILE_KINDS, Fault
from airflow_provider_runway.simulator.rules import Refused, read_json_object
from airflow_provider_runway.simulator.service import SERVICE

#: The fault that the request in hand has met.
MET_FAULT: ContextVar[Fault | None] = ContextVar("met_fault", default=None)
DOWNLOAD_SECONDS = 20 * 60
_UPLOAD_FIELDS = ("file", "uploadPath", "fileName")
_CHUNK = 256 * 1024
_SECRET = secrets.token_bytes(16)

#: Writes what a request sends to a path, and returns the request's fields with the file's own name, of which
#: only the ending counts.
Receive = Callable[[web.Request, Path], Awaitable[dict[str, str]]]


def file_routes() -> list[web.RouteDef]:
    """Return the routes that receive and serve files."""
    return [
        web.post("/api/file-stream-upload", _upload(_from_form)),
        web.post("/api/file-url-upload", _upload(_from_url)),
        web.post("/api/file-base64-upload", _upload(_from_base64)),
        web.post("/api/v1/common/download-url", _download_url),
        web.get("/files/{path:.+}", _serve_upload),
        web.get("/results/{name}", _serve_result),
    ]


def _upload(receive: Receive) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def upload(request: web.Request) -> web.Response:
        uploads = request.app[SERVICE].uploads
        received = uploads.target(f"partial/{secrets.token_hex(8)}")
        try:
            fields = await receive(request, received)
            file_name = fields.get("fileName") or _random_name(fields["file"])
            file_path = f"kieai/000000/{fields['uploadPath'].strip('/')}/{file_name}"
            try:
                target = uploads.target(file_path)
            except ValueError as error:
                raise Refused(400, str(error)) from None
            received.replace(target)
        except Refused as refused:
            return web.json_response({"success": False, "code": refused.code, "msg": refused.message})
        finally:
            received.unlink(missing_ok=True)
        uploads.arrived(target)
        now = datetime.fromtimestamp(request.app[SERVICE].account.now(), timezone.utc)
        data = {
            "success": True,
            "fileName": file_name,
            "filePath": file_path,
            "downloadUrl": f"{request.scheme}://{request.host}/files/{quote(file_path)}",
            "fileSize": target.stat().st_size,
            "mimeType": mimetypes.guess_type(file_name)[0] or "application/octet-stream",
            "uploadedAt": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return web.json_response({"success": True, **envelope(data, message="File uploaded successfully")})

    return upload


def _random_name(file_name: str) -> str:
    return f"{secrets.token_hex(12)}{Path(file_name).suffix}"


def _require(fields: dict[str, Any], *names: str) -> None:
    for name in names:
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise Refused(400, f"Missing required parameter: {name}")
    if not isinstance(fields.get("fileName", ""), str):
        raise Refused(400, "fileName must be a text")


async def _from_form(request: web.Request, received: Path) -> dict[str, str]:
    if request.content_type != "multipart/form-data":
        raise Refused(400, f"Content-Type must be multipart/form-data, got {request.content_type}")
    fields = await _read_form(request, received)
    _require(fields, "file", "uploadPath")
    return fields


async def _from_url(request: web.Request, received: Path) -> dict[str, str]:
    """Take a file from an address of the simulator's own, the only ones that it fetches from."""
    fields = read_json_object(await request.read(), request.content_type)
    _require(fields, "fileUrl", "uploadPath")
    service = request.app[SERVICE]
    path = service.account.own_path(fields["fileUrl"]) or ""
    source = service.uploads.find(path)
    task = service.account.task_of_result(path.removeprefix("/results/"))
    if source is None and task is not None:
        source = await service.results.path(task, path.removeprefix("/results/"))
    if source is None:
        raise Refused(400, "Failed to download file from URL")
    await asyncio.to_thread(shutil.copyfile, source, received)
    return {**fields, "file": Path(path).name}


async def _from_base64(request: web.Request, received: Path) -> dict[str, str]:
    fields = read_json_object(await request.read(), request.content_type)
    _require(fields, "base64Data", "uploadPath")
    # With or without the head of a data URL: `data:image/png;base64,`
    head, _, content = fields["base64Data"].rpartition(",")
    try:
        decoded = base64.b64decode(content, validate=True)
    except ValueError:
        raise Refused(400, "base64Data is not valid Base64") from None
    await asyncio.to_thread(received.write_bytes, decoded)
    ending = mimetypes.guess_extension(head.removeprefix("data:").partition(";")[0]) or ""
    return {**fields, "file": f"file{ending}"}


async def _read_form(request: web.Request, received: Path) -> dict[str, str]:
    """Return the form's fields, with the name of its file, whose content goes to ``received``."""
    fields: dict[str, str] = {}
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name not in _UPLOAD_FIELDS:
                raise Refused(400, f"{getattr(part, 'name', None)} is not a field of this request")
            if part.name != "file":
                fields[part.name] = await part.text()
                continue
            fields["file"] = Path(part.filename or "").name or "file"
            with await asyncio.to_thread(received.open, "wb") as stream:
                while chunk := await part.read_chunk(_CHUNK):
                    await asyncio.to_thread(stream.write, chunk)
    # What aiohttp raises for a missing boundary, broken headers, a wrong encoding and an early end.
    except (ValueError, LookupError, RuntimeError, HttpProcessingError):
        raise Refused(400, "The request body is not valid multipart/form-data") from None
    return fields


def _signature(name: str, expires: str) -> str:
    return hmac.new(_SECRET, f"{name}.{expires}".encode(errors="replace"), hashlib.sha256).hexdigest()


async def _download_url(request: web.Request) -> web.Response:
    account = request.app[SERVICE].account
    body = read_json_object(await request.read(), request.content_type)
    if body.keys() != {"url"}:
        raise Refused(422, "url is required, and nothing else")
    url: Any = body["url"]
    path = account.own_path(url) if isinstance(url, str) else None
    name = (path or "").removeprefix("/results/")
    if account.task_of_result(name) is None:
        raise Refused(422, "url is wrong")
    expires = str(int(account.now()) + DOWNLOAD_SECONDS)
    address = urlsplit(url)._replace(query=f"expires={expires}&signature={_signature(name, expires)}")
    return web.json_response(envelope(address.geturl()))


async def _serve_upload(request: web.Request) -> web.StreamResponse:
    path = request.app[SERVICE].uploads.find(f"/files/{request.match_info['path']}")
    if path is None:
        raise web.HTTPNotFound
    return await _serve(request, path)


async def _serve_result(request: web.Request) -> web.StreamResponse:
    service = request.app[SERVICE]
    name = request.match_info["name"]
    if "signature" in request.query:
        expires = request.query.get("expires", "")
        given = request.query["signature"].encode(errors="replace")
        genuine = hmac.compare_digest(given, _signature(name, expires).encode())
        if not genuine or service.account.now() >= float(expires):
            raise web.HTTPForbidden
    task = service.account.task_of_result(name)
    if task is None:
        raise web.HTTPNotFound
    return await _serve(request, await service.results.path(task, name))


async def _serve(request: web.Request, path: Path) -> web.StreamResponse:
    fault = MET_FAULT.get()
    if fault is None or fault.kind not in FILE_KINDS:
        # This refuses a range that cannot be served, too.
        return web.FileResponse(path, chunk_size=_CHUNK, headers={"Accept-Ranges": "bytes"})
    whole = await asyncio.to_thread(path.read_bytes)
    if fault.kind == "short_download":
        whole = whole[: len(whole) // 2]
    asked = range(len(whole)) if fault.kind == "no_range" else _asked_range(request, len(whole))
    if not asked:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{len(whole)}"})
    cut = _cut(fault, len(asked)) if fault.kind == "truncated_download" else None
    return await _serve_part(request, path, whole, asked, cut)


def _cut(fault: Fault, length: int) -> int:
    """Return after how many bytes of an answer the connection is cut."""
    if fault.at == "random":
        return random.randrange(length)
    return length // 2 if fault.at is None else min(int(fault.at), length)


def _asked_range(request: web.Request, total: int) -> range:
    """Return which of ``total`` bytes are asked for; none, where the range makes no sense."""
    try:
        return range(total)[request.http_range]
    except ValueError:
        return range(0)


async def _serve_part(
    request: web.Request, path: Path, whole: bytes, asked: range, cut: int | None
) -> web.StreamResponse:
    content, total = whole[asked.start : asked.stop], len(whole)
    response = web.StreamResponse(status=200 if len(content) == total else 206)
    response.content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    response.content_length = len(content)
    # As the answers that meet no fault have it.
    status = await asyncio.to_thread(path.stat)
    response.etag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{total}"
    await response.prepare(request)
    await response.write(content[:cut])
    if cut is None:
        await response.write_eof()
    elif request.transport is not None:
        request.transport.close()
    return response

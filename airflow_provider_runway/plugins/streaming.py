"""Answers with a file, or with the range of it that a player asks for, in constant memory."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from airflow_provider_runway.plugins.media import Opened

CHUNK_SIZE = 256 * 1024
#: How many files are read at the same moment: a slow storage must not take the threads of Airflow's own API.
_READERS = 8

_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")
_limiters: dict[Any, anyio.CapacityLimiter] = {}


async def answer(request: Request, open_file: Callable[[], Opened | None]) -> Response:
    """
    Return the answer to a request for a file.

    :param request: The request; its ``Range`` and ``If-Range`` are heeded.
    :param open_file: Opens the file, and returns ``None`` where there is none.
    :raises HTTPException: there is no such file (404), or it has no such range (416).
    """
    opened = await _in_thread(open_file)
    if opened is None:
        raise HTTPException(404, "There is no such file.")
    try:
        response = _answer(request, opened)
    except BaseException:
        await _in_thread(opened.stream.close)
        raise
    if not isinstance(response, _FileResponse):
        await _in_thread(opened.stream.close)
    return response


def _answer(request: Request, opened: Opened) -> Response:
    etag = f'"{opened.version}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        # Compression in front of a range would make another file of it.
        "Content-Encoding": "identity",
        "Content-Disposition": "inline",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range", "")
    if asked and request.headers.get("if-range", etag) != etag:
        asked = ""
    status, begin, end = 200, 0, opened.size
    found = _range(asked, opened.size)
    if found is not None:
        begin, end = found
        if begin >= end:
            raise HTTPException(
                416, "There is no such range.", headers={"Content-Range": f"bytes */{opened.size}"}
            )
        status = 206
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{opened.size}"
    headers["Content-Length"] = str(end - begin)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=opened.media_type)
    return _FileResponse(opened, begin, end, status, headers)


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last; ``None`` for several ranges, or an unreadable one."""
    match = _RANGE.match(asked.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    begin = int(match[1])
    end = int(match[2]) if match[2] else size
    if match[2] and end < begin:
        return None
    return begin, min(size, end + 1) if match[2] else size


class _FileResponse(StreamingResponse):
    """Closes its file, however the answer ends."""

    def __init__(self, opened: Opened, begin: int, end: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(
            _chunks(opened, begin, end), status_code=status, headers=headers, media_type=opened.media_type
        )
        self._opened = opened

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await _in_thread(self._opened.stream.close)


async def _chunks(opened: Opened, begin: int, end: int) -> AsyncIterator[bytes]:
    await _in_thread(partial(opened.stream.seek, begin))
    left = end - begin
    while left:
        chunk = await _in_thread(partial(opened.stream.read, min(CHUNK_SIZE, left)))
        if not chunk:
            # It has become shorter since: the connection breaks, which a player understands.
            raise OSError("the file ended too soon")
        left -= len(chunk)
        yield chunk


async def _in_thread(function: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(function, limiter=_limiter())


def _limiter() -> anyio.CapacityLimiter:
    import asyncio

    loop = asyncio.get_running_loop()
    if loop not in _limiters:
        _limiters.clear()
        _limiters[loop] = anyio.CapacityLimiter(_READERS)
    return _limiters[loop]

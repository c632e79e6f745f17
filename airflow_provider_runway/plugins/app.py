"""The app behind the tabs. Each route says which DAG it is about, and asks Airflow whether one may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from airflow_provider_runway.plugins import media, showing, streaming
from airflow_provider_runway.plugins.reading import Instance, RunReader

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]

PAGES = Path(__file__).with_name("pages")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST_VIDEOS = 100
_LARGEST_INDEX = 2**31 - 1

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: https:{also}; media-src 'self' https:{also}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
#: Where Airflow runs on one's own machine, a simulated kie.ai does, too.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ON_LOOPBACK = " http://localhost:* http://127.0.0.1:*"


def make_app() -> AsgiApp:
    """Return the app, which Airflow mounts without any check of who asks."""
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        default_response_class=JSONResponse,
        dependencies=[
            Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
            Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
            Depends(_one_dag),
        ],
    )
    # The parameter must be called dag_id: by any other name, Airflow checks whether one may list DAGs.
    for path, endpoint, methods in (
        ("video", _video_page, ["GET"]),
        ("gallery", _gallery_page, ["GET"]),
        ("static/{name}", _static, ["GET"]),
        ("data/video", _video, ["GET"]),
        ("data/gallery", _gallery, ["GET"]),
        ("file", _file, ["GET", "HEAD"]),
        ("poster", _poster, ["GET", "HEAD"]),
    ):
        app.add_api_route(f"/dags/{{dag_id}}/{path}", endpoint, methods=methods, response_model=None)
    return _Guarded(app)


class _Guarded:
    """Adds to every answer, errors included, what a browser may do with it."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
    ) -> None:
        if scope["type"] != "http":
            return
        also = _ON_LOOPBACK if Request(scope).url.hostname in _LOOPBACK else ""
        added = {**_HEADERS, "Content-Security-Policy": _POLICY.format(also=also)}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name.lower().encode(), value.encode()) for name, value in added.items()]
                names = {name.lower() for name, _ in message.get("headers", ())}
                if b"cache-control" not in names:
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _one_dag(dag_id: str) -> None:
    # Airflow takes it for all DAGs.
    if dag_id == "~":
        raise HTTPException(404, "There is no such DAG.")


def _video_page(dag_id: str) -> Response:
    return _packaged("video.html")


def _gallery_page(dag_id: str) -> Response:
    return _packaged("gallery.html")


def _static(dag_id: str, name: str) -> Response:
    # A name of a file that is packaged, so none that leads elsewhere.
    if name.endswith(".html") or name not in {path.name for path in PAGES.iterdir()}:
        raise HTTPException(404, "There is no such file.")
    return _packaged(name)


def _packaged(name: str) -> Response:
    file = PAGES / name
    if file.suffix not in _TYPES:
        raise HTTPException(404, "There is no such file.")
    return Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers={"Cache-Control": "no-cache"})


def _map_index(map_index: str = "-1") -> int:
    # Airflow's UI leaves the placeholder in place where a task is not mapped.
    if map_index in ("", "{MAP_INDEX}"):
        return -1
    try:
        found = int(map_index)
    except ValueError:
        found = -2
    if not -1 <= found <= _LARGEST_INDEX:
        raise HTTPException(404, "There is no such task instance.")
    return found


def _no_nul(text: str) -> str:
    # A database refuses it with an error.
    if "\0" in text:
        raise HTTPException(404, "There is no such run.")
    return text


def _run_id(dag_id: str, run_id: str) -> str:
    _no_nul(dag_id)
    return _no_nul(run_id)


RunId = Annotated[str, Depends(_run_id)]
MapIndex = Annotated[int, Depends(_map_index)]


@contextmanager
def _run(dag_id: str, run_id: str) -> Iterator[tuple[RunReader, str]]:
    with create_session(scoped=False) as session:
        reader = RunReader(session, dag_id, run_id)
        state = reader.state()
        if state is None:
            raise HTTPException(404, "There is no such run.")
        yield reader, state


def _instance(reader: RunReader, task_id: str, map_index: int) -> Instance:
    instance = reader.instance(_no_nul(task_id), map_index)
    if instance is None:
        raise HTTPException(404, "There is no such task instance.")
    return instance


def _video(dag_id: str, run_id: RunId, task_id: str, map_index: MapIndex) -> JSONResponse:
    with _run(dag_id, run_id) as (reader, state):
        return JSONResponse(showing.one_video(reader, _instance(reader, task_id, map_index), state))


def _gallery(
    dag_id: str, run_id: RunId, offset: Annotated[int, Query()] = 0, limit: Annotated[int, Query()] = 24
) -> JSONResponse:
    with _run(dag_id, run_id) as (reader, state):
        found = showing.gallery(reader, state, offset=max(0, offset), limit=min(max(1, limit), _MOST_VIDEOS))
        return JSONResponse(found)


def _stored_at(dag_id: str, run_id: RunId, task_id: str, map_index: MapIndex) -> Any:
    with _run(dag_id, run_id) as (reader, _):
        return _instance(reader, task_id, map_index).xcoms.get("path")


StoredAt = Annotated[Any, Depends(_stored_at)]


# What touches a disk does so in threads of its own: one that hangs must not hold up Airflow's API.
async def _file(dag_id: str, request: Request, path: StoredAt) -> Response:
    return await streaming.answer(request, partial(media.open_video, path))


async def _poster(dag_id: str, request: Request, path: StoredAt) -> Response:
    return await streaming.answer(request, partial(media.open_picture, path))

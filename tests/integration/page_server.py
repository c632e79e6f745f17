"""What the tests of the pages ask instead of Airflow: the pages below a prefix, and answers of a test's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

import airflow_provider_runway

PACKAGE = Path(airflow_provider_runway.__file__).parent
PAGES = PACKAGE / "plugins" / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https:; "
    "media-src 'self' https:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
# A page with a frame, a theme, and a router that keeps the frame.
AIRFLOW = """<!doctype html>
<html class="dark" style="--chakra-colors-bg: rgb(1, 2, 3)">
<base href="/team/">
<style>body {margin: 0} iframe {width: 100%; height: 95vh}</style>
<script>
function show() {
    const [, task] = /tasks\\/(\\w+)/.exec(location.pathname) ?? [];
    const page = task ? `video?run_id=R&task_id=${task}&map_index={MAP_INDEX}` : "gallery?run_id=R";
    document.querySelector("iframe").src = `runway/dags/night/${page}`;
}
addEventListener("popstate", show);
</script>
<body><iframe sandbox="allow-scripts allow-same-origin allow-forms"></iframe><script>show()</script>
"""


class Server:
    """Serves the pages as Airflow does, below a prefix, and what a test puts into its attributes.

    :ivar video: what is known of the one video, or an HTTP status, or ``None`` to break the connection
    :ivar videos: the entries of the gallery, or likewise
    :ivar asked: the queries that the data routes got
    """

    def __init__(self) -> None:
        self.video: Any = {}
        self.videos: Any = []
        self.live = False
        self.asked: list[dict[str, str]] = []
        self.posters = True
        self.copies = True

    async def __aenter__(self) -> Server:
        base = "/team/runway/dags/{dag_id}"
        app = web.Application()
        app.router.add_get(base + "/{page:video|gallery}", self._page)
        app.router.add_get(base + "/static/{name}", self._static)
        app.router.add_get(base + "/data/video", self._data)
        app.router.add_get(base + "/data/gallery", self._data)
        app.router.add_get(base + "/file", self._clip)
        app.router.add_get(base + "/poster", self._poster)
        app.router.add_get("/team/{path:.*}", self._airflow)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.airflow = f"http://127.0.0.1:{port}/team/"
        self.url = f"{self.airflow}runway/dags/night/"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        text = (PAGES / f"{request.match_info['page']}.html").read_text()
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGES / request.match_info["name"])

    async def _data(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        answer = self.video if request.path.endswith("video") else self.videos
        if answer is None:
            assert request.transport
            request.transport.close()
            return web.Response()
        if isinstance(answer, tuple):
            status, detail = answer
            return web.json_response({"detail": detail}, status=status)
        if isinstance(answer, list):
            offset, limit = int(query["offset"]), int(query["limit"])
            states = ("made", "waiting", "failed", "unknown")
            counts = {state: sum(one["state"] == state for one in answer) for state in states}
            answer = {
                "dag_id": "night",
                "run_id": query["run_id"],
                "total": len(answer),
                "counts": counts,
                "credits": 12 * counts["made"] or None,
                "live": self.live,
                "offset": offset,
                "limit": limit,
                "videos": answer[offset : offset + limit],
            }
        return web.json_response(answer)

    async def _clip(self, request: web.Request) -> web.StreamResponse:
        if "copy" in request.query and not self.copies:
            return web.Response(status=404)
        return web.FileResponse(PACKAGE / "simulator" / "clip.mp4")

    async def _poster(self, request: web.Request) -> web.StreamResponse:
        if "vendor" not in request.query and not self.posters:
            return web.Response(status=404)
        return web.FileResponse(PACKAGE / "simulator" / "clip.jpg")

    async def _airflow(self, request: web.Request) -> web.StreamResponse:
        """What stands for Airflow: a frame, a theme, and a router that keeps the frame."""
        return web.Response(text=AIRFLOW, content_type="text/html")

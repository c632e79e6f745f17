"""The plugin: tabs in Airflow's UI, the app behind them, and links. Each process of Airflow imports it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import HAS_TABS, AirflowPlugin, conf
from airflow_provider_runway.links.addresses import GALLERY_TAB, VIDEO_TAB
from airflow_provider_runway.links.runway import RunwayLogsLink, RunwayVideoLink

if TYPE_CHECKING:
    from airflow_provider_runway.plugins.app import AsgiApp

#: Where the app is, below Airflow's base URL.
URL_PREFIX = "/runway"

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' "
    "stroke='{colour}' stroke-width='2' stroke-linejoin='round'%3E%3Crect x='3' y='5' width='18' height='14' "
    "rx='2.5'/%3E%3Cpath d='M10 9.2v5.6l4.8-2.8z'/%3E%3C/svg%3E"
)
_ICONS = {"icon": _ICON.format(colour="%2352525b"), "icon_dark_mode": _ICON.format(colour="%23a1a1aa")}


class LazyApp:
    """The app as Airflow mounts it: made at its first request, for most processes serve none."""

    def __init__(self) -> None:
        self._app: AsgiApp | None = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if self._app is None:
            from airflow_provider_runway.plugins.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


def _tabs() -> list[dict[str, Any]]:
    tabs = []
    # Without a slash in front, a path resolves against Airflow's base URL, whatever its prefix is.
    if conf.getboolean("runway", "video_tab", fallback=True):
        tabs.append(
            {
                "name": "Video",
                "destination": "task_instance",
                "url_route": VIDEO_TAB,
                "href": "runway/dags/{DAG_ID}/video?run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
                **_ICONS,
            }
        )
    if conf.getboolean("runway", "gallery_tab", fallback=True):
        tabs.append(
            {
                "name": "Videos",
                "destination": "dag_run",
                "url_route": GALLERY_TAB,
                "href": "runway/dags/{DAG_ID}/gallery?run_id={RUN_ID}",
                **_ICONS,
            }
        )
    return tabs


class RunwayPlugin(AirflowPlugin):
    """What the package adds to Airflow's UI; where Airflow has no tabs, links only."""

    name = "runway"
    external_views = _tabs() if HAS_TABS else []
    fastapi_apps = [{"app": LazyApp(), "url_prefix": URL_PREFIX, "name": "Runway"}] if external_views else []
    operator_extra_links = [RunwayLogsLink(), RunwayVideoLink()]

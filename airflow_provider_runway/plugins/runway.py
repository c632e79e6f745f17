"""The plugin: tabs in Airflow's UI, the app behind them, and links. Each process of Airflow imports it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import HAS_TABS, AirflowPlugin
from airflow_provider_runway.links.addresses import GALLERY_TAB, VIDEO_TAB, has_tab
from airflow_provider_runway.links.runway import RunwayLogsLink, RunwayVideoLink
from airflow_provider_runway.submissions.tokens import PREFIX

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
    """
    An app as Airflow mounts it: made at its first request, for most processes serve none.

    :param make: Makes it.
    """

    def __init__(self, make: Callable[[], AsgiApp]) -> None:
        self._make = make
        self._app: AsgiApp | None = None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if self._app is None:
            self._app = self._make()
        await self._app(scope, receive, send)


def _pages() -> AsgiApp:
    from airflow_provider_runway.plugins.app import make_app

    return make_app()


def _receiver() -> AsgiApp:
    from airflow_provider_runway.plugins.receiver import Receiver

    return Receiver()


def _apps() -> list[dict[str, Any]]:
    if not HAS_TABS:
        return []
    # Whoever has an address may call; the pages ask Airflow who asks.
    apps = [{"app": LazyApp(_receiver), "url_prefix": PREFIX, "name": "Runway callbacks"}]
    if _TABS:
        apps.append({"app": LazyApp(_pages), "url_prefix": URL_PREFIX, "name": "Runway"})
    return apps


def _tabs() -> list[dict[str, Any]]:
    tabs = []
    # Without a slash in front, a path resolves against Airflow's base URL, whatever its prefix is.
    if has_tab("video_tab"):
        tabs.append(
            {
                "name": "Video",
                "destination": "task_instance",
                "url_route": VIDEO_TAB,
                "href": "runway/dags/{DAG_ID}/video?run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
                **_ICONS,
            }
        )
    if has_tab("gallery_tab"):
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


_TABS = _tabs() if HAS_TABS else []


class RunwayPlugin(AirflowPlugin):
    """What the package adds to Airflow's UI; where Airflow has no tabs, links only."""

    name = "runway"
    external_views = _TABS
    fastapi_apps = _apps()
    operator_extra_links = [RunwayLogsLink(), RunwayVideoLink()]

"""A person who looks at videos in Airflow's UI: for the system tests, and to take the docs' pictures."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from airflow_provider_runway.get_provider_info import get_provider_info
from tests.harness.browser import Browser
from tests.harness.local_airflow import LocalAirflow

(CONNECTION_TYPE,) = get_provider_info()["connection-types"]
DIALOG = "document.querySelector('[role=dialog]')"
#: The document of the tab that is open.
FRAME = "document.querySelector('iframe')?.contentDocument"


class Visitor:
    """A person with a browser, in one Airflow.

    :param browser: theirs
    :param airflow: where they look
    """

    def __init__(self, browser: Browser, airflow: LocalAirflow) -> None:
        self.browser = browser
        self.airflow = airflow

    async def log_in(self, name: str, password: str) -> None:
        """Go to Airflow for the first time, which asks who is there."""
        await self.browser.open(self.airflow.url)
        await self.browser.write("input[name=username]", name)
        await self.browser.write("input[name=password]", password)
        await self.browser.press("Enter")
        # What is opened sooner would lose against the way from the form to Airflow.
        await self.browser.wait_for("location.pathname === '/' && !!document.querySelector('nav, a[href]')")

    async def open_gallery(self, dag_id: str, run_id: str) -> None:
        """Open a run by its address and click its tab "Videos"."""
        await self.browser.open(f"{self.airflow.url}/dags/{quote(dag_id)}/runs/{quote(run_id)}")
        await self.browser.click("Videos", among="a")
        await self.wait_for_page()

    async def open_video(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Open a task instance by its address and click its tab "Video"."""
        path = f"/dags/{quote(dag_id)}/runs/{quote(run_id)}/tasks/{quote(task_id)}"
        await self.browser.open(self.airflow.url + path)
        await self.browser.click("Video", among="a")
        await self.wait_for_page()

    async def open_graph(self, dag_id: str, run_id: str) -> None:
        """Open a run by its address, with its tasks as a graph."""
        address = f"{self.airflow.url}/dags/{quote(dag_id)}/runs/{quote(run_id)}"
        await self.browser.open(address)
        await self.browser.wait_for("location.pathname.includes('/runs/')")
        await self.browser.evaluate("localStorage.setItem('default_dag_view', '\"graph\"')")
        await self.browser.open("about:blank")
        await self.browser.open(address)
        await self.browser.wait_for("!!document.querySelector('.react-flow__node')")
        # Room for the graph: without what is beside it.
        collapse = "document.querySelector('[aria-label=\"Collapse Details Panel\"]')"
        await self.browser.evaluate(f"{collapse}?.click()")
        await self.browser.wait_for(f"!{collapse}")

    async def fit_graph(self) -> None:
        """Let the graph fill its place."""
        await self.browser.evaluate("document.querySelector('.react-flow__controls-fitview').click()")

    async def open_connection_form(self, conn_id: str) -> None:
        """Begin a new connection of our type in its form."""
        name = CONNECTION_TYPE["hook-name"]
        await self.browser.open(f"{self.airflow.url}/connections")
        await self.browser.click("Add Connection")
        await self.browser.write("[role=dialog] input[name=connection_id]", conn_id)
        await self.browser.write("[role=dialog] input[role=combobox]", name)
        await self.browser.wait_for(f"{DIALOG}.innerText.includes({name!r})")
        await self.browser.press("Enter")
        await self.browser.wait_for(f"{DIALOG}.innerText.includes('API key')")

    async def show_extras(self) -> None:
        """Open the part of the form that has our own fields."""
        await self.browser.click("Extra Fields")
        first, *_ = CONNECTION_TYPE["conn-fields"].values()
        await self.browser.wait_for(f"{DIALOG}.innerText.includes({first['label']!r})")

    async def wait_for_page(self) -> None:
        """Wait until the tab shows what it knows."""
        await self.in_page("page.querySelector('main')?.getAttribute('aria-busy') === 'false'")

    async def in_page(self, script: str, *, timeout: float = 60) -> Any:
        """Wait until an expression is true of ``page``, the document of the tab, and return its value."""
        return await self.browser.wait_for(f"(page => page && ({script}))({FRAME})", timeout=timeout)

    async def text(self) -> str:
        """Return what the tab says."""
        return str(await self.browser.evaluate(f"{FRAME}.body.innerText"))

    async def follow(self, selector: str) -> None:
        """Click a link of the tab, which leads to another page of Airflow, and wait for that."""
        click = "link => link && (page.leaving = true, link.click(), true)"
        await self.in_page(f"({click})(page.querySelector({json.dumps(selector)}))")
        await self.in_page("!page.leaving")
        await self.wait_for_page()

    async def switch_to_dark(self) -> None:
        """Choose the dark mode in Airflow's menu."""
        await self.browser.click("User")
        await self.browser.click("Appearance", among="[role=menuitem]")
        await self.browser.click("Dark Mode", among="[role=menuitem], [role=menuitemradio]")
        await self.browser.wait_for("document.documentElement.classList.contains('dark')")

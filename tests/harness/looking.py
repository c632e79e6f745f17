"""A person who looks at videos in Airflow's UI: for the system tests, and to take the docs' pictures."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.harness.browser import Browser
from tests.harness.local_airflow import LocalAirflow

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

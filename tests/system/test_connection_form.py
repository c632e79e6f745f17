"""The connection form as a person sees it in Airflow's UI, in headless Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.harness.airflow_api import AirflowApi
from tests.harness.browser import CHROMIUM, Browser
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.looking import CONNECTION_TYPE, DIALOG, Visitor

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


async def see_the_form(browser: Browser, airflow: LocalAirflow) -> None:
    visitor = Visitor(browser, airflow)
    await visitor.open_connection_form("looked_at")
    shown = await browser.evaluate(f"{DIALOG}.innerText")
    assert "Base URL" in shown
    for label in ("Password", "Host", "Schema", "Login", "Port"):
        assert label not in shown.splitlines()
    fields = await browser.evaluate(
        f"Object.fromEntries([...{DIALOG}.querySelectorAll('input')]"
        ".map(input => [input.name, [input.type, input.placeholder]]))"
    )
    placeholders = CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]
    assert fields["password"] == ["password", placeholders["password"]]
    assert fields["host"][1] == placeholders["host"]

    await visitor.show_extras()
    shown = await browser.evaluate(f"{DIALOG}.innerText")
    for field in CONNECTION_TYPE["conn-fields"].values():
        assert field["label"] in shown
        assert field["description"] in shown


async def save_a_connection(browser: Browser, airflow: LocalAirflow, url: str) -> None:
    await Visitor(browser, airflow).open_connection_form("from_the_form")
    await browser.write("[role=dialog] input[name=host]", url)
    await browser.write("[role=dialog] input[name=password]", "any-key")
    await browser.click("Save")
    await browser.wait_for(f"!{DIALOG}")


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[..., None]:
    """A function that runs a story with a browser of its own."""

    def run(story: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        async def told() -> None:
            async with Browser(tmp_path / "profile") as browser:
                await story(browser, *arguments)

        asyncio.run(told())

    return run


def test_the_form_shows_what_is_needed_and_hides_the_rest(
    in_browser: Callable[..., None], airflow: LocalAirflow
) -> None:
    in_browser(see_the_form, airflow)


def test_a_connection_saved_from_the_form_works(
    in_browser: Callable[..., None], airflow: LocalAirflow, simulator: LocalSimulator
) -> None:
    in_browser(save_a_connection, airflow, simulator.url)
    api: AirflowApi = airflow.api
    saved = api.request("GET", "/connections/from_the_form")
    assert (saved["conn_type"], saved["host"], saved["password"]) == ("runway", simulator.url, "***")
    # What Airflow's UI sends for "Test", but for the port: 3.3.1 and 3.3.2 refuse their own UI's `0`.
    body = {name: saved[name] for name in ("connection_id", "conn_type", "host", "password", "extra")}
    tested = api.request("POST", "/connections/test", json=body)
    assert tested["status"] is True, tested
    assert tested["message"].startswith("The API key works: ")

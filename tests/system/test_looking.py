"""The videos of a run as a person sees them in Airflow's UI, in Chromium; for Airflow 3.1, 3.2 and 3.3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.browser import CHROMIUM, Browser
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.looking import FRAME, Visitor
from tests.harness.processes import REPOSITORY

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

SPEED = 10
LOGIN = ("ada", "a-password-of-a-test")
PROMPTS = ["A snail", "A tram [moderated]", "<b>A kite</b>"]


@dataclass(frozen=True)
class Runs:
    """An Airflow in which videos were made.

    :param batch: run ID of ``mapped_batch``
    :param story: run ID of ``complete_story``
    """

    airflow: LocalAirflow
    batch: str
    story: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """An Airflow that wants a login, with a run of two examples; it may read the folder of the videos."""
    videos = tmp_path_factory.mktemp("videos")
    options = ["--speed", str(SPEED), "--no-render"]
    with LocalSimulator(tmp_path_factory.mktemp("simulator"), options=options) as simulator:
        connection = simulator.connection
        connection["extra"] |= {"speed": SPEED}
        with LocalAirflow(
            tmp_path_factory.mktemp("airflow"),
            dags_folder=REPOSITORY / "example_dags",
            connections={"runway_default": connection},
            config={"AIRFLOW__RUNWAY__VIDEO_ROOTS": str(videos)},
            login=LOGIN,
        ) as airflow:
            folder = {"folder": str(videos)}
            batch = airflow.api.trigger_dag("mapped_batch", {**folder, "prompts": PROMPTS})
            story = airflow.api.trigger_dag("complete_story", folder)
            assert airflow.api.wait_for_run("mapped_batch", batch, timeout=400) == "failed"
            assert airflow.api.wait_for_run("complete_story", story, timeout=400) == "success"
            yield Runs(airflow, batch, story)


@pytest.fixture
def visit(tmp_path: Path, runs: Runs) -> Callable[..., None]:
    """A function that lets a person, logged in, live a story."""

    def run(story: Callable[..., Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            async with Browser(tmp_path / "profile") as browser:
                await browser.set_window(1300, 900)
                visitor = Visitor(browser, runs.airflow)
                await visitor.log_in(*LOGIN)
                await story(visitor)

        asyncio.run(told())

    return run


def test_a_person_finds_the_videos_of_a_run_and_plays_one(visit: Callable[..., None], runs: Runs) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.open_gallery("mapped_batch", runs.batch)
        said = await visitor.text()
        for words in ("3 Videos", "2 Made", "1 Failed", "A snail", "moderat", "<b>A kite</b>"):
            assert words in said
        # A whole run is looked through without a reload of Airflow.
        await visitor.browser.evaluate("window.same = true")
        await visitor.follow(".card")
        assert await visitor.browser.evaluate("window.same")
        path = await visitor.browser.evaluate("location.pathname")
        assert path.endswith("/mapped/0/plugin/runway-video")
        said = await visitor.text()
        for words in ("A snail", "Made", "5 s", "720p", "16:9", ".mp4"):
            assert words in said

        await visitor.in_page("page.querySelector('video')?.readyState > 0")
        await visitor.browser.evaluate(f"{FRAME}.querySelector('video').focus()")
        await visitor.browser.press(" ")
        await visitor.in_page("page.querySelector('video').currentTime > 0.3")
        # It is the stored copy.
        source = await visitor.browser.evaluate(f"{FRAME}.querySelector('video').currentSrc")
        assert source.startswith(f"{visitor.airflow.url}/runway/dags/mapped_batch/file?")

        await visitor.switch_to_dark()
        await visitor.in_page("page.documentElement.classList.contains('dark')")
        inside = await visitor.browser.evaluate(f"getComputedStyle({FRAME}.body).backgroundColor")
        around = "getComputedStyle(document.documentElement).getPropertyValue('--chakra-colors-bg')"
        assert inside == (await visitor.browser.evaluate(around)).strip()

    visit(story)


def test_the_family_of_a_video_is_a_row_of_steps(visit: Callable[..., None], runs: Runs) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.open_video("complete_story", runs.story, "generate")
        steps = "[...page.querySelectorAll('.step')].map(step => step.innerText.split('\\n')[1])"
        family = await visitor.in_page(steps)
        assert family == ["generate", "extend", "restyle"]
        await visitor.follow("li:nth-of-type(3) .step")
        assert (await visitor.browser.evaluate("location.pathname")).endswith(
            "/tasks/extend/plugin/runway-video"
        )
        assert await visitor.in_page("page.querySelector('[aria-current]').innerText.includes('extend')")

    visit(story)


def test_a_task_that_only_waits_or_stores_shows_the_same_video(
    visit: Callable[..., None], runs: Runs
) -> None:
    async def story(visitor: Visitor) -> None:
        for task_id in ("wait_for_generated", "download_generated"):
            await visitor.open_video("complete_story", runs.story, task_id)
            await visitor.in_page("page.querySelector('video')?.readyState > 0")

    visit(story)


def test_on_a_foreign_task_there_is_one_quiet_sentence(visit: Callable[..., None], runs: Runs) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.open_video("mapped_batch", runs.batch, "list_prompts")
        assert "This task made no Runway video." in await visitor.text()

    visit(story)


def test_a_failure_says_its_reason(visit: Callable[..., None], runs: Runs) -> None:
    async def story(visitor: Visitor) -> None:
        await visitor.open_gallery("mapped_batch", runs.batch)
        await visitor.follow("li:nth-child(2) .card")
        said = await visitor.text()
        assert "Failed" in said
        assert "RunwayTaskRejectedError" in said
        assert "errors.html#runwaytaskrejectederror" in said

    visit(story)

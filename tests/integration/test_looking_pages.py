"""What a person sees and can do on the pages of videos, in Chromium, whatever the server answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.harness.browser import CHROMIUM, Browser
from tests.integration.page_server import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

# Whatever a page does after some seconds, it does after a twentieth of them; and its troubles are kept.
PREPARE = """
for (const name of ["setTimeout", "setInterval"]) {
    const real = window[name];
    window[name] = (call, pause, ...rest) => real(call, (pause ?? 0) / 20, ...rest);
}
window.troubles = [];
addEventListener("error", event => event.message && troubles.push(event.message));
addEventListener("unhandledrejection", event => troubles.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => troubles.push(event.violatedDirective));
"""
# Half a minute of the page's own time.
HALF_A_MINUTE = "new Promise(done => setTimeout(done, 30000))"
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("source", "url", "vendor_url", "poster", "vendor_poster", "expires_at")),
    "expired": False,
}
SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> & <b>bold</b>"
RUN_ID = "manual__2026-11-23T08:00:00+00:00"


def ago(**time: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**time)).isoformat()


def one_video(**changes: Any) -> dict[str, Any]:
    return {
        "found": True,
        "dag_id": "night",
        "run_id": RUN_ID,
        "task_id": "generate",
        "map_index": -1,
        "label": None,
        "airflow_state": "success",
        "try_number": 1,
        "operator": "RunwayGenerateOperator",
        "state": "made",
        "runway_task_id": "7d1c0ffee",
        "logs_url": "https://kie.ai/logs",
        "model": "runway",
        "kind": "generate-5s-720p",
        "prompt": "A lighthouse in a storm",
        "duration": 5,
        "quality": "720p",
        "aspect_ratio": "16:9",
        "submitted_at": ago(hours=1),
        "ended_at": ago(minutes=59, seconds=20),
        "usual": {"p50": 37.5, "p95": 44.25},
        "credits": 12,
        "video": {**NOTHING, "source": "stored", "url": "file?copy=1", "poster": "poster?copy=1"},
        "path": "s3://videos/night/7d1c0ffee.mp4",
        "size": 3481212,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015",
        "error": None,
        "what_to_do": None,
        "family": [],
        **changes,
    }


#: Nothing is there to see yet.
PENDING = {"video": NOTHING, "path": None, "size": None, "sha256": None, "credits": None, "ended_at": None}


def entry(number: int, state: str = "made", **changes: Any) -> dict[str, Any]:
    made = {
        **NOTHING,
        "source": "stored",
        "url": f"file?number={number}",
        "poster": f"poster?number={number}",
    }
    return {
        "task_id": "generate",
        "map_index": number,
        "label": None,
        "state": state,
        "airflow_state": "success" if state == "made" else "deferred" if state == "waiting" else "failed",
        "runway_task_id": f"task{number}",
        "prompt": f"Scene {number}",
        "kind": "generate-5s-720p",
        "model": "runway",
        "submitted_at": ago(seconds=50),
        "video": made if state == "made" else NOTHING,
        "error": None,
        "href": f"dags/night/runs/R/tasks/generate/mapped/{number}/plugin/runway-video",
        **changes,
    }


Story = Callable[[Browser, Server], Awaitable[None]]


@pytest.fixture
def tell(tmp_path: Path) -> Callable[[Story], None]:
    """A function that runs a story with a browser and a server of its own."""

    def run(story: Story) -> None:
        async def told() -> None:
            async with Server() as server, Browser(tmp_path / "profile") as browser:
                await browser.command("Page.enable")
                await browser.command("Page.addScriptToEvaluateOnNewDocument", source=PREPARE)
                await story(browser, server)
                assert await browser.evaluate("window.troubles") == []

        asyncio.run(told())

    return run


async def open_video(browser: Browser, server: Server, **video: Any) -> str:
    """Open the page of a video and return what it says."""
    server.video = one_video(**video)
    await browser.open("about:blank")
    await browser.open(f"{server.url}video?run_id={RUN_ID}&task_id=generate&map_index={{MAP_INDEX}}")
    await browser.wait_for("document.querySelector('main')?.ariaBusy === 'false'")
    return str(await browser.evaluate("document.body.innerText"))


async def open_gallery(browser: Browser, server: Server, *videos: dict[str, Any]) -> str:
    """Open the gallery of a run and return what it says."""
    server.videos = list(videos)
    await browser.open("about:blank")
    await browser.open(f"{server.url}gallery?run_id={RUN_ID}")
    await browser.wait_for("document.querySelector('main')?.ariaBusy === 'false'")
    return str(await browser.evaluate("document.body.innerText"))


def test_the_page_of_a_video_says_what_is_known(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        said = await open_video(browser, server)
        for words in ("Made", "40 s", "Generation", "5 s", "720p", "16:9", "12", "7d1c0ffee", "3.5 MB"):
            assert words in said
        assert "A lighthouse in a storm" in said
        assert "s3://videos/night/7d1c0ffee.mp4" in said
        # A run ID with a bare "+" in the address arrives as it is.
        assert server.asked[-1] == {"run_id": RUN_ID, "task_id": "generate", "map_index": "-1"}
        await browser.evaluate("document.querySelector('video').muted = true")
        await browser.evaluate("document.querySelector('video').play()")
        await browser.wait_for("document.querySelector('video').currentTime > 0.2")
        assert await browser.evaluate("document.querySelector('video').poster.endsWith('poster?copy=1')")

        said = await open_video(
            browser,
            server,
            path=None,
            video={
                **NOTHING,
                "source": "vendor",
                "url": "file?vendor=1",
                "expires_at": "2026-12-07T08:00:00Z",
            },
        )
        assert "Played from kie.ai, which deletes it on 2026-12-0" in said
        assert "No copy is stored" in said

        said = await open_video(browser, server, path=None, video={**NOTHING, "expired": True})
        assert "kie.ai has deleted this video, and no copy of it was stored." in said

        said = await open_video(browser, server, video=NOTHING)
        assert "[runway] video_roots" in said
        assert said.count("s3://videos/night/7d1c0ffee.mp4") == 2

    tell(story)


def test_a_copy_that_is_gone_gives_way_to_the_video_at_kie_ai(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        server.copies = False
        video = one_video()["video"] | {"vendor_url": "file?vendor=1"}
        await open_video(browser, server, video=video)
        await browser.wait_for("document.querySelector('video')?.currentSrc.endsWith('file?vendor=1')")
        await browser.wait_for("document.querySelector('video').readyState > 0")
        assert "The stored copy cannot be read here." in await browser.evaluate("document.body.innerText")
        await open_video(browser, server)
        await browser.wait_for("document.body.innerText.includes('The copy cannot be played')")
        stage = await browser.evaluate("document.getElementById('stage').innerText")
        assert "s3://videos/night/7d1c0ffee.mp4" in stage

    tell(story)


#: Of a copy that may be there, as far as the server has said, and of the same video at kie.ai.
COPY = {**NOTHING, "source": "stored", "url": "file?copy=1", "poster": "poster?copy=1"}
VENDOR = {"vendor_url": "file?vendor=1", "vendor_poster": "poster?vendor=1"}


def test_in_the_gallery_too_kie_ais_video_stands_in_for_a_copy_that_is_gone(
    tell: Callable[[Story], None],
) -> None:
    async def story(browser: Browser, server: Server) -> None:
        server.copies = server.posters = False
        await open_gallery(browser, server, entry(0, video=COPY | VENDOR))
        await browser.wait_for("document.querySelector('.card img')?.naturalWidth > 0")
        assert await browser.evaluate("document.querySelector('.card img').src.endsWith('poster?vendor=1')")
        await browser.press("Tab")
        playing = "document.querySelector('.card video.preview')"
        await browser.wait_for(f"{playing}?.currentTime > 0.1")
        assert await browser.evaluate(f"{playing}.src.endsWith('file?vendor=1')")
        assert not await browser.evaluate("!!document.querySelector('.card.unplayable')")

        # Without a picture anywhere, a frame of it.
        await open_gallery(browser, server, entry(0, video=COPY | VENDOR | {"vendor_poster": None}))
        await browser.wait_for("document.querySelector('.card video.still')?.videoWidth > 0")
        assert await browser.evaluate("document.querySelector('video.still').src.includes('file?vendor=1')")

        # Where kie.ai has it no more, a sentence.
        for expired, words in (
            (True, "no copy can be read here"),
            (False, "The video cannot be shown here."),
        ):
            await open_gallery(browser, server, entry(0, video=COPY | {"expired": expired}))
            await browser.wait_for(f"document.querySelector('.card').innerText.includes({words!r})")
            assert await browser.evaluate("document.querySelectorAll('.card video').length") == 0

    tell(story)


def test_a_step_shows_kie_ais_picture_where_none_is_stored(tell: Callable[[Story], None]) -> None:
    posters = {"poster": "poster?copy=1", "vendor_poster": "poster?vendor=1"}
    member = {"task_id": "generate", "map_index": -1, "label": None, "kind": "generate", "state": "made"}
    member |= {"current": True, "href": "dags/night/runs/R/tasks/generate/plugin/runway-video", **posters}
    other = {**member, "task_id": "extend", "current": False, "vendor_poster": None}

    async def story(browser: Browser, server: Server) -> None:
        server.posters = False
        await open_video(browser, server, family=[member, other])
        await browser.wait_for("document.querySelector('.step img')?.naturalWidth > 0")
        await browser.wait_for("document.querySelectorAll('.step img').length === 1")
        assert await browser.evaluate("document.querySelector('.step img').src.endsWith('poster?vendor=1')")

    tell(story)


def test_what_was_submitted_and_not_awaited_says_what_to_do(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        said = await open_video(browser, server, **PENDING, state="none", what_to_do="Nobody waited.")
        assert "Submitted\n\nNobody waited." in said
        skipped = PENDING | {"runway_task_id": None, "airflow_state": "skipped"}
        said = await open_video(browser, server, **skipped, state="none")
        assert "No video\n\nThe task is skipped." in said

    tell(story)


def test_a_wait_counts_up_and_becomes_the_video(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        waiting = {**PENDING, "state": "waiting", "airflow_state": "deferred"}
        said = await open_video(browser, server, **waiting, submitted_at=ago(seconds=20))
        assert "Half of such videos are ready after 38 s, nearly all after 44 s." in said
        assert "takes longer" not in said
        before = await browser.evaluate("document.querySelector('.clock').textContent")
        await browser.wait_for(f"document.querySelector('.clock').textContent !== {before!r}")
        server.video = one_video()
        await browser.wait_for("!!document.querySelector('video')")
        await browser.evaluate("window.same = document.querySelector('video')")
        # It is over, so nobody asks any more.
        asked = len(server.asked)
        await browser.evaluate(HALF_A_MINUTE)
        assert len(server.asked) == asked

        said = await open_video(browser, server, **waiting, submitted_at=ago(minutes=3))
        assert "This one takes longer." in said
        assert "Waiting for 3 min" in said

        said = await open_video(
            browser, server, **(waiting | {"airflow_state": "queued"}), submitted_at=None, usual=None
        )
        assert "Not submitted yet\n\nThe task is queued." in said

    tell(story)


def test_a_video_goes_on_playing_while_others_of_its_family_are_awaited(
    tell: Callable[[Story], None],
) -> None:
    member = {"task_id": "generate", "map_index": -1, "label": None, "kind": "generate", "state": "made"}
    member |= {
        "current": True,
        "poster": None,
        "href": "dags/night/runs/R/tasks/generate/plugin/runway-video",
    }
    other = {**member, "task_id": "extend", "kind": "extend", "state": "waiting", "current": False}

    async def story(browser: Browser, server: Server) -> None:
        said = await open_video(browser, server, family=[member, other])
        assert said.index("Generation") < said.index("Extension")
        await browser.evaluate("window.same = document.querySelector('video')")
        asked = len(server.asked)
        await browser.evaluate(HALF_A_MINUTE)
        assert len(server.asked) > asked + 3
        server.video["family"] = [member, {**other, "state": "made"}]
        await browser.wait_for("!document.querySelector('.family').innerText.includes('Waiting')")
        assert await browser.evaluate("window.same === document.querySelector('video')")

    tell(story)


def test_a_failure_says_why_and_what_to_do(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        error = {"kind": "RunwayTaskRejectedError", "text": f"Moderated: {SCRIPT}"}
        said = await open_video(
            browser, server, **PENDING, state="failed", airflow_state="failed", error=error
        )
        assert f"Moderated: {SCRIPT}" in said
        assert "RunwayTaskRejectedError" in said

        said = await open_video(
            browser,
            server,
            **(PENDING | {"runway_task_id": None}),
            state="unknown",
            airflow_state="failed",
            error={"kind": "RunwaySubmissionUnknownError", "text": "The connection was lost."},
            what_to_do="Look at kie.ai/logs.",
        )
        assert "Nobody knows whether kie.ai took this" in said
        assert "What to do\n\nLook at kie.ai/logs." in said

    tell(story)


def test_on_a_foreign_task_there_is_one_quiet_sentence(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        foreign = {**PENDING, "found": False, "state": "none", "runway_task_id": None, "prompt": None}
        said = await open_video(browser, server, **foreign)
        assert " ".join(said.split()) == "Video This task made no Runway video."
        said = await open_video(browser, server, **(foreign | {"airflow_state": "running"}))
        assert " ".join(said.split()) == "Video There is no Runway video here yet."

    tell(story)


def test_html_in_a_prompt_is_text(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        hostile = {"task_id": SCRIPT, "map_index": 3, "label": SCRIPT, "kind": SCRIPT, "state": SCRIPT}
        hostile |= {"current": True, "poster": None, "href": "javascript:window.hacked = 3"}
        said = await open_video(browser, server, prompt=SCRIPT, quality=SCRIPT, family=[hostile, hostile])
        assert said.count(SCRIPT) >= 4
        await browser.evaluate("document.querySelector('.step').click()")
        assert not await browser.evaluate("document.querySelector('.step').href")
        said = await open_gallery(
            browser, server, entry(1, prompt=SCRIPT, label=SCRIPT, href="https://evil.example/")
        )
        # A label that says what the prompt says is not repeated.
        assert said.count(SCRIPT) == 1
        assert not await browser.evaluate("document.querySelector('.card').href")
        await browser.evaluate(HALF_A_MINUTE)
        assert await browser.evaluate("window.hacked === undefined")

    tell(story)


def test_a_refusal_is_a_sentence(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        for answer, sentence in (
            ((401, "Not authenticated"), "You are not logged in any more."),
            ((403, "Invalid JWT token"), "You are not logged in any more."),
            ((403, "Forbidden"), "You are not allowed to see"),
            ((404, "Not found"), "Airflow knows no such run."),
            ((500, "Oh"), "Airflow could not answer (HTTP 500)."),
            (None, "Airflow cannot be reached."),
        ):
            server.videos = answer
            await browser.open("about:blank")
            await browser.open(f"{server.url}gallery?run_id=R")
            await browser.wait_for(f"document.body?.innerText.includes({sentence!r})")
        # What may pass is asked again.
        server.videos = [entry(1)]
        await browser.wait_for("document.body.innerText.includes('Scene 1')")
        assert "cannot be reached" not in await browser.evaluate("document.body.innerText")

    tell(story)


FAILED = "The generation failed: Moderated. More: https://docs.example.com/errors.html#x"


def test_the_gallery_counts_and_shows_each_in_its_place(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        assert "This run made no Runway videos." in await open_gallery(browser, server)
        assert "1 Video\n" in await open_gallery(browser, server, entry(0))
        said = await open_gallery(
            browser,
            server,
            entry(0),
            entry(1, "failed", error={"kind": "X", "text": FAILED}),
            entry(2, "waiting"),
            entry(3, "unknown", error={"kind": "X", "text": "The connection was lost."}),
            entry(4, video={**NOTHING, "expired": True}),
            entry(5, label="A fox"),
        )
        for words in ("6 Videos", "3 Made", "1 Waiting", "1 Failed", "1 Unknown", "36 credits"):
            assert words in said
        cards = await browser.evaluate(
            "[...document.querySelectorAll('.card')].map(card => card.innerText.replaceAll('\\n', ' '))"
        )
        for card, words in zip(
            cards,
            (
                "Scene 0",
                "Failed Moderated.",
                "Waiting for 5",
                "The connection was lost.",
                "Expired",
                "[A fox]",
            ),
            strict=True,
        ):
            assert words in card
        assert "https:" not in "".join(cards)
        status = await browser.evaluate("document.querySelector('#said[role=status]').textContent")
        assert status == "6 Videos, 3 made, 1 waiting, 1 failed, 1 unknown, 36 credits."

    tell(story)


def test_hundreds_of_videos_come_in_pages_as_one_scrolls(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        await open_gallery(browser, server, *[entry(number) for number in range(500)])
        await browser.evaluate(HALF_A_MINUTE)
        at_first = len(server.asked)
        assert at_first <= 3
        script = "scrollTo(0, 1e9), document.querySelectorAll('.card').length === 500"
        await browser.wait_for(script, timeout=240)
        assert sorted(int(query["offset"]) for query in server.asked) == list(range(0, 500, 24))
        assert {query["limit"] for query in server.asked} == {"24"}
        shown = await browser.evaluate(
            "[...document.querySelectorAll('.card-prompt')].map(prompt => prompt.textContent)"
        )
        assert shown == [f"Scene {number}" for number in range(500)]
        # The run is over, so nobody asks any more; and no video was fetched for being listed.
        await browser.evaluate(HALF_A_MINUTE)
        assert len(server.asked) == 21
        assert await browser.evaluate("document.querySelectorAll('video').length") == 0

    tell(story)


def test_who_is_back_at_the_end_before_the_page_has_seen_it_leave_gets_more(
    tell: Callable[[Story], None],
) -> None:
    async def story(browser: Browser, server: Server) -> None:
        await open_gallery(browser, server, *[entry(number) for number in range(120)])
        await browser.evaluate(
            """
            const end = document.getElementById("end"), where = end.getBoundingClientRect.bind(end);
            end.getBoundingClientRect = () => { const found = where(); scrollTo(0, 1e9); return found; };
            scrollTo(0, 1e9);
            """
        )
        await browser.wait_for("document.querySelectorAll('.card').length === 120")

    tell(story)


def test_a_living_run_is_asked_again_unless_nobody_looks(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        server.live = True
        await open_gallery(browser, server, *[entry(number, "waiting") for number in range(60)])
        server.videos = [entry(0), *deepcopy(server.videos[1:]), entry(60)]
        await browser.wait_for("document.body.innerText.includes('2 Made')")
        assert "61 Videos" in await browser.evaluate("document.body.innerText")

        await browser.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        await browser.evaluate(HALF_A_MINUTE)
        asked = len(server.asked)
        await browser.evaluate(HALF_A_MINUTE)
        assert len(server.asked) == asked

        server.live, server.videos = False, [entry(number) for number in range(61)]
        await browser.evaluate("delete document.hidden")
        await browser.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await browser.wait_for("document.body.innerText.includes('61 Made')")
        await browser.wait_for("!document.body.innerText.includes('Waiting for')")
        await browser.evaluate(HALF_A_MINUTE)
        asked = len(server.asked)
        await browser.evaluate(HALF_A_MINUTE)
        assert len(server.asked) == asked

    tell(story)


def test_the_keyboard_plays_and_opens(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        playing = "document.querySelector('.card video.preview')?.currentTime > 0.1"
        await open_gallery(browser, server, entry(0), entry(1))
        await browser.press("Tab")
        assert await browser.evaluate("document.activeElement.matches('.card:focus-visible')")
        await browser.wait_for(playing)
        assert await browser.evaluate("document.querySelector('video.preview').muted")
        await browser.press(" ")
        await browser.wait_for("!document.querySelector('video.preview')")
        await browser.press(" ")
        await browser.wait_for(playing)
        await browser.press("Enter")
        await browser.wait_for("location.pathname.endsWith('/mapped/0/plugin/runway-video')")
        assert await browser.evaluate("location.pathname.startsWith('/team/dags/')")

        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        await browser.command("Emulation.setEmulatedMedia", features=[motion])
        await open_gallery(browser, server, entry(0), entry(1))
        await browser.press("Tab")
        await browser.evaluate(HALF_A_MINUTE)
        assert await browser.evaluate("document.querySelectorAll('video').length") == 0
        await browser.press(" ")
        await browser.wait_for(playing)

    tell(story)


def test_a_copy_without_a_picture_shows_its_first_frame(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        server.posters = False
        await open_gallery(browser, server, entry(0), *[entry(number) for number in range(1, 48)])
        await browser.wait_for("document.querySelector('.card video.still')?.videoWidth > 0")
        # Only those that can be seen.
        assert await browser.evaluate("document.querySelectorAll('video.still').length") < 40

    tell(story)


FRAME = "document.querySelector('iframe')?.contentDocument"


def test_inside_airflow_it_looks_and_goes_as_airflow_does(tell: Callable[[Story], None]) -> None:
    async def story(browser: Browser, server: Server) -> None:
        server.video = one_video()
        server.videos = [entry(0, href="dags/night/runs/R/tasks/generate/plugin/runway-video")]
        member = {"map_index": -1, "label": None, "kind": "extend", "state": "made", "poster": None}
        server.video["family"] = [
            {
                **member,
                "task_id": task,
                "current": False,
                "href": f"dags/night/runs/R/tasks/{task}/plugin/runway-video",
            }
            for task in ("generate", "extend")
        ]
        await browser.open(f"{server.airflow}dags/night/runs/R/plugin/runway-videos")
        await browser.wait_for(f"!!{FRAME}?.querySelector('.card')")
        looks = f"[getComputedStyle({FRAME}.body).backgroundColor, {FRAME}.documentElement.className]"
        assert await browser.evaluate(looks) == ["rgb(1, 2, 3)", "dark"]
        await browser.evaluate(
            "document.documentElement.className = 'light';"
            "document.documentElement.style.setProperty('--chakra-colors-bg', 'rgb(250, 251, 252)')"
        )
        await browser.wait_for(f'JSON.stringify({looks}) === \'["rgb(250, 251, 252)",""]\'')

        await browser.evaluate(f"window.same = true, {FRAME}.querySelector('.card').click()")
        at = "location.pathname.split('/').slice(-3)[0] + ' ' + !!window.same"
        await browser.wait_for(f"{FRAME}?.querySelectorAll('.step').length === 2")
        assert await browser.evaluate(at) == "generate true"
        await browser.evaluate(f"{FRAME}.querySelectorAll('.step')[1].click()")
        await browser.wait_for(f"{at} === 'extend true'")
        shown = f"{FRAME}?.location.search.split('&')[1] + ({FRAME}?.querySelectorAll('.step').length)"
        await browser.wait_for(f"{shown} === 'task_id=extend2'")

        # One step back is one step, though the frame has made steps of its own.
        await browser.evaluate("history.back()")
        await browser.wait_for(f"{at} === 'generate true'")
        await browser.wait_for(f"{shown} === 'task_id=generate2'")
        await browser.evaluate("history.forward()")
        await browser.wait_for(f"{at} === 'extend true'")
        await browser.wait_for(f"{shown} === 'task_id=extend2'")

    tell(story)


@pytest.mark.parametrize("width", [360, 800, 1920])
def test_nothing_is_wider_than_the_window(tell: Callable[[Story], None], width: int) -> None:
    async def story(browser: Browser, server: Server) -> None:
        await browser.set_window(width, 800)
        fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        long = "x" * 400
        error = {"kind": long, "text": long}
        waiting = {**PENDING, "state": "waiting", "airflow_state": "deferred"}
        for video in (
            {"prompt": long, "path": f"s3://{long}", "runway_task_id": long, "sha256": long},
            {**PENDING, "state": "failed", "error": error, "what_to_do": long, "prompt": long},
            {**waiting, "aspect_ratio": "9:16"},
        ):
            await open_video(browser, server, **video)
            assert await browser.evaluate(fits), json.dumps(video)[:100]
        await open_gallery(
            browser, server, entry(0, prompt=long, label=long), entry(1, "failed", error=error)
        )
        assert await browser.evaluate(fits)

    tell(story)

"""``make pictures``: takes the docs' pictures of the pages in Airflow's UI anew, in light and dark.

They show what a real Airflow shows of videos that the simulated kie.ai has drawn.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.harness.browser import CHROMIUM, Browser
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.looking import FRAME, Visitor
from tests.harness.processes import REPOSITORY

#: Seconds for which Airflow itself goes on drawing.
_DRAWING = 3.0
IMAGES = REPOSITORY / "docs" / "images"
#: Its name is in the pictures.
VIDEOS = Path("/tmp/videos")
SPEED = 4
PROMPTS = [
    "A lighthouse in a storm, seen from the sea",
    "A tram climbs a steep street at dusk",
    "A kite rises over a windy beach",
    "A snail crosses a garden path after the rain",
    "A celebrity dances on a table [moderated]",
    "A paper boat sails down a brook in spring",
    "A fox crosses a snowy field",
    "Dew on a spider's web at sunrise",
    "A balloon drifts over a sleeping town",
]
RUN_ID = "nightly__2026-11-23"
STORY = "complete_story"
BATCH = "mapped_batch"


def main() -> int:
    """Take the pictures and return the exit code."""
    if CHROMIUM is None:
        print("Chromium is needed: apt-get install chromium", file=sys.stderr)
        return 1
    try:
        VIDEOS.mkdir()
    except FileExistsError:
        print(
            f"{VIDEOS} is there already: move it away, since the videos are to be stored there.",
            file=sys.stderr,
        )
        return 1
    try:
        _take_pictures()
    finally:
        shutil.rmtree(VIDEOS)
    return 0


def _take_pictures() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with LocalSimulator(folder / "simulator", options=["--speed", str(SPEED)]) as simulator:
            connection = simulator.connection
            connection["extra"] |= {"speed": SPEED}
            with LocalAirflow(
                folder / "airflow",
                dags_folder=REPOSITORY / "example_dags",
                connections={"runway_default": connection},
                config={"AIRFLOW__RUNWAY__VIDEO_ROOTS": str(VIDEOS)},
            ) as airflow:
                _make_videos(airflow, simulator, str(VIDEOS))
                asyncio.run(_photograph(airflow, folder / "profile"))


def _make_videos(airflow: LocalAirflow, simulator: LocalSimulator, videos: str) -> None:
    print("Making the videos ...", flush=True)
    # A run that is still at it shows most: the last video is never ready.
    simulator.add_fault(kind="stuck", path="/api/v1/", method="POST", after=len(PROMPTS) - 1, count=1)
    airflow.api.trigger_dag(BATCH, {"folder": videos, "prompts": PROMPTS}, run_id=RUN_ID)
    airflow.api.wait_until(
        "the submissions", lambda: len(simulator.creations()) == len(PROMPTS) or None, timeout=300
    )
    airflow.api.trigger_dag(STORY, {"folder": videos}, run_id=RUN_ID)
    airflow.api.wait_for_run(STORY, RUN_ID, timeout=600)

    def others_are_made() -> bool | None:
        states = list(airflow.api.task_states(BATCH, RUN_ID).values())
        return True if states.count("deferred") == 1 and states.count("failed") == 1 else None

    airflow.api.wait_until("the videos of the batch", others_are_made, timeout=300)


async def _photograph(airflow: LocalAirflow, profile: Path) -> None:
    async with Browser(profile) as browser:
        visitor = Visitor(browser, airflow)
        for looks in ("light", "dark"):
            await browser.set_window(1300, 900, dark=looks == "dark")
            await visitor.open_gallery(BATCH, RUN_ID)
            await visitor.in_page(f"page.querySelectorAll('.card').length === {len(PROMPTS)}")
            await _wait_for_pictures(visitor)
            _save(f"videos_{looks}", await browser.photograph())

            await visitor.open_video(STORY, RUN_ID, "extend")
            await visitor.in_page("page.querySelectorAll('.step').length > 1")
            await visitor.in_page("page.querySelector('video')?.readyState >= 2")
            # A picture in the middle of it tells more than the first one.
            await browser.evaluate(f"Object.assign({FRAME}.querySelector('video'), {{currentTime: 6.5}}).src")
            await visitor.in_page("page.querySelector('video').seeking === false")
            await _wait_for_pictures(visitor)
            _save(f"video_{looks}", await browser.photograph())

            # All of the form has to fit into the window.
            await browser.set_window(1000, 1700, dark=looks == "dark")
            await visitor.open_connection_form("runway_default")
            await asyncio.sleep(_DRAWING)
            form = await browser.photograph("[role=dialog]")
            await visitor.show_extras()
            await asyncio.sleep(_DRAWING)
            _save(f"connection_form_{looks}", form, await browser.photograph("[role=dialog]"))

        # The last, since Airflow remembers that somebody likes graphs.
        await browser.set_window(1300, 640)
        await visitor.open_graph(STORY, RUN_ID)
        await asyncio.sleep(_DRAWING)
        await visitor.fit_graph()
        await asyncio.sleep(_DRAWING)
        _save("complete_story", await browser.photograph())


async def _wait_for_pictures(visitor: Visitor) -> None:
    await visitor.in_page(
        "[...page.querySelectorAll('img')].every(image => image.complete)"
        " && [...page.querySelectorAll('video.still')].every(still => still.readyState >= 2)"
    )
    await asyncio.sleep(_DRAWING)


def _save(name: str, *pictures: bytes) -> None:
    """Save a picture, or several beside each other."""
    file = IMAGES / f"{name}.png"
    parts = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    size = sum(part.width for part in parts), max(part.height for part in parts)
    whole = Image.new("RGB", size, parts[0].getpixel((parts[0].width // 2, 4)))
    for number, part in enumerate(parts):
        whole.paste(part, (sum(before.width for before in parts[:number]), 0))
    # A quarter of the size, and no eye sees a difference.
    whole.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(REPOSITORY)}: {file.stat().st_size // 1024} KiB", flush=True)


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"({time.monotonic() - started:.0f} s)")
    sys.exit(code)

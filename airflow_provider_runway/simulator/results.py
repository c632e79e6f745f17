"""Result files: drawn on the first request for one, kept on disk, and never drawn twice."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from airflow_provider_runway.simulator.account import Account
from airflow_provider_runway.simulator.plans import Planner
from airflow_provider_runway.simulator.tasks import Task
from airflow_provider_runway.simulator.uploads import Uploads

# Five seconds drawn by this package, 320 x 180.
_CLIP = Path(__file__).with_name("clip.mp4")
_PICTURE = Path(__file__).with_name("clip.jpg")


class Results:
    """Hands out the file behind a result's URL.

    :param folder: where drawn files are kept, made where it is missing.
    :param render: ``False`` hands out one tiny clip and one picture for all.
    :raises ImportError: where videos are to be drawn and the libraries for it are not installed.
    """

    def __init__(self, folder: Path, account: Account, uploads: Uploads, *, render: bool) -> None:
        if render and not (find_spec("av") and find_spec("PIL")):
            raise ImportError(
                "Drawing videos needs PyAV and Pillow: install airflow-provider-runway[simulator],"
                " or switch the drawing off (--no-render, render=False)."
            )
        self._folder = folder
        self._planner = Planner(account, uploads)
        self._render = render
        self._running: dict[str, asyncio.Task[Path]] = {}
        self._stopped = threading.Event()
        self._executor = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "runway-simulator-render")
        folder.mkdir(parents=True, exist_ok=True)

    async def path(self, task: Task, name: str) -> Path:
        """Return the file of a task's video or thumbnail, once it is drawn.

        :param name: the file name in its URL; the suffix decides which of the two it is.
        """
        is_video = name.endswith(".mp4")
        if not self._render:
            return _CLIP if is_video else _PICTURE
        key = f"{task.task_id}{Path(name).suffix}"
        done = self._folder / key
        if done.exists():
            return done
        if key not in self._running:
            drawing = asyncio.create_task(self._draw(task, is_video=is_video))
            self._running[key] = drawing
            drawing.add_done_callback(lambda _: self._running.pop(key, None))
        # One client that goes away must not end the drawing for the others.
        return await asyncio.shield(self._running[key])

    async def _draw(self, task: Task, *, is_video: bool) -> Path:
        # Imported here, so that a simulator that draws nothing needs neither PyAV nor Pillow.
        from airflow_provider_runway.simulator.rendering import Renderer

        renderer, plan = Renderer(self._folder, self._stopped), self._planner.plan(task)
        draw = renderer.video if is_video else renderer.picture
        return await asyncio.get_running_loop().run_in_executor(self._executor, draw, plan)

    def close(self) -> None:
        """Draw no more, not even what is begun."""
        self._stopped.set()
        self._executor.shutdown(cancel_futures=True)

"""Draws results: real videos that a person recognizes as their own by the prompt in the picture."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from airflow_provider_runway.simulator.plans import Plan
from airflow_provider_runway.simulator.rendering.moving import MovingPicture, load_picture
from airflow_provider_runway.simulator.rendering.overlay import Overlay
from airflow_provider_runway.simulator.rendering.restyle import restyle, style_of, wipe
from airflow_provider_runway.simulator.rendering.scene import Scene
from airflow_provider_runway.simulator.rendering.video import (
    FRAME_RATE,
    encode,
    frame_at,
    frames_of,
    is_video,
)

Size = tuple[int, int]
_RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4")
_ALEPH_RATIOS = (*_RATIOS, "21:9")
_THUMBNAIL_AT = 2.5


class Stopped(Exception):
    """The drawing was ended before its time."""


class Renderer:
    """Draws videos and their thumbnails, each once.

    :param folder: where drawn files are kept.
    :param stopped: once it is set, what is being drawn ends within a frame.
    """

    def __init__(self, folder: Path, stopped: threading.Event) -> None:
        self._folder = folder
        self._stopped = stopped

    def video(self, plan: Plan) -> Path:
        """Draw a video, and whatever it is made from, unless that was done before.

        :return: an MP4 with H.264, playable while it is still loading.
        :raises Stopped: it was.
        """
        target = self._folder / f"{plan.name}.mp4"
        if not target.exists():
            with _partial(target) as partial:
                size, frames = self._frames(plan)
                encode(self._until_stopped(frames), size, partial)
        return target

    def picture(self, plan: Plan) -> Path:
        """Draw the video's thumbnail, a JPEG of the same size.

        :raises Stopped: it was.
        """
        target = self._folder / f"{plan.name}.jpg"
        if not target.exists():
            with _partial(target) as partial:
                frame_at(self.video(plan), _THUMBNAIL_AT).save(partial, format="JPEG", quality=88)
        return target

    def _until_stopped(self, frames: Iterator[Image.Image]) -> Iterator[Image.Image]:
        for frame in frames:
            if self._stopped.is_set():
                raise Stopped
            yield frame

    def _file(self, origin: Path | Plan | None, *, video: bool) -> Path | None:
        if isinstance(origin, Plan):
            return self.video(origin) if video else self.picture(origin)
        return origin

    def _frames(self, plan: Plan) -> tuple[Size, Iterator[Image.Image]]:
        if plan.restyled:
            return _restyled_frames(plan, self._file(plan.source, video=True))
        return _drawn_frames(plan, self._file(plan.image, video=False))


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes the target once all of it is written."""
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _size(ratio: str, short_side: int) -> Size:
    width, height = (int(part) for part in ratio.split(":"))
    if width < height:
        return short_side, round(short_side * height / width / 2) * 2
    return round(short_side * width / height / 2) * 2, short_side


def _nearest_ratio(size: Size, ratios: tuple[str, ...]) -> str:
    def distance(ratio: str) -> float:
        width, height = _size(ratio, 720)
        wanted, offered = size[0] / size[1], width / height
        return max(wanted, offered) / min(wanted, offered)

    return min(ratios, key=distance)


def _drawn_frames(plan: Plan, image: Path | None) -> tuple[Size, Iterator[Image.Image]]:
    picture = load_picture(image)
    ratio = plan.aspect_ratio or (_nearest_ratio(picture.size, _RATIOS) if picture else "16:9")
    size = _size(ratio, plan.short_side)
    ground = MovingPicture(picture, size) if picture else Scene(plan.scene, size)
    overlay = Overlay(plan, size)

    def frames() -> Iterator[Image.Image]:
        for number in range(plan.seconds * FRAME_RATE):
            seconds = number / FRAME_RATE
            frame = ground.frame(seconds)
            overlay.draw(frame, seconds)
            yield frame

    return size, frames()


def _restyled_frames(plan: Plan, source: Path | None) -> tuple[Size, Iterator[Image.Image]]:
    if source is not None and not is_video(source):
        source = None
    source_size = frame_at(source, 0).size if source else (16, 9)
    size = _size(plan.aspect_ratio or _nearest_ratio(source_size, _ALEPH_RATIOS), plan.short_side)
    style = style_of(plan.segments[0].prompt)
    overlay = Overlay(plan, size)

    def frames() -> Iterator[Image.Image]:
        scene = Scene(plan.scene, size)
        originals = (
            frames_of(source, size, plan.seconds)
            if source
            else (scene.frame(number / FRAME_RATE) for number in range(plan.seconds * FRAME_RATE))
        )
        for number, original in enumerate(originals):
            seconds = number / FRAME_RATE
            frame = wipe(original, restyle(original, style), seconds)
            overlay.draw(frame, seconds)
            yield frame

    return size, frames()

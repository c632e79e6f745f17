"""A still picture brought to life: the camera moves slowly over it."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageOps


def load_picture(path: Path | None) -> Image.Image | None:
    """Return a picture from a file, ``None`` where there is none that can be read."""
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


class MovingPicture:
    """A camera that moves over a picture and nearer to it.

    :param picture: shown as far as it fits.
    :param size: width and height of the frames in pixels.
    """

    def __init__(self, picture: Image.Image, size: tuple[int, int]) -> None:
        self._size = size
        # A quarter larger than the frame, so that there is room to move in.
        self._picture = ImageOps.fit(picture, (size[0] * 5 // 4, size[1] * 5 // 4), Image.Resampling.BICUBIC)

    def frame(self, seconds: float) -> Image.Image:
        """Return the picture at a time."""
        share = 0.98 - 0.16 * math.sin(seconds / 8) ** 2
        width, height = self._picture.width * share, self._picture.height * share
        left = (self._picture.width - width) * (0.5 + 0.5 * math.sin(seconds / 5))
        top = (self._picture.height - height) * (0.5 + 0.4 * math.sin(seconds / 7))
        box = (left, top, left + width, top + height)
        return self._picture.resize(self._size, Image.Resampling.BILINEAR, box=box)

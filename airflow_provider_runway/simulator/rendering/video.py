"""Pictures to H.264 and back, by PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageOps

FRAME_RATE = 24

# PyAV types these methods in some of its versions only.
_VideoFrame: Any = av.VideoFrame


def _picture(frame: Any) -> Image.Image:
    picture: Image.Image = frame.to_image()
    return picture


def encode(frames: Iterable[Image.Image], size: tuple[int, int], target: Path) -> None:
    """Write pictures as an MP4 that plays anywhere.

    :param size: width and height in pixels, both even.
    """
    options = {
        "preset": "superfast",
        "crf": "23",
        "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709",
    }
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FRAME_RATE)
        for number, picture in enumerate(frames):
            frame = _VideoFrame.from_image(picture).reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts = number
            frame.time_base = Fraction(1, FRAME_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def is_video(path: Path) -> bool:
    """Tell whether a file holds moving pictures that can be decoded."""
    try:
        frame_at(path, 0)
    except (av.FFmpegError, OSError, ValueError):
        return False
    return True


def frame_at(path: Path, seconds: float) -> Image.Image:
    """Return the picture that is shown at a time, or the last one of a shorter video.

    :raises ValueError: where there is no picture at all.
    """
    found = None
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError(f"{path.name} has no video stream")
        for frame in container.decode(video=0):
            found = frame
            if (frame.time or 0.0) >= seconds:
                break
    if found is None:
        raise ValueError(f"{path.name} has no picture")
    return _picture(found)


def frames_of(path: Path, size: tuple[int, int], seconds: float) -> Iterator[Image.Image]:
    """Yield a video's first pictures at ``FRAME_RATE``, cropped to a size.

    :param seconds: how much of the beginning; a shorter video ends earlier.
    """
    number = 0
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        length = float(1 / rate) if rate else 1 / FRAME_RATE
        for frame in container.decode(video=0):
            shown_until = (frame.time or 0.0) + length
            picture = None
            # A faster source loses frames here, a slower one shows some of them twice.
            while number / FRAME_RATE < shown_until - 1e-6:
                if number >= seconds * FRAME_RATE:
                    return
                picture = picture or ImageOps.fit(_picture(frame), size, Image.Resampling.BILINEAR)
                yield picture.copy()
                number += 1

"""Look into a video file."""

from __future__ import annotations

from pathlib import Path

import av

from tests.harness.processes import HarnessError


def describe_video(path: Path) -> str:
    """Return a video file's length, picture size and weight in words, having read its first picture.

    :raises HarnessError: when it cannot be played
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            picture = next(container.decode(stream))
            seconds = (container.duration or 0) / av.time_base
    except (OSError, IndexError, StopIteration) as error:
        raise HarnessError(f"{path} is not a playable video: {error!r}") from error
    megabytes = path.stat().st_size / 1e6
    return f"{seconds:.1f} s, {picture.width} x {picture.height}, {megabytes:.2f} MB"

"""Files that users uploaded: where they lie on disk, how long they stay, and what they are."""

from __future__ import annotations

import os
import re
from pathlib import Path

from airflow_provider_runway.simulator.clock import Clock
from airflow_provider_runway.simulator.tasks import DAY

UPLOAD_DAYS = 3
_PREFIX = "/files/"
#: Bytes that a file's or a folder's name may have on the usual file systems.
_LONGEST_NAME = 255
#: How the files begin that kie.ai takes: JPEG, PNG and WebP; MP4 and its kin.
_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)
_VIDEO = re.compile(rb"....ftyp", re.DOTALL)
_BEGINNING = 12


class Uploads:
    """A folder of uploads, each kept for three days.

    :param folder: made where it is missing.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)

    def target(self, file_path: str) -> Path:
        """Return where an upload is to be written.

        :param file_path: its path as kie.ai names it, such as ``kieai/000000/images/cat.png``.
        :raises ValueError: where the path leads out of the folder, or a name in it cannot be a file's.
        """
        parts = file_path.split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise ValueError(f"{file_path!r} is not a path of plain names")
        if any(len(part.encode()) > _LONGEST_NAME for part in parts):
            raise ValueError(f"a name in {file_path!r} is longer than {_LONGEST_NAME} bytes")
        target = self._folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def arrived(self, target: Path) -> None:
        """Stamp a finished upload with the simulator's time."""
        now = self._clock.now()
        os.utime(target, (now, now))

    def find(self, url_path: str) -> Path | None:
        """Return the file behind the path of an upload's URL, ``None`` where there is none any more."""
        if not url_path.startswith(_PREFIX):
            return None
        try:
            target = self.target(url_path.removeprefix(_PREFIX))
            age = self._clock.now() - target.stat().st_mtime
        except (ValueError, OSError):
            return None
        return target if target.is_file() and age < UPLOAD_DAYS * DAY else None


def is_picture(path: Path) -> bool:
    """Tell whether a file begins as a picture does, whatever its name says."""
    return _begins(path, _PICTURE)


def is_video(path: Path) -> bool:
    """Tell whether a file begins as a video does, whatever its name says."""
    return _begins(path, _VIDEO)


def _begins(path: Path, pattern: re.Pattern[bytes]) -> bool:
    with path.open("rb") as stream:
        return pattern.match(stream.read(_BEGINNING)) is not None

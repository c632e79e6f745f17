"""Where the videos of the chaos run are stored, as who looks at them afterwards sees it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from airflow_provider_runway.files.mp4 import Boxes

#: What the names of the files end with that are meant to be there.
SUFFIXES = (".mp4", ".json")


class Videos(Protocol):
    """A place for videos."""

    #: The path or URI that the operators are given.
    root: str

    def content(self, path: str) -> bytes | None:
        """
        Return what is stored, or ``None`` where nothing is.

        :param path: as a task named it
        """

    def rests(self) -> list[str]:
        """Return what nobody meant to leave."""


class LocalVideos:
    """
    A folder.

    :param folder: where it is
    """

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)

    def content(self, path: str) -> bytes | None:
        """Return what is in a file."""
        file = Path(path)
        return file.read_bytes() if file.is_file() else None

    def rests(self) -> list[str]:
        """Return the files that are neither videos nor manifests."""
        files = (path for path in Path(self.root).rglob("*") if path.is_file())
        return sorted(str(path) for path in files if path.suffix not in SUFFIXES)


def is_whole(content: bytes | None, size: int, sha256: str) -> bool:
    """
    Return whether this is a complete video, with the size and the SHA-256 that the task said it has.

    :param content: what is stored
    :param size: in bytes
    :param sha256: in hexadecimal digits
    """
    if content is None:
        return False
    boxes = Boxes()
    boxes.feed(content)
    return boxes.are_whole and len(content) == size and hashlib.sha256(content).hexdigest() == sha256

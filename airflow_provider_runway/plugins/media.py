"""
Finds and opens stored copies. Their paths come from XComs, so a DAG author chooses them: only what is below
the roots that an administrator configured is opened, and only what is a video or a picture by its content.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from airflow_provider_runway.compat import ObjectStoragePath, conf
from airflow_provider_runway.files.mp4 import BEGINNING, is_mp4
from airflow_provider_runway.files.naming import beside

log = logging.getLogger(__name__)

#: Endings of a picture beside a video.
PICTURES = (".jpg", ".png", ".webp")
VIDEO = "video/mp4"

_URI = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)


@dataclass(frozen=True)
class Stored:
    """
    A file below a root, that may be there.

    :param root: The root's URI with its connection; ``None`` for a local file.
    :param location: The real local path, or the path below the root.
    """

    root: str | None
    location: str

    @property
    def is_local(self) -> bool:
        """Whether asking for it costs nothing."""
        return self.root is None

    def sibling(self, ending: str) -> Stored:
        """Return the file beside it whose name differs in the ending alone."""
        return Stored(self.root, beside(self.location, ending))


@dataclass
class Opened:
    """
    A file that is open for reading.

    :param stream: Its content; whoever has it closes it.
    :param size: Its size in bytes.
    :param media_type: What it is, by its content.
    :param version: A text that changes with its content.
    """

    stream: BinaryIO
    size: int
    media_type: str
    version: str


def find(path: Any) -> Stored | None:
    """
    Return the stored copy that an XCom names, if it is below a root of ``[runway] video_roots``.

    :param path: The XCom: a local path, or a URI for ``ObjectStoragePath``.
    """
    if not isinstance(path, str) or not path or len(path) > 4096 or "\0" in path:
        return None
    if ".." in re.split(r"[/\\]", path):
        return None
    for root in _roots():
        found = _below(root, path)
        if found is not None:
            return found
    return None


def picture_of(video: Stored) -> Stored | None:
    """
    Return the picture beside a local video, if there is one.

    :param video: The video.
    """
    for ending in PICTURES:
        found = video.sibling(ending)
        if is_there(found):
            return found
    return None


def is_there(stored: Stored) -> bool:
    """Return whether a local file is there; nobody asks a remote storage for this."""
    return stored.is_local and os.path.isfile(stored.location)


def open_video(stored: Stored) -> Opened | None:
    """
    Open a video.

    :param stored: Where it is.
    :return: ``None`` if it is not there, cannot be read or is no MP4.
    """
    opened = _open(stored)
    if opened is not None and opened.media_type != VIDEO:
        opened.stream.close()
        return None
    return opened


def open_picture(video: Stored) -> Opened | None:
    """
    Open the picture beside a video.

    :param video: The video.
    :return: ``None`` if there is none.
    """
    for ending in PICTURES:
        opened = _open(video.sibling(ending))
        if opened is not None:
            if opened.media_type.startswith("image/"):
                return opened
            opened.stream.close()
    return None


def _roots() -> list[str]:
    configured = conf.get("runway", "video_roots", fallback="") or ""
    return [root.strip() for root in configured.split(",") if root.strip()]


def _below(root: str, path: str) -> Stored | None:
    remote_root, remote_path = _URI.match(_without_file_scheme(root)), _URI.match(_without_file_scheme(path))
    if remote_root and remote_path:
        return _remote_below(root, path)
    if not remote_root and not remote_path:
        return _local_below(_without_file_scheme(root), _without_file_scheme(path))
    return None


def _without_file_scheme(path: str) -> str:
    return path[len("file://") :] if path.startswith("file:///") else path


def _local_below(root: str, path: str) -> Stored | None:
    if not os.path.isabs(root) or not os.path.isabs(path):
        return None
    try:
        # Symbolic links are followed before anything is compared.
        real_root, real_path = os.path.realpath(root), os.path.realpath(path)
        is_below = os.path.commonpath([real_root, real_path]) == real_root
    except (OSError, ValueError):
        return None
    return Stored(None, real_path) if is_below and real_path != real_root else None


def _remote_below(root: str, path: str) -> Stored | None:
    try:
        top, asked = urlsplit(root, allow_fragments=False), urlsplit(path, allow_fragments=False)
    except ValueError:
        return None
    top_connection, _, top_place = top.netloc.rpartition("@")
    connection, _, place = asked.netloc.rpartition("@")
    # The storage is always reached with the connection of the root, never with one that a DAG author names.
    same = top.scheme == asked.scheme and top_place == place and connection in ("", top_connection)
    folder = top.path.strip("/")
    key = path.split("://", 1)[1].partition("/")[2]
    if not same or not key or key.endswith("/") or (folder and not key.startswith(f"{folder}/")):
        return None
    return Stored(root, key[len(folder) :].lstrip("/"))


def _open(stored: Stored) -> Opened | None:
    try:
        stream, size, version = _open_local(stored) if stored.is_local else _open_remote(stored)
        try:
            beginning = stream.read(BEGINNING)
            media_type = _media_type(beginning)
        except BaseException:
            stream.close()
            raise
    except FileNotFoundError:
        return None
    except Exception as error:
        # Whatever a storage says, to the person who looks it is not there.
        log.warning("A stored video cannot be read: %s: %s", type(error).__name__, error)
        return None
    if media_type is None:
        stream.close()
        return None
    return Opened(stream, size, media_type, version)


def _open_local(stored: Stored) -> tuple[BinaryIO, int, str]:
    # Neither a link put there since nor a pipe that nobody writes to.
    descriptor = os.open(stored.location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "rb", buffering=0)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        stream.close()
        raise FileNotFoundError(stored.location)
    return cast("BinaryIO", stream), found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}"


def _open_remote(stored: Stored) -> tuple[BinaryIO, int, str]:
    root = ObjectStoragePath(stored.root or "")
    location = f"{root.path.rstrip('/')}/{stored.location}"
    info = root.fs.info(location)
    if info.get("type") != "file":
        raise FileNotFoundError(location)
    size = int(info["size"])
    told = info.get("ETag") or info.get("etag") or info.get("LastModified") or info.get("mtime") or ""
    version = re.sub(r"[^A-Za-z0-9.:-]", "", f"{told}-{size:x}")
    return cast("BinaryIO", root.fs.open(location, "rb")), size, version


def _media_type(beginning: bytes) -> str | None:
    if is_mp4(beginning):
        return VIDEO
    if beginning.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if beginning.startswith(b"RIFF") and beginning[8:12] == b"WEBP":
        return "image/webp"
    return None

"""
Finds and opens stored copies. Their paths come from XComs, so a DAG author chooses them: only what is below
the roots that an administrator configured is opened, and only what is a video or a picture by its content.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from airflow_provider_runway.compat import ObjectStoragePath, conf
from airflow_provider_runway.files.kinds import BEGINNING, PICTURE_ENDINGS, kind_of
from airflow_provider_runway.files.naming import beside

log = logging.getLogger(__name__)

_URI = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)
#: The schemes of this machine's files, and the connection that may be named though it means nothing there.
_FILE_SCHEME = re.compile(r"^(?:file|local)://(?:[^/@]*@)?(?=/)", re.IGNORECASE)
#: Bytes of a remote file that are read ahead. s3fs alone would read 50 MiB for the first few.
_READ_AHEAD = 1024 * 1024

#: Neither through a link nor waiting for who writes into a pipe.
_OPENING = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: A folder that may be gone through need not be one that may be listed.
_PASSING = _OPENING | os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)


@dataclass(frozen=True)
class Stored:
    """
    A file below a root, that may be there.

    :param root: The root, as it is configured.
    :param location: The path below it.
    :param is_local: Whether it is a file of this machine.
    """

    root: str
    location: str
    is_local: bool

    def sibling(self, ending: str) -> Stored:
        """Return the file beside it whose name differs in the ending alone."""
        return Stored(self.root, beside(self.location, ending), self.is_local)


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

    It is not looked at: a disk that hangs would hold up whoever asks. So paths are compared as they are
    written, and links count when it is opened.

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


def open_video(path: Any) -> Opened | None:
    """
    Open a video. Blocks, for as long as its storage likes.

    :param path: What an XCom names; see :func:`find`.
    :return: ``None`` if it may not be served, is not there, cannot be read or is no MP4.
    """
    stored = find(path)
    return None if stored is None else _open(stored, picture=False)


def open_picture(path: Any) -> Opened | None:
    """
    Open the picture beside a video. Blocks, for as long as its storage likes.

    :param path: The video, as an XCom names it; see :func:`find`.
    :return: ``None`` if it may not be served, or there is none.
    """
    video = find(path)
    if video is None:
        return None
    found = (_open(video.sibling(ending), picture=True) for ending in PICTURE_ENDINGS)
    return next((opened for opened in found if opened is not None), None)


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
    return _FILE_SCHEME.sub("", path)


def _local_below(root: str, path: str) -> Stored | None:
    top, asked = PurePath(os.path.normpath(root)), PurePath(os.path.normpath(path))
    if not top.is_absolute() or not asked.is_relative_to(top) or asked == top:
        return None
    return Stored(root, str(asked.relative_to(top)), is_local=True)


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
    return Stored(root, key[len(folder) :].lstrip("/"), is_local=False)


def _open(stored: Stored, *, picture: bool) -> Opened | None:
    try:
        open_it = _open_local if stored.is_local else _open_remote
        stream, beginning, size, version = open_it(stored)
    except FileNotFoundError:
        return None
    except Exception as error:
        # Whatever a storage says, to the person who looks it is not there.
        log.warning("A stored video cannot be read: %s: %s", type(error).__name__, error)
        return None
    kind = kind_of(beginning)
    if kind is None or kind.is_picture is not picture:
        stream.close()
        return None
    return Opened(stream, size, kind.media_type, version)


def _open_local(stored: Stored) -> tuple[BinaryIO, bytes, int, str]:
    root = PurePath(os.path.realpath(_without_file_scheme(stored.root)))
    real = PurePath(os.path.realpath(root / stored.location))
    # A link may lead to elsewhere below the root.
    if not real.is_relative_to(root) or real == root:
        raise FileNotFoundError(str(real))
    descriptor = _open_below(str(root), real.relative_to(root).parts)
    stream = os.fdopen(descriptor, "rb", buffering=0)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(str(real))
        beginning = stream.read(BEGINNING)
    except BaseException:
        stream.close()
        raise
    version = f"{found.st_mtime_ns:x}-{found.st_size:x}"
    return cast("BinaryIO", stream), beginning, found.st_size, version


def _open_below(root: str, parts: Sequence[str]) -> int:
    """Open a file step by step, so that no link is followed which somebody has put there meanwhile."""
    place = os.open(root, _PASSING)
    try:
        for folder in parts[:-1]:
            inner = os.open(folder, _PASSING, dir_fd=place)
            os.close(place)
            place = inner
        return os.open(parts[-1], os.O_RDONLY | _OPENING, dir_fd=place)
    finally:
        os.close(place)


def _open_remote(stored: Stored) -> tuple[BinaryIO, bytes, int, str]:
    root = ObjectStoragePath(stored.root)
    location = f"{root.path.rstrip('/')}/{stored.location}"
    info = root.fs.info(location)
    size = int(info.get("size") or 0)
    if info.get("type") != "file" or not size:
        raise FileNotFoundError(location)
    told = info.get("ETag") or info.get("etag") or info.get("LastModified") or info.get("mtime") or ""
    version = re.sub(r"[^A-Za-z0-9.:-]", "", f"{told}-{size:x}")
    beginning = root.fs.cat_file(location, start=0, end=min(BEGINNING, size))
    stream = root.fs.open(location, "rb", block_size=_READ_AHEAD)
    return cast("BinaryIO", stream), beginning, size, version

"""Moves files without holding them in memory, and leaves no half file under a final name."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from fsspec import AbstractFileSystem

from airflow_provider_runway.compat import ObjectStoragePath
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.files.kinds import BEGINNING, KINDS, kind_of

log = logging.getLogger(__name__)

#: Bytes of a video in memory at once. Larger writes are faster only while the kernel has large pages to give.
CHUNK_SIZE = 256 * 1024

#: The most bytes that kie.ai takes of a picture, and Aleph of a video: 10 MB, by its documentation.
LARGEST_UPLOAD = 10 * 1024 * 1024

#: By what file systems tell versions of a file: local ones, S3, GCS, Azure.
_VERSIONS = ("mtime", "ETag", "etag", "LastModified", "updated", "generation")

#: How the name of a file ends that is being written.
_PART = ".part"
#: Seconds without a write after which nobody is writing any more, where a file system has no locks.
_SURELY_DEAD = 3600.0

#: Stores where a file appears only when its writer commits it.
_COMMITTING = ("s3", "s3a", "gs", "gcs")

#: What has to be installed for a scheme, where Airflow's own message names something else.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
}


def reach(path: str) -> ObjectStoragePath:
    """
    Return a path, once the code that reaches its storage is there.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :raises RunwayValidationError: a package is missing, which no retry mends.
    """
    try:
        target = ObjectStoragePath(path)
        _ = target.fs
    # Airflow says with a ValueError that no provider knows the scheme.
    except (ImportError, ValueError) as error:
        scheme = path.partition("://")[0]
        package = _PACKAGES.get(scheme, f"the Airflow provider for {scheme}://")
        raise RunwayValidationError(f"path={path!r}: {error}. Install {package} on all workers.") from error
    return target


class Upload:
    """
    An open file that is to be sent, and knows how much of it is left, which is what a streamed multipart form
    needs.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :raises FileNotFoundError: there is no such file.
    :raises RunwayValidationError: it is a folder.
    """

    def __init__(self, path: str) -> None:
        source = reach(path)
        told = source.fs.info(source.path)
        if told.get("type") == "directory":
            raise RunwayValidationError(f"path={path!r}: must be a file, not a folder.")
        self.path = path
        self.len: int = told["size"]
        #: Tells this version of the file from others, as far as its storage does.
        self.version = repr((path, self.len, *(str(told[key]) for key in _VERSIONS if key in told)))
        self._stream: Any = source.fs.open(source.path, "rb")
        self.kind = kind_of(self._stream.read(BEGINNING))
        self._stream.seek(0)

    def check(self, what: str = "path", *, pictures: bool = True, videos: bool = True) -> None:
        """
        Refuse what kie.ai does not take, before anything is sent.

        :param what: What the file was given as, for the error.
        :param pictures: Whether it may be a picture.
        :param videos: Whether it may be a video.
        :raises RunwayValidationError: it is of another kind, empty, or too large.
        """
        wanted = [kind for kind in KINDS if (pictures if kind.is_picture else videos)]
        if self.kind not in wanted:
            names = " or ".join(kind.name for kind in wanted)
            found = "empty" if not self.len else self.kind.name if self.kind else "something else"
            raise RunwayValidationError(
                f"{what}={self.path!r}: must be {names} by its content; it is {found}."
            )
        if self.len > LARGEST_UPLOAD:
            raise RunwayValidationError(
                f"{what}={self.path!r}: must have at most {LARGEST_UPLOAD} bytes (10 MB); it has {self.len}."
            )

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most ``size`` of them."""
        data: bytes = self._stream.read(size)
        self.len -= len(data)
        return data

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def store(chunks: Iterable[bytes], path: str) -> int:
    """
    Write a file that nobody sees before it is complete, and return its size in bytes.

    :param chunks: The content. Where it raises, nothing stays behind.
    :param path: A local path or a URI that ``ObjectStoragePath`` understands, taken literally: ``*``, ``?``
        and ``[`` are characters like others. An existing file is replaced.
    :raises RunwayValidationError: the path is that of a local folder.
    """
    target = reach(path)
    if is_local(target):
        if target.is_dir():
            raise RunwayValidationError(
                f"path={path!r}: must be the name of a file, not a folder; a folder's path ends with '/'."
            )
        return _store_locally(chunks, Path(target.path))
    if target.protocol in _COMMITTING:
        return _store_committing(chunks, target)
    return _store_moving(chunks, target)


def is_local(target: ObjectStoragePath) -> bool:
    """Return whether a path is one of this machine."""
    return target.protocol in ("", "file", "local")


def read(path: str) -> Iterator[bytes]:
    """
    Yield the content of a file.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :raises FileNotFoundError: there is no such file.
    """
    target = reach(path)
    # The file system's own `open`, since a path's may take `*` for a pattern.
    with target.fs.open(target.path, "rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            yield chunk


def _store_locally(chunks: Iterable[bytes], target: Path) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_dead_parts(target)
    part = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}{_PART}"
    try:
        with part.open("xb") as file:
            _lock(file)
            size = _write(chunks, file)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def _write(chunks: Iterable[bytes], file: Any) -> int:
    size = 0
    for chunk in chunks:
        file.write(chunk)
        size += len(chunk)
    return size


def _lock(file: IO[bytes]) -> bool:
    """Mark a part as being written, which ends with its process; return whether nobody else had."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # A file system without locks.
        log.debug("No lock: %s", error)
        return time.time() - os.fstat(file.fileno()).st_mtime > _SURELY_DEAD
    return True


def _clear_dead_parts(target: Path) -> None:
    """Remove what earlier writers of the same file left when they were killed."""
    beginning = f".{target.name}."
    with contextlib.suppress(OSError):
        for entry in os.scandir(target.parent):
            name = entry.name
            if not (name.startswith(beginning) and name.endswith(_PART)) or len(name) != len(beginning) + 13:
                continue
            with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                if _lock(file):
                    os.unlink(entry.path)


def _store_committing(chunks: Iterable[bytes], target: ObjectStoragePath) -> int:
    file = target.fs.open(target.path, "wb", autocommit=False)
    try:
        size = _write(chunks, file)
        file.close()
        file.commit()
    except BaseException:
        for give_up in (file.close, file.discard):
            with contextlib.suppress(Exception):
                give_up()
        raise
    return size


def _store_moving(chunks: Iterable[bytes], target: ObjectStoragePath) -> int:
    fs = target.fs
    folder, _, name = target.path.rpartition("/")
    part = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}{_PART}"
    with contextlib.suppress(Exception):
        fs.makedirs(folder, exist_ok=True)
    try:
        with fs.open(part, "wb") as file:
            size = _write(chunks, file)
        if type(fs).mv is AbstractFileSystem.mv:
            # That would take a `*` in a name for a pattern.
            fs.cp_file(part, target.path)
            fs.rm_file(part)
        else:
            fs.mv(part, target.path)
    except BaseException:
        with contextlib.suppress(Exception):
            fs.rm_file(part)
        raise
    return size

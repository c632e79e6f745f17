"""Writes files that nobody sees before they are complete, and clears up after writers that died."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from fsspec import AbstractFileSystem

from airflow_provider_runway.compat import ObjectStoragePath
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.files.storage import is_local, reach

log = logging.getLogger(__name__)

#: How the name of a file ends that is being written.
_PART = ".part"
#: Bytes that a file name may have on the usual file systems.
_LONGEST_NAME = 255
#: Seconds without a write after which nobody is writing any more. A download that goes on waits for data and
#: pauses for some minutes at most.
_SURELY_DEAD = 900.0

#: How often a part is made that another writer seems to have taken.
_MOST_ATTEMPTS = 5

#: Stores where a file appears only when its writer closes it, all of it at once.
_COMMITTING = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
#: Bytes that are collected for one request of an upload in parts; S3 takes 10,000 of them.
_BLOCK_SIZE = 8 * 1024 * 1024


def store(chunks: Iterable[bytes], path: str, *, replace: bool = True) -> int:
    """
    Write a file that nobody sees before it is complete, and return its size in bytes.

    :param chunks: The content. Where it raises, nothing stays behind.
    :param path: A local path or a URI that ``ObjectStoragePath`` understands, taken literally: ``*``, ``?``
        and ``[`` are characters like others.
    :param replace: Whether a file that is there is replaced.
    :raises FileExistsError: there is one, also one that came while this was written.
    :raises RunwayValidationError: the path is that of a local folder.
    """
    target = reach(path)
    if is_local(target):
        if target.is_dir():
            raise RunwayValidationError(
                f"path={path!r}: must be the name of a file, not a folder; a folder's path ends with '/'."
            )
        return _store_locally(chunks, Path(target.path), replace)
    if target.protocol in _COMMITTING:
        return _store_committing(chunks, target, replace)
    return _store_moving(chunks, target, replace)


def remove(path: str) -> None:
    """
    Remove a file, if there is one.

    :param path: As for :func:`store`.
    """
    target = reach(path)
    # Asks for a single object: some stores that speak S3 do not know the request that removes several, which
    # `unlink` uses for one, too.
    with contextlib.suppress(FileNotFoundError):
        target.fs.rm_file(target.path)


def _write(chunks: Iterable[bytes], file: Any) -> int:
    size = 0
    for chunk in chunks:
        file.write(chunk)
        size += len(chunk)
    return size


def _store_locally(chunks: Iterable[bytes], target: Path, replace: bool) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    beginning = _part_name(target.name, "")
    with contextlib.suppress(OSError):
        _clear_dead_parts(target.parent, beginning)
    part, file = _new_part(target)
    # A disk can say that it is full as late as when the file is closed; until the part has its name, this
    # keeps it marked.
    mark = os.dup(file.fileno())
    try:
        with file:
            size = _write(chunks, file)
        if replace:
            os.replace(part, target)
        else:
            _name_once(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(mark)
    return size


def _new_part(target: Path) -> tuple[Path, IO[bytes]]:
    """Return a part and its file, marked as being written where that is possible."""
    attempts = 0
    while True:
        attempts += 1
        part = target.parent / _part_name(target.name, _here() + uuid.uuid4().hex[:8])
        file = part.open("xb")
        # Before it was marked, another writer may have taken it for one that a dead writer left.
        is_ours = _lock(file) is not False and os.path.lexists(part)
        # Some file systems refuse every lock: then nobody takes a part for a dead writer's, either.
        if is_ours or attempts == _MOST_ATTEMPTS:
            return part, file
        file.close()
        part.unlink(missing_ok=True)


def _name_once(part: Path, target: Path) -> None:
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if os.path.lexists(target):
            raise FileExistsError(str(target)) from None
        os.replace(part, target)
    else:
        part.unlink()


def _part_name(name: str, token: str) -> str:
    """Return the name of a part: hidden, and telling which file it is a part of."""
    longest = _LONGEST_NAME - len(f"..{_PART}") - 12
    if len(name.encode()) > longest:
        name = hashlib.sha256(name.encode()).hexdigest()
    return f".{name}.{token}{_PART}" if token else f".{name}."


def _here() -> str:
    """Return four digits that tell this machine from others that see the same files."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


def _is_part(name: str, beginning: str) -> bool:
    token = name.removeprefix(beginning).removesuffix(_PART)
    return name == f"{beginning}{token}{_PART}" and len(token) == 12 and token.isalnum()


def _lock(file: IO[bytes]) -> bool | None:
    """
    Mark a part as being written, which ends with its process; return whether nobody else had, or ``None``
    where the file system has no locks.
    """
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.debug("No lock: %s", error)
        return None
    return True


def _clear_dead_parts(folder: Path, beginning: str) -> None:
    """Remove what earlier writers of the same file left when they were killed."""
    with os.scandir(folder) as entries:
        parts = [entry for entry in entries if _is_part(entry.name, beginning)]
    for part in parts:
        with contextlib.suppress(OSError), open(part.path, "rb") as file:
            # Locks of another machine may not be seen here.
            ours = part.name.startswith(beginning + _here())
            is_free = _lock(file)
            is_old = time.time() - os.fstat(file.fileno()).st_mtime > _SURELY_DEAD
            if is_free is not False and (is_old or (ours and is_free)):
                os.unlink(part.path)
                log.info("Removed %s, which a writer left that was killed", part.path)


def _store_committing(chunks: Iterable[bytes], target: ObjectStoragePath, replace: bool) -> int:
    fs = target.fs
    mode = "wb"
    if target.protocol in ("s3", "s3a"):
        with _at_best():
            _abort_dead_uploads(fs, target.path)
        mode = "wb" if replace else "xb"
    try:
        file = fs.open(target.path, mode, block_size=_BLOCK_SIZE)
    except NotImplementedError:
        # s3fs before 2025 has no "xb".
        file = fs.open(target.path, "wb", block_size=_BLOCK_SIZE)
    try:
        size = _write(chunks, file)
        _check_free(fs, target, replace)
        _commit(fs, target, file)
    except BaseException:
        with _at_best():
            file.discard()
        # What is closed is not committed when it is thrown away.
        with contextlib.suppress(AttributeError):
            file.closed = True
        raise
    return size


def _commit(fs: Any, target: ObjectStoragePath, file: Any) -> None:
    """Let an object appear; in the mode "xb", only where there is none at that very moment."""
    try:
        file.close()
    except Exception as error:
        if file.mode != "xb":
            raise
        # Stores that speak S3 say in different words that there is one.
        _check_free(fs, target, replace=False)
        # Some, and a botocore before 1.35.20, do not know the condition at all.
        is_unknown = isinstance(error, OSError) and error.errno == errno.ENOSYS
        if not is_unknown and type(error).__name__ != "ParamValidationError":
            raise
        file.mode = "wb"
        file.commit()


def _abort_dead_uploads(fs: Any, path: str) -> None:
    """Abort what earlier writers of the same object had begun when they were killed; S3 charges for it."""
    bucket, key, *_ = fs.split_path(path)
    begun = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads") or []
    for upload in begun:
        if upload["Key"] != key:
            continue
        parts = fs.call_s3("list_parts", Bucket=bucket, Key=key, UploadId=upload["UploadId"]).get("Parts")
        moments = [upload["Initiated"], *(part["LastModified"] for part in parts or ())]
        if time.time() - max(moment.timestamp() for moment in moments) > _SURELY_DEAD:
            fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload["UploadId"])
            log.info("Aborted an upload of %s that a writer left that was killed", path)


def _store_moving(chunks: Iterable[bytes], target: ObjectStoragePath, replace: bool) -> int:
    fs = target.fs
    folder, _, name = target.path.rpartition("/")
    with _at_best():
        fs.makedirs(folder, exist_ok=True)
    with _at_best():
        for old in _dead_parts(fs, folder, _part_name(name, "")):
            fs.rm_file(old)
    part = f"{folder}/{_part_name(name, _here() + uuid.uuid4().hex[:8])}"
    try:
        with fs.open(part, "wb") as file:
            size = _write(chunks, file)
        _check_free(fs, target, replace)
        _move(fs, part, target.path)
    except BaseException:
        with _at_best():
            fs.rm_file(part)
        raise
    return size


def _dead_parts(fs: Any, folder: str, beginning: str) -> Iterator[str]:
    for entry in fs.ls(folder, detail=True):
        modified: Any = entry.get("mtime") or entry.get("modified") or entry.get("created")
        seconds = modified.timestamp() if isinstance(modified, datetime) else modified
        name = str(entry["name"])
        is_old = isinstance(seconds, int | float) and time.time() - seconds > _SURELY_DEAD
        if is_old and _is_part(name.rpartition("/")[2], beginning):
            yield name


def _move(fs: Any, part: str, path: str) -> None:
    own: Callable[..., Any] = type(fs).mv
    if own is AbstractFileSystem.mv:
        # That would take a `*` in a name for a pattern.
        fs.cp_file(part, path)
        fs.rm_file(part)
    else:
        fs.mv(part, path)


def _check_free(fs: Any, target: ObjectStoragePath, replace: bool) -> None:
    if replace:
        return
    fs.invalidate_cache()
    if fs.exists(target.path):
        raise FileExistsError(str(target))


@contextlib.contextmanager
def _at_best() -> Iterator[None]:
    """Let what is good to have fail quietly: a key may write an object without seeing others."""
    try:
        yield
    except Exception as error:
        log.debug("Left as it is: %s", error)

"""Reaches any storage that Airflow knows, and reads files from it without holding them in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

#: Bytes that are asked of an object store at once.
_BLOCK_SIZE = 8 * 1024 * 1024

#: What has to be installed for a scheme, where Airflow's own message names something else.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
}


def reach(path: str, what: str = "path") -> ObjectStoragePath:
    """
    Return a path, once the code that reaches its storage is there.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :param what: What it was given as, for the error.
    :raises RunwayValidationError: a package is missing, or the name cannot be had: no retry mends that.
    """
    try:
        target = ObjectStoragePath(path)
        _ = target.fs
    # Airflow says with a ValueError that no provider knows the scheme.
    except (ImportError, ValueError) as error:
        scheme = path.partition("://")[0]
        package = _PACKAGES.get(scheme, f"the Airflow provider for {scheme}://")
        raise RunwayValidationError(f"{what}={path!r}: {error}. Install {package} on all workers.") from error
    # Airflow takes a path for a URL, and an empty query or fragment out of it: a "?" at the end is lost.
    taken = str(target.path)
    before, _, name = path.rpartition("/")
    if before.endswith(":/"):
        # A bucket alone, after its connection; Airflow puts a "/" at its end.
        name, taken = name.rpartition("@")[2], taken.rstrip("/")
    if not taken.endswith(name):
        raise RunwayValidationError(
            f"{what}={path!r}: Airflow takes it for {taken!r}; choose a name without '?' and '#'."
        )
    return target


class Upload:
    """
    An open file that is to be sent, and knows how much of it is left, which is what a streamed multipart form
    needs.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :param what: What it was given as, for errors.
    :raises FileNotFoundError: there is no such file.
    :raises RunwayValidationError: it is a folder, or its storage cannot be reached.
    """

    def __init__(self, path: str, what: str = "path") -> None:
        source = reach(path, what)
        told = source.fs.info(source.path)
        if told.get("type") == "directory":
            raise RunwayValidationError(f"{what}={path!r}: must be a file, not a folder.")
        self.path, self._what = path, what
        self.len: int = told["size"]
        #: Tells this version of the file from others, as far as its storage does.
        self.version = repr((path, self.len, *(str(told[key]) for key in _VERSIONS if key in told)))
        self._stream: Any = source.fs.open(source.path, "rb")
        self.kind = kind_of(self._stream.read(BEGINNING))
        self._stream.seek(0)

    def check(self, *, pictures: bool = True, videos: bool = True) -> None:
        """
        Refuse what kie.ai does not take, before anything is sent.

        :param pictures: Whether it may be a picture.
        :param videos: Whether it may be a video.
        :raises RunwayValidationError: it is of another kind, empty, or too large.
        """
        wanted = [kind for kind in KINDS if (pictures if kind.is_picture else videos)]
        if self.kind not in wanted:
            names = " or ".join(kind.name for kind in wanted)
            found = "empty" if not self.len else self.kind.name if self.kind else "something else"
            raise RunwayValidationError(
                f"{self._what}={self.path!r}: must be {names} by its content; it is {found}."
            )
        if self.len > LARGEST_UPLOAD:
            raise RunwayValidationError(
                f"{self._what}={self.path!r}: must have at most {LARGEST_UPLOAD} bytes (10 MB); "
                f"it has {self.len}."
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


def is_local(target: ObjectStoragePath) -> bool:
    """Return whether a path is one of this machine."""
    return target.protocol in ("", "file", "local")


def check_writable(target: ObjectStoragePath, path: str) -> None:
    """
    Refuse a place in which nothing can be stored, as far as that shows without writing.

    :param target: The place.
    :param path: How it was given.
    :raises RunwayValidationError: there is no such bucket, or the folder may not be written to.
    """
    if is_local(target):
        # What is missing of the folders is made.
        place = Path(target.path).absolute()
        folders = (place, *place.parents) if path.endswith("/") else place.parents
        folder = next(folder for folder in folders if os.path.lexists(folder))
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise RunwayValidationError(f"path={path!r}: {str(folder)!r} is not a writable folder.")
    elif target.bucket:
        try:
            target.fs.info(target.bucket)
        except FileNotFoundError as error:
            raise RunwayValidationError(f"path={path!r}: there is no bucket {target.bucket!r}.") from error
        except Exception as error:
            # Whoever may write to a bucket need not be allowed to ask for it.
            log.debug("Whether there is a bucket %r cannot be seen: %s", target.bucket, error)


def read(path: str) -> Iterator[bytes]:
    """
    Yield the content of a file.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :raises FileNotFoundError: there is no such file.
    """
    target = reach(path)
    # The file system's own `open`, since a path's may take `*` for a pattern.
    target.fs.invalidate_cache()
    with target.fs.open(target.path, "rb", block_size=_BLOCK_SIZE) as file:
        while chunk := file.read(CHUNK_SIZE):
            yield chunk

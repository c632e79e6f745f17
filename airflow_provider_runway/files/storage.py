"""Moves files without holding them in memory, and leaves no half file under a final name."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable
from typing import Any

from airflow_provider_runway.compat import ObjectStoragePath
from airflow_provider_runway.exceptions import RunwayValidationError

#: Bytes of a video in memory at once. Larger writes are faster only while the kernel has large pages to give.
CHUNK_SIZE = 256 * 1024


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
    An open file that knows how much of it is left, which is what a streamed multipart form needs.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands.
    :raises FileNotFoundError: there is no such file.
    """

    def __init__(self, path: str) -> None:
        source = reach(path)
        self.name: str = source.name
        self.len: int = source.stat().st_size
        self._stream: Any = source.open("rb")

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
    Write a file under a name of its own, give it the final name once it is complete, and return its size in
    bytes.

    :param chunks: The content. Where it raises, nothing stays behind.
    :param path: A local path or a URI that ``ObjectStoragePath`` understands; an existing file is replaced.
    :raises RunwayValidationError: the path is that of a local folder.
    """
    target = reach(path)
    if target.protocol in ("", "file"):
        if target.is_dir():
            raise RunwayValidationError(
                f"path={path!r}: must be the name of a file, not a folder; a folder's path ends with '/'."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
    part = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
    size = 0
    try:
        with part.open("wb") as file:
            for chunk in chunks:
                size += file.write(chunk)
        part.fs.mv(part.path, target.path)
    except BaseException:
        with contextlib.suppress(Exception):
            part.unlink()
        raise
    return size

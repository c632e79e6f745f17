"""Keeps a video: under its name, whole, once, and with its story beside it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwayServerError,
    RunwayStorageError,
    RunwayValidationError,
)
from airflow_provider_runway.files import naming, storage, writing
from airflow_provider_runway.files.kinds import PICTURE_ENDINGS
from airflow_provider_runway.files.mp4 import Boxes

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask

log = logging.getLogger(__name__)

#: Bytes of a manifest at most; what is longer is another file.
_LONGEST_MANIFEST = 1024 * 1024
#: How many chunks at most wait to be hashed.
_AHEAD = 4
_NOT_THERE = (FileNotFoundError, IsADirectoryError)
#: By what a manifest is told from other JSON files.
_OF_A_MANIFEST = {"path", "size", "sha256", "stored_at"}


@dataclass(frozen=True)
class Kept:
    """
    A stored video.

    :param path: Where it is: a local path or a URI, with the file's name.
    :param size: Its size in bytes.
    :param sha256: Its SHA-256, in hexadecimal digits.
    :param manifest: Its manifest: what was requested, IDs, times, credits, size and SHA-256.
    """

    path: str
    size: int
    sha256: str
    manifest: dict[str, Any]


class Keeper:
    """
    Stores one video.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands; with a ``/`` at its end a
        folder, in which the file is named after the Runway task.
    :param task: The finished Runway task; ``None`` where only the URL is known.
    :param video_url: The URL of the video.
    :param request: What was asked for, for the manifest; see
        :func:`~airflow_provider_runway.triggers.results.description_of`.
    :param overwrite: Replace any file that is there.
    """

    def __init__(
        self,
        path: str,
        *,
        task: RunwayTask | None,
        video_url: str,
        request: dict[str, Any] | None,
        overwrite: bool,
    ) -> None:
        path = naming.check_path(path)
        self.path = naming.file_in(path, task.task_id if task else None, video_url)
        self._is_named_after_task = task is not None and naming.names(self.path, task.task_id)
        self._task = task
        self._video_url = video_url
        self._request = request or {}
        self._overwrite = self._replace = overwrite
        self._there: _Fingerprint | None = None

    def check_manifest(self) -> None:
        """
        Find out before anything is fetched that the manifest would replace a file that is none of this video.

        :raises RunwayValidationError: it would, and ``overwrite`` was not given.
        """
        if not self._overwrite and self._told is not None and not self._is_ours:
            raise RunwayValidationError(
                f"path={self.path!r}: the manifest would replace {naming.beside(self.path, '.json')!r}, a "
                "file that is not this video's, and overwrite=True was not given."
            )

    def already(self) -> Kept | None:
        """
        Return the video if it is there already, provably whole; ``None`` if it is to be stored.

        It is known by its manifest, or by a name that has the Runway task ID in it.

        :raises RunwayValidationError: another file is there, and ``overwrite`` was not given.
        """
        if self._overwrite:
            return None
        fingerprint = self._read()
        if fingerprint is None:
            return None
        told = self._told or {}
        if self._is_ours and told.get("sha256") == fingerprint.sha256:
            return self._kept(fingerprint)
        if self._task is not None and told.get("runway_task_id", self._task.task_id) != self._task.task_id:
            raise self._another_file(f"it is the video of Runway task {told['runway_task_id']}")
        if self._is_named_after_task:
            if not fingerprint.size or fingerprint.boxes.are_a_part:
                log.warning("%s exists, but is incomplete: storing it again", self.path)
                self._replace = True
                return None
            if not fingerprint.boxes.are_whole:
                raise self._another_file("it is no MP4")
            if not self._is_ours:
                return self._kept(fingerprint)
        if self._is_ours and "sha256" in told:
            raise self._another_file("it has changed since it was stored")
        self._there = fingerprint
        return None

    def store(self, chunks: Callable[[], Iterable[bytes]]) -> Kept:
        """
        Store the video and return it.

        :param chunks: Begins a download, and gives its bytes.
        :raises RunwayValidationError: another file is there, which is not to be overwritten.
        :raises RunwayStorageError: the storage did not take it.
        """
        there = self._there
        fingerprint = _Fingerprint(chunks())
        if there is None:
            try:
                with _using(self.path, FileExistsError):
                    writing.store(_whole(fingerprint), self.path, replace=self._replace)
            except FileExistsError as error:
                # Another try may have been faster.
                there = self._read()
                if there is None:
                    raise _storage_error(
                        self.path, f"something is there that cannot be read as a file ({error})"
                    ) from error
        if there is not None and fingerprint.finish().sha256 != there.sha256:
            raise self._another_file("it is not this video")
        return self._kept(fingerprint)

    def write_manifest(self, kept: Kept) -> None:
        """
        Write the story of a video beside it, as JSON, unless it is there.

        :param kept: The stored video.
        :raises RunwayStorageError: the storage did not take it.
        """
        if not self._overwrite and self._is_ours and (self._told or {}).get("sha256") == kept.sha256:
            return
        text = json.dumps(kept.manifest, indent=2, ensure_ascii=False) + "\n"
        path = naming.beside(kept.path, ".json")
        with _using(path):
            writing.store([text.encode()], path)

    def clear_up(self, kept: Kept) -> None:
        """
        Remove the manifest of the video that was replaced by this one, if there is one.

        :param kept: The stored video.
        """
        if not self._replace:
            return
        try:
            told = self._told or {}
            if told.keys() >= _OF_A_MANIFEST and told["sha256"] != kept.sha256:
                writing.remove(naming.beside(kept.path, ".json"))
        # The video is stored, and whoever may write need not be allowed to read or to remove.
        except Exception as error:
            log.warning("The manifest of the video that was replaced may be there still: %s", error)

    def earlier_picture(self) -> str | None:
        """
        Return how the name ends of the picture that the manifest of an earlier video tells of; ``None`` where
        there is none, or nobody knows. To be asked for before the manifest is replaced.
        """
        try:
            told = self._told or {}
        except RunwayError as error:
            log.debug("Nobody knows whether there is an earlier picture: %s", error)
            return None
        url = told.get("image_url")
        if not (told.keys() >= _OF_A_MANIFEST and isinstance(url, str)):
            return None
        return next((ending for ending in PICTURE_ENDINGS if url.lower().endswith(ending)), None)

    @cached_property
    def _told(self) -> dict[str, Any] | None:
        """What the file says that has the manifest's name; ``None`` where there is none."""
        text = b""
        path = naming.beside(self.path, ".json")
        try:
            with _using(path, *_NOT_THERE):
                for chunk in storage.read(path):
                    text += chunk
                    if len(text) > _LONGEST_MANIFEST:
                        return {}
            told = json.loads(text)
        except _NOT_THERE:
            return None
        # A deep nesting is a RecursionError.
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}

    @property
    def _is_ours(self) -> bool:
        told = self._told or {}
        if self._task is not None:
            return told.get("runway_task_id") == self._task.task_id
        return told.get("video_url") == self._video_url.partition("?")[0]

    def _read(self) -> _Fingerprint | None:
        try:
            with _using(self.path, *_NOT_THERE):
                return _Fingerprint(storage.read(self.path)).finish()
        except _NOT_THERE:
            return None

    def _another_file(self, why: str) -> RunwayValidationError:
        return RunwayValidationError(
            f"path={self.path!r}: another file is there ({why}), and overwrite=True was not given. Nothing "
            "was stored."
        )

    def _kept(self, fingerprint: _Fingerprint) -> Kept:
        size, sha256 = fingerprint.size, fingerprint.sha256
        task = self._task
        story: dict[str, Any] = {**self._request, "path": self.path, "size": size, "sha256": sha256}
        story["video_url"] = self._video_url.partition("?")[0]
        story["stored_at"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        if task is not None:
            story |= {
                "runway_task_id": task.task_id,
                "model": task.model,
                "video_id": task.video_id,
                "image_url": task.image_url and task.image_url.partition("?")[0],
                "parent_task_id": task.parent_task_id or self._request.get("parent_task_id"),
                "prompt": self._request.get("prompt") or task.prompt,
                "created_at": task.created_at and task.created_at.isoformat(),
                "completed_at": task.completed_at and task.completed_at.isoformat(),
                "credits_consumed": task.credits_consumed,
            }
        manifest = {key: value for key, value in story.items() if value is not None}
        return Kept(self.path, size, sha256, manifest)


@contextmanager
def _using(path: str, *expected: type[Exception]) -> Iterator[None]:
    """Let what goes wrong with a storage say that the video is not lost."""
    try:
        yield
    except expected:
        raise
    except RunwayError:
        raise
    # A storage raises what it likes.
    except Exception as error:
        raise _storage_error(path, f"{type(error).__name__}: {error}") from error


def _storage_error(path: str, why: str) -> RunwayStorageError:
    return RunwayStorageError(
        f"{why}: path={path!r} cannot be read or written. Nothing half is left there. kie.ai keeps the video "
        "for 14 days: a retry stores it, and costs no credits."
    )


def _whole(fingerprint: _Fingerprint) -> Iterator[bytes]:
    """Yield a video, and raise where it ends too early though the server takes that for its end."""
    yield from fingerprint
    if fingerprint.boxes.are_cut:
        raise RunwayServerError(f"the video ends in the middle, after {fingerprint.size} bytes")


class _Fingerprint:
    """Passes a file's bytes on, and knows their number, their SHA-256 and its boxes afterwards."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()
        self.size = 0
        self.boxes = Boxes()

    def __iter__(self) -> Iterator[bytes]:
        # Meanwhile one chunk is written and the next is read: none of the three holds Python's lock.
        with ThreadPoolExecutor(1, "sha256") as helper:
            hashed: deque[Future[None]] = deque()
            for chunk in self._chunks:
                if len(hashed) == _AHEAD:
                    hashed.popleft().result()
                hashed.append(helper.submit(self._hash.update, chunk))
                self.boxes.feed(chunk)
                self.size += len(chunk)
                yield chunk
            for one in hashed:
                one.result()

    def finish(self) -> _Fingerprint:
        for _ in self:
            pass
        return self

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

"""Keeps a video: under its name, whole, once, and with its story beside it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.files import naming, storage
from airflow_provider_runway.files.mp4 import Boxes

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """
    A stored video.

    :param path: Where it is: a local path or a URI, with the file's name.
    :param size: Its size in bytes.
    :param sha256: Its SHA-256, in hexadecimal digits.
    :param manifest: Its story: what was asked for, IDs, times, credits, size and SHA-256.
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
        naming.check_path(path)
        self._is_named_after_task = task is not None and path.endswith("/")
        self.path = naming.file_in(path, task.task_id if task else None, video_url)
        self._task = task
        self._video_url = video_url
        self._request = request or {}
        self._overwrite = overwrite
        self._there: _Fingerprint | None = None

    def already(self) -> Kept | None:
        """
        Return the video if it is there already, provably whole; ``None`` if it is to be stored.

        It is known by its manifest, or by its name where that is the Runway task's.
        """
        if self._overwrite:
            return None
        try:
            fingerprint = _Fingerprint(storage.read(self.path)).finish()
        except (FileNotFoundError, IsADirectoryError):
            return None
        told = self._told()
        if self._task is not None and told.get("runway_task_id") == self._task.task_id:
            known = told.get("sha256") == fingerprint.sha256
        else:
            known = self._is_named_after_task and fingerprint.boxes.are_whole
        if known:
            return self._kept(fingerprint)
        if self._is_named_after_task:
            log.warning("%s is there, but not whole: it is stored anew", self.path)
            return None
        self._there = fingerprint
        return None

    def store(self, chunks: Callable[[], Iterable[bytes]]) -> Kept:
        """
        Store the video and return it.

        :param chunks: Begins a download, and gives its bytes.
        :raises RunwayValidationError: another file is there, which is not to be overwritten.
        """
        there = self._there
        fingerprint = _Fingerprint(chunks())
        if there is None:
            storage.store(fingerprint, self.path)
        elif fingerprint.finish().sha256 != there.sha256:
            raise RunwayValidationError(
                f"path={self.path!r}: another file is there, and overwrite=True was not given. The video is "
                f"still at {self._video_url.partition('?')[0]}"
            )
        return self._kept(fingerprint)

    def write_manifest(self, kept: Kept) -> None:
        """
        Write the story of a video beside it, as JSON, unless it is there.

        :param kept: The stored video.
        """
        if not self._overwrite and self._told().get("sha256") == kept.sha256:
            return
        text = json.dumps(kept.manifest, indent=2, ensure_ascii=False) + "\n"
        storage.store([text.encode()], naming.beside(kept.path, ".json"))

    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads(b"".join(storage.read(naming.beside(self.path, ".json"))))
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

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
                "parent_task_id": task.parent_task_id or self._request.get("parent_task_id"),
                "prompt": self._request.get("prompt") or task.prompt,
                "created_at": task.created_at and task.created_at.isoformat(),
                "completed_at": task.completed_at and task.completed_at.isoformat(),
                "credits_consumed": task.credits_consumed,
            }
        manifest = {key: value for key, value in story.items() if value is not None}
        return Kept(self.path, size, sha256, manifest)


class _Fingerprint:
    """Passes a file's bytes on, and knows their number, their SHA-256 and its boxes afterwards."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._hash = hashlib.sha256()
        self.size = 0
        self.boxes = Boxes()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            self.boxes.feed(chunk)
            self.size += len(chunk)
            yield chunk

    def finish(self) -> _Fingerprint:
        for _ in self:
            pass
        return self

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

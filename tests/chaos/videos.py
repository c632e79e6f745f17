"""Where the videos of the chaos run are stored, as who looks at them afterwards sees it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_runway.files.mp4 import Boxes
from airflow_provider_runway.submissions.stores import MARKER


class Videos(Protocol):
    """A place for videos."""

    #: The path or URI that the operators are given.
    root: str

    def paths(self) -> list[str]:
        """Return the paths of all that is there."""

    def content(self, path: str) -> bytes | None:
        """
        Return what is stored, or ``None`` where nothing is.

        :param path: as a task named it, or as ``paths`` does
        """


class LocalVideos:
    """
    A folder.

    :param folder: where it is
    """

    def __init__(self, folder: Path) -> None:
        self.root = str(folder)

    def paths(self) -> list[str]:
        """Return the paths of all files."""
        return sorted(str(path) for path in Path(self.root).rglob("*") if path.is_file())

    def content(self, path: str) -> bytes | None:
        """Return what is in a file."""
        file = Path(path)
        return file.read_bytes() if file.is_file() else None


class S3Videos:
    """
    A bucket, made here.

    :param client: boto3's client of the server
    :param conn_id: the Airflow connection by which the operators reach it
    """

    BUCKET = "videos"

    def __init__(self, client: Any, conn_id: str) -> None:
        self._client = client
        self._beginning = f"s3://{conn_id}@{self.BUCKET}/"
        self.root = f"{self._beginning}kept"
        #: Where the notes are, with an Airflow that has no store of its own for them.
        self.state_path = f"{self._beginning}state"
        client.create_bucket(Bucket=self.BUCKET)

    def paths(self) -> list[str]:
        """Return the URIs of all objects."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.BUCKET)
        return sorted(self._beginning + entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def content(self, path: str) -> bytes | None:
        """Return what an object holds."""
        key = path.removeprefix(self._beginning)
        with suppress(self._client.exceptions.NoSuchKey):
            content: bytes = self._client.get_object(Bucket=self.BUCKET, Key=key)["Body"].read()
            return content
        return None


def rests(videos: Videos) -> list[str]:
    """
    Return the paths of what nobody meant to leave: half a video, half a note, a file that is neither.

    :param videos: the place to look at
    """
    return [path for path in videos.paths() if not _is_meant(path, videos.content(path) or b"")]


def _is_meant(path: str, content: bytes) -> bool:
    if path.endswith(".json"):
        try:
            json.loads(content)
        except ValueError:
            return False
        return True
    return path.endswith(f"/{MARKER}") or (path.endswith(".mp4") and _has_whole_boxes(content))


def is_whole(content: bytes | None, size: int, sha256: str) -> bool:
    """
    Return whether this is a complete video, with the size and the SHA-256 that the task said it has.

    :param content: what is stored
    :param size: in bytes
    :param sha256: in hexadecimal digits
    """
    if content is None or not _has_whole_boxes(content):
        return False
    return len(content) == size and hashlib.sha256(content).hexdigest() == sha256


def _has_whole_boxes(content: bytes) -> bool:
    boxes = Boxes()
    boxes.feed(content)
    return boxes.are_whole

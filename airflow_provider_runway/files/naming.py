"""Where a video is stored, and under which name."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_runway.compat import ObjectStoragePath
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.files import storage

_LONGEST_NAME = 200
#: Bytes of a name on the usual file systems, and of a key in the usual object stores.
_LONGEST_LOCAL_NAME, _LONGEST_KEY = 255, 1024
#: Control characters, and halves of surrogate pairs.
_NO_NAME = re.compile("[\x00-\x1f\ud800-\udfff]")


def check_path(path: Any) -> str:
    """
    Return a place for a video as a text; refuse what cannot be one, and what can be known not to be one.

    :param path: A local path or a URI that ``ObjectStoragePath`` understands, as a text or a path object;
        with a ``/`` at its end a folder.
    :raises RunwayValidationError: it is neither, or empty; it names no file, or one with too long a name; or
        a package is missing that reaches its storage.
    """
    if isinstance(path, ObjectStoragePath):
        path = str(path)
    elif isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str) or not path.strip():
        raise RunwayValidationError(f"path={path!r}: required: where to store the video.")
    if path == "None":
        raise RunwayValidationError(
            f"path={path!r}: is what a template makes of a value that is not there; check the task upstream."
        )
    scheme, is_uri, rest = path.partition("://")
    if _NO_NAME.search(path) or path.rstrip("/").rpartition("/")[2] in (".", ".."):
        raise RunwayValidationError(f"path={path!r}: must name a file, or a folder with a '/' at its end.")
    if is_uri and scheme in ("http", "https"):
        raise RunwayValidationError(f"path={path!r}: must be in a storage, which a web address is not.")
    if is_uri and scheme not in ("file", "local") and not rest.partition("/")[1]:
        raise RunwayValidationError(f"path={path!r}: must name a file in {path!r}; a folder ends with '/'.")
    target = storage.reach(path)
    check_length(path, target)
    if not path.endswith("/") and storage.is_local(target) and os.path.isdir(target.path):
        raise RunwayValidationError(
            f"path={path!r}: there is a folder. With a '/' at its end, the video gets a file in it."
        )
    return path


def check_length(path: str, target: ObjectStoragePath) -> None:
    """
    Refuse a name that is too long to be stored.

    :param path: What it was given as.
    :param target: The place.
    :raises RunwayValidationError: it is too long.
    """
    if storage.is_local(target):
        names, most, what = str(target.path).split("/"), _LONGEST_LOCAL_NAME, "a name in it"
    else:
        names, most, what = [str(target.path).partition("/")[2]], _LONGEST_KEY, "the key of an object"
    longest = max(names, key=lambda name: len(name.encode()))
    if len(longest.encode()) > most:
        raise RunwayValidationError(
            f"path={path!r}: {what} may have at most {most} bytes; {longest!r} has {len(longest.encode())}."
        )


def file_in(path: str, runway_task_id: str | None, video_url: str) -> str:
    """
    Return the path of the file: the path itself, or one in the folder that it is.

    :param path: Where to store; with a ``/`` at its end a folder.
    :param runway_task_id: What names the file in a folder, where it is known.
    :param video_url: Whose last part names it otherwise.
    """
    if not path.endswith("/"):
        return path
    if runway_task_id:
        return f"{path}{safe_name(runway_task_id)}.mp4"
    return path + safe_name(urlsplit(video_url).path.rsplit("/", 1)[-1] or "video.mp4")


def names(path: str, runway_task_id: str) -> bool:
    """
    Return whether a file is named after a Runway task: its ID is in the name, as a word of its own.

    :param path: The file's path.
    :param runway_task_id: The Runway task ID.
    """
    word = re.escape(safe_name(runway_task_id))
    return bool(re.search(rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])", path.rpartition("/")[2]))


def safe_name(name: str) -> str:
    """
    Return a file's name made of one that a server chose, which cannot lead out of a folder or hide in it.

    :param name: A Runway task ID, or the last part of a URL.
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[-_LONGEST_NAME:].lstrip(".") or "video"


def beside(path: str, ending: str) -> str:
    """
    Return the path of what belongs to a video: the same without the ending of its name, and with another.

    :param path: The video's path.
    :param ending: Such as ``.json``.
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    found = f"{folder}{slash}{stem if dot and stem else name}{ending}"
    return found if found != path else path + ending

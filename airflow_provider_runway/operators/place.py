"""Finds out, before anything is paid for, whether a video could be stored at its destination."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.exceptions import RunwayValidationError

if TYPE_CHECKING:
    from airflow_provider_runway.compat import ObjectStoragePath


def check_place(
    path: Any, *, overwrite: bool, manifest: bool, thumbnail: bool, inputs: Mapping[str, str] | None = None
) -> None:
    """
    Refuse a destination at which the video, or a file next to it, could not be stored.

    :param path: Where the video goes; see ``path`` of the operators.
    :param overwrite: Whether existing files are replaced.
    :param manifest: Whether a manifest is stored next to it.
    :param thumbnail: Whether a picture is stored next to it.
    :param inputs: The files that the video is made from, by the argument that names each.
    :raises RunwayValidationError: it could not.
    """
    from airflow_provider_runway.files import naming, storage
    from airflow_provider_runway.files.kinds import KINDS

    path = naming.check_path(path)
    place = storage.reach(path)
    storage.check_writable(place, path)
    if path.endswith("/"):
        return
    if there := _in_the_way(place, overwrite):
        way_out = " overwrite=True replaces the file." if there == "already a file" else ""
        raise RunwayValidationError(
            f"path={path!r}: there is {there}, so nothing was submitted. With a '/' at its end, it is a "
            f"folder, in which each video gets a name of its own.{way_out}"
        )
    wanted = [("manifest", ".json")] if manifest else []
    wanted += [("thumbnail", kind.ending) for kind in KINDS if kind.is_picture and thumbnail]
    for what, ending in wanted:
        beside = naming.beside(path, ending)
        place = storage.reach(beside)
        naming.check_length(path, place)
        for field, source in (inputs or {}).items():
            if _is_same(place, storage.reach(source, field)):
                raise RunwayValidationError(
                    f"path={path!r}: {what}=True may store {beside!r} next to it, which is this task's "
                    f"{field}={source!r}, so nothing was submitted. Choose another name for the video."
                )
        if there := _in_the_way(place, overwrite):
            raise RunwayValidationError(
                f"path={path!r}: {what}=True stores {beside!r} next to it, where there is {there}, so "
                "nothing was submitted. Move it away, or choose another name; overwrite=True replaces a file."
            )


def _in_the_way(place: ObjectStoragePath, overwrite: bool) -> str | None:
    """Return what is in the place of a file and may not be replaced; ``None`` for nothing."""
    from airflow_provider_runway.files.storage import is_local

    if is_local(place) and os.path.isdir(place.path):
        return "a folder"
    if overwrite:
        return None
    # A link that leads nowhere is in the way, too.
    is_there = os.path.lexists(place.path) if is_local(place) else place.exists()
    return "already a file" if is_there else None


def _is_same(one: ObjectStoragePath, other: ObjectStoragePath) -> bool:
    """Return whether two paths lead to one file."""
    from airflow_provider_runway.files.storage import is_local

    if is_local(one) and is_local(other):
        try:
            return os.path.samefile(one.path, other.path)
        except OSError:
            return os.path.realpath(one.path) == os.path.realpath(other.path)
    return (one.protocol, one.path) == (other.protocol, other.path)

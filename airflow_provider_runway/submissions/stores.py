"""Where a task keeps what its next try must know: Airflow's task state store or, without one, a file."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_runway.compat import conf
from airflow_provider_runway.exceptions import RunwayValidationError

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context, ObjectStoragePath

log = logging.getLogger(__name__)

#: The file that tells a folder of notes from an empty mount point.
MARKER = "runway-state"

#: How long a note is kept. A day longer than kie.ai keeps a video: after that, it is of no use.
RETENTION = timedelta(days=15)

#: What stands in Airflow's store for a value that is removed, but still in a file of before an upgrade.
_REMOVED = {"removed": True}


class StateStore(Protocol):
    """
    Keeps small JSON values for one Airflow task instance, over retries, deferrals and clears.

    Every method raises where the store cannot be reached: "cannot be read" is never taken for "nothing
    there".
    """

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the value, or ``None`` if there surely is none."""

    def set(self, key: str, value: dict[str, Any]) -> None:
        """Store the value; when this returns, it is stored."""

    def delete(self, key: str) -> None:
        """Remove the value, if there is one."""


def state_store(context: Context, *, may_begin: bool = False, with_files: bool = False) -> StateStore | None:
    """
    Return the store of the running task instance, or ``None`` where there is none.

    Airflow 3.3 and later have one of their own. Before, ``[runway] state_path`` names a place for files.

    :param context: The Airflow context.
    :param may_begin: Whether the task instance surely has no record yet, so that it may be the first to use
        a folder.
    :param with_files: Whether a value that is not in Airflow's own store is looked for in the files, where an
        earlier Airflow may have left it.
    """
    state_path = conf.get("runway", "state_path", fallback="")
    files = None
    if state_path:
        ti: Any = context["ti"]
        identity = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index))
        files = _FileStateStore(state_path, identity, may_begin=may_begin)
    own = context.get("task_state_store")
    if own is None:
        return files
    return _AirflowStateStore(own, files if with_files and not may_begin else None)


class _AirflowStateStore:
    """
    Airflow's own store and, behind it, what an earlier Airflow left in files: they are read, never written.

    :param store: Airflow's store.
    :param files: The files, where they count.
    """

    def __init__(self, store: Any, files: _FileStateStore | None = None) -> None:
        self._store = store
        self._files = files
        self._left: dict[str, dict[str, Any] | None] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        value: dict[str, Any] | None = self._store.get(key)
        if value is None:
            return self._left_in_files(key)
        return None if value == _REMOVED else value

    def set(self, key: str, value: dict[str, Any]) -> None:
        self._store.set(key, value, retention=RETENTION)

    def delete(self, key: str) -> None:
        if self._left_in_files(key) is None:
            self._store.delete(key)
        else:
            self.set(key, _REMOVED)

    def _left_in_files(self, key: str) -> dict[str, Any] | None:
        if self._files is None:
            return None
        if key not in self._left:
            try:
                self._left[key] = self._files.get(key)
            # No folder, or no package that reaches it: after the upgrade, nobody needs it for anything else.
            except (FileNotFoundError, RunwayValidationError) as error:
                log.warning(
                    "If this task submitted before Airflow was upgraded to 3.3, it may pay again, because "
                    "its note cannot be read: %s Once all tasks from before the upgrade have ended, remove "
                    "[runway] state_path.",
                    error,
                )
                self._left[key] = None
        return self._left[key]


class _FileStateStore:
    def __init__(self, folder: str, identity: tuple[str, ...], *, may_begin: bool) -> None:
        self._folder = folder.rstrip("/")
        self._identity = identity
        self._may_begin = may_begin

    def get(self, key: str) -> dict[str, Any] | None:
        try:
            value = json.loads(self._open(self._name(key)).read_text())
        except FileNotFoundError:
            self._check_folder()
            return None
        return value if isinstance(value, dict) else {}

    def set(self, key: str, value: dict[str, Any]) -> None:
        self._check_folder()
        names = dict(zip(("dag_id", "run_id", "task_id", "map_index"), self._identity, strict=True))
        self._store(self._name(key), json.dumps({**value, "of": names}))

    def delete(self, key: str) -> None:
        from airflow_provider_runway.files.writing import remove

        remove(f"{self._folder}/{self._name(key)}")

    def _name(self, key: str) -> str:
        # A digest, since IDs may hold any character, and "a_b" + "c" must not meet "a" + "b_c".
        digest = hashlib.sha256("\0".join((*self._identity, key)).encode()).hexdigest()
        return f"{digest}.json"

    def _check_folder(self) -> None:
        """See that what is not in the folder surely never was: an unmounted place has no marker."""
        if self._open(MARKER).exists():
            return
        folder = self._open("")
        local = folder.protocol in ("", "file")
        if (not local or folder.is_dir()) and (self._may_begin or self._has_records(folder)):
            self._store(MARKER, "Without this file, operators take the folder for a missing mount.\n")
            return
        raise FileNotFoundError(
            f"[runway] state_path={self._folder!r} does not exist, or is not a folder of notes (is a mount "
            f"missing?). If it is new, create the folder, and an empty file {MARKER!r} in it."
        )

    @staticmethod
    def _has_records(folder: ObjectStoragePath) -> bool:
        # As one of an earlier release, which made no marker.
        try:
            return any(path.suffix == ".json" for path in folder.iterdir())
        except FileNotFoundError:
            return False

    def _open(self, name: str) -> ObjectStoragePath:
        from airflow_provider_runway.files.storage import reach

        return reach(f"{self._folder}/{name}" if name else self._folder)

    def _store(self, name: str, text: str) -> None:
        from airflow_provider_runway.files.writing import store

        store([text.encode()], f"{self._folder}/{name}")

"""Where a task keeps what its next try must know: Airflow's task state store or, without one, a file."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_runway.compat import conf

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context, ObjectStoragePath

#: The file that tells a folder of records from the empty place where a mount is missing.
MARKER = "runway-state"

#: How long a record is kept. A day longer than kie.ai keeps a video: after that it leads nowhere.
RETENTION = timedelta(days=15)


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


def state_store(context: Context, *, may_begin: bool = False) -> StateStore | None:
    """
    Return the store of the running task instance, or ``None`` where there is none.

    Airflow 3.3 and later have one of their own. Before, ``[runway] state_path`` names a place for files.

    :param context: The Airflow context.
    :param may_begin: Whether the task instance surely has no record yet, so that it may be the first to use
        a folder.
    """
    own = context.get("task_state_store")
    if own is not None:
        return _AirflowStateStore(own)
    state_path = conf.get("runway", "state_path", fallback="")
    if not state_path:
        return None
    ti: Any = context["ti"]
    identity = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index))
    return _FileStateStore(state_path, identity, may_begin=may_begin)


class _AirflowStateStore:
    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str) -> dict[str, Any] | None:
        value: dict[str, Any] | None = self._store.get(key)
        return value

    def set(self, key: str, value: dict[str, Any]) -> None:
        self._store.set(key, value, retention=RETENTION)

    def delete(self, key: str) -> None:
        self._store.delete(key)


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
            f"[runway] state_path={self._folder!r} is not there, or is no folder of records (a mount that is "
            f"missing?). If it is new, make the folder and an empty file {MARKER!r} in it."
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

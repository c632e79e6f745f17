"""Where a task keeps what its next try must know: Airflow's task state store or, without one, a file."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_runway.compat import conf

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context

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


def state_store(context: Context) -> StateStore | None:
    """
    Return the store of the running task instance, or ``None`` where there is none.

    Airflow 3.3 and later have one of their own. Before, ``[runway] state_path`` names a place for files.

    :param context: The Airflow context.
    """
    own = context.get("task_state_store")
    if own is not None:
        return _AirflowStateStore(own)
    state_path = conf.get("runway", "state_path", fallback="")
    if not state_path:
        return None
    ti: Any = context["ti"]
    return _FileStateStore(state_path, (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)))


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
    def __init__(self, folder: str, identity: tuple[str, ...]) -> None:
        self._folder = folder.rstrip("/")
        self._identity = identity

    def _path(self, key: str) -> str:
        # A digest, since IDs may hold any character, and "a_b" + "c" must not meet "a" + "b_c".
        digest = hashlib.sha256("\0".join((*self._identity, key)).encode()).hexdigest()
        return f"{self._folder}/{digest}.json"

    def get(self, key: str) -> dict[str, Any] | None:
        from airflow_provider_runway.compat import ObjectStoragePath

        try:
            value = json.loads(ObjectStoragePath(self._path(key)).read_text())
        except FileNotFoundError:
            return None
        return value if isinstance(value, dict) else {}

    def set(self, key: str, value: dict[str, Any]) -> None:
        from airflow_provider_runway.files.storage import store

        names = dict(zip(("dag_id", "run_id", "task_id", "map_index"), self._identity, strict=True))
        store([json.dumps({**value, "of": names}).encode()], self._path(key))

    def delete(self, key: str) -> None:
        from airflow_provider_runway.compat import ObjectStoragePath

        ObjectStoragePath(self._path(key)).unlink(missing_ok=True)

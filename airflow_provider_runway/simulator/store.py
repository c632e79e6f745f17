"""Tasks and balance on disk, so that a simulator that was killed comes back knowing them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_provider_runway.simulator.tasks import Task


class Store:
    """A small SQLite file; without a path it keeps nothing.

    Every change is handed to the operating system before the request is answered: it outlives a killed
    process, though not a power cut, which keeps a creation at a fraction of a millisecond.

    :param path: the state file, made where it is missing.
    :raises sqlite3.DatabaseError: where the file is something else, here or when it is read.
    """

    def __init__(self, path: Path | None) -> None:
        self._connection = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            opened.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS tasks"
                " (number INTEGER PRIMARY KEY, task_id TEXT UNIQUE, data TEXT)"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value REAL)")
            # Closed at once where it cannot be used.
            opened.pop_all()
        self._connection = connection

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks in the order of their creation."""
        if self._connection:
            for (data,) in self._connection.execute("SELECT data FROM tasks ORDER BY number"):
                with _of_this_version("a task"):
                    task = Task.from_json(json.loads(data))
                yield task

    def number(self, name: str, default: float) -> float:
        """Return a number that was kept under this name."""
        if self._connection is None:
            return default
        row = self._connection.execute("SELECT value FROM numbers WHERE name = ?", (name,)).fetchone()
        with _of_this_version(f"the number {name!r}"):
            return float(row[0]) if row else default

    def keep(self, task: Task | None = None, **numbers: float) -> None:
        """Write a new or changed task, and numbers by their names, as one change."""
        if self._connection is None:
            return
        self._connection.execute("BEGIN")
        if task is not None:
            self._connection.execute(
                "INSERT INTO tasks (task_id, data) VALUES (?, ?)"
                " ON CONFLICT (task_id) DO UPDATE SET data = excluded.data",
                (task.task_id, json.dumps(task.to_json())),
            )
        for name, value in numbers.items():
            self._connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (name, value))
        self._connection.execute("COMMIT")

    def clear(self) -> None:
        """Forget everything."""
        if self._connection:
            self._connection.executescript("DELETE FROM tasks; DELETE FROM numbers;")

    def close(self) -> None:
        """Close the file."""
        if self._connection:
            self._connection.close()


@contextmanager
def _of_this_version(what: str) -> Iterator[None]:
    """Say of a row that cannot be read what it is."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(
            f"the state file has {what} in a form that this version of the simulator does not know"
            f" ({type(error).__name__}: {error}); start with another file"
        ) from error

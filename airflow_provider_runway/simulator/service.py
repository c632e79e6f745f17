"""Everything one running simulator holds, put together from its settings."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aiohttp import web

from airflow_provider_runway.simulator.account import Account
from airflow_provider_runway.simulator.callbacks import CallbackSender
from airflow_provider_runway.simulator.clock import Clock
from airflow_provider_runway.simulator.faults import FaultBook
from airflow_provider_runway.simulator.results import Results
from airflow_provider_runway.simulator.settings import Settings
from airflow_provider_runway.simulator.stats import Stats
from airflow_provider_runway.simulator.store import Store
from airflow_provider_runway.simulator.uploads import Uploads


class Service:
    """The simulator's whole state; it lives in one event loop and outlives a stop and start of the server.

    :param settings: how it behaves.
    :raises sqlite3.DatabaseError: where the state file is something else.
    :raises OSError: where a folder cannot be used.
    :raises ImportError: where videos are to be drawn and the libraries for it are not installed.
    """

    #: Made anew at each start of the server, since it belongs to the server's event loop.
    callbacks: CallbackSender

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with ExitStack() as opened:
            self.folder = self._folder(opened)
            store = Store(settings.state_file)
            opened.callback(store.close)
            clock = Clock(store.number("advanced", 0.0))
            self.uploads = Uploads(self.folder / "uploads", clock)
            self.account = Account(settings, store, clock, self.uploads)
            self.results = Results(
                self.folder / "results", self.account, self.uploads, render=settings.render
            )
            opened.callback(self.results.close)
            # Closed at once where one of them cannot be opened.
            self._opened = opened.pop_all()
        self.faults = FaultBook()
        self.stats = Stats()

    def _folder(self, opened: ExitStack) -> Path:
        if self.settings.files_dir is not None:
            return self.settings.files_dir
        if self.settings.state_file is not None:
            return self.settings.state_file.with_name(self.settings.state_file.name + ".files")
        return Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="runway-simulator-")))

    def reset(self) -> None:
        """Forget tasks, faults and statistics; uploads stay."""
        self.account.reset()
        self.faults.clear()
        self.stats.reset()

    def creations(self) -> list[dict[str, Any]]:
        """Return every creation that was accepted and charged, in order, with the body it was asked by."""
        return [
            {
                "task_id": task.task_id,
                "time": task.created_at,
                "path": task.path,
                "body": task.body,
                "credits": task.credits,
            }
            for task in self.account.tasks.values()
        ]

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task with where it stands and how often it was looked up."""
        now = self.account.now()
        return [
            {
                "task_id": task.task_id,
                "generation": task.submission.generation,
                "kind": task.submission.kind,
                "prompt": task.submission.prompt,
                "parent_task_id": task.submission.parent_task_id,
                "state": task.state(now),
                "created_at": task.created_at,
                "ends_at": task.ends_at,
                "failure": task.failure if task.state(now) == "fail" else None,
                "lookups": self.account.lookups[task.task_id],
            }
            for task in self.account.tasks.values()
        ]

    def summary(self, *, lists: bool = True) -> dict[str, Any]:
        """Return the statistics.

        :param lists: with the lists of creations and tasks, which are long after a load test.
        """
        tasks = self.account.tasks
        summary = self.stats.to_json()
        summary["creation_count"] = len(tasks)
        summary["credits"] = {
            "balance": self.account.balance,
            "spent": sum(task.credits for task in tasks.values()),
        }
        summary["faults"] = self.faults.to_json()
        if lists:
            summary["creations"] = self.creations()
            summary["tasks"] = self.tasks()
        return summary

    def close(self) -> None:
        """Draw no more, close the state file and remove what was temporary."""
        self._opened.close()


SERVICE: web.AppKey[Service] = web.AppKey("service", Service)

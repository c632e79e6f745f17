"""Show how a DAG run gets on: a table that renews itself in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

STYLES = {
    "success": "green",
    "running": "bright_cyan",
    "deferred": "magenta",
    "failed": "bold red",
    "upstream_failed": "red",
    "up_for_retry": "yellow",
}
MEANINGS = {"none": "", "deferred": "waiting for Runway, no worker held"}


class Progress:
    """The states of a run's tasks, on standard output.

    :param tasks: the task IDs, in the order in which they are shown
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self._console = Console(highlight=False)
        self._states = dict.fromkeys(tasks, "none")
        self._since: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._started = time.monotonic()
        self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, states: Mapping[str, str]) -> None:
        """Show what has changed.

        :param states: task ID to Airflow's name for its state
        """
        now = time.monotonic()
        for task, state in states.items():
            if state == self._states.get(task):
                continue
            self._states[task] = state
            if state != "none":
                self._since.setdefault(task, now)
            if state in {"success", "failed", "upstream_failed", "skipped"}:
                self._spent[task] = now - self._since[task]
            if not self._console.is_terminal and state != "none":
                line = f"{now - self._started:5.0f} s  {task:<22}{state:<16}{MEANINGS.get(state, '')}"
                print(line.rstrip(), flush=True)

    def _table(self) -> Table:
        now = time.monotonic()
        table = Table(box=None, pad_edge=False, title_justify="left", title_style="")
        for heading in ("task", "state", "seconds", ""):
            table.add_column(heading, justify="right" if heading == "seconds" else "left")
        for task, state in self._states.items():
            since = self._since.get(task)
            spent = self._spent.get(task, now - since if since is not None else None)
            table.add_row(
                task,
                Text("" if state == "none" else state, style=STYLES.get(state, "")),
                "" if spent is None else f"{spent:.0f}",
                MEANINGS.get(state, ""),
            )
        return table

"""Stores for tests: Airflow's own task state store as operators see it, and one that breaks down."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any


class TaskStateStore:
    """Keeps values as Airflow 3.3's ``context["task_state_store"]`` does, as JSON, over tries.

    :ivar retentions: how long each written value was to be kept
    :ivar breaks: called with ``get``, ``set`` or ``delete`` before each of them; it may raise
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.retentions: list[timedelta | None] = []
        self.breaks: Callable[[str], None] = lambda _: None

    def get(self, key: str, default: Any = None) -> Any:
        self.breaks("get")
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        self.breaks("set")
        self.values[key] = json.dumps(value)
        self.retentions.append(retention)

    def delete(self, key: str) -> None:
        self.breaks("delete")
        self.values.pop(key, None)


def down(*operations: str, times: int | None = None) -> Callable[[str], None]:
    """Return a ``breaks`` that refuses operations.

    :param operations: which ones; none means all
    :param times: how often; ``None`` means always
    """
    left = [times]

    def break_down(operation: str) -> None:
        if operations and operation not in operations:
            return
        if left[0] is not None:
            if left[0] == 0:
                return
            left[0] -= 1
        raise ConnectionError("the store does not answer")

    return break_down

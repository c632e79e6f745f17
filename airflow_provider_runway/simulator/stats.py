"""What the simulator saw: requests, who sent them, and what should not have been sent."""

from __future__ import annotations

from collections import Counter
from typing import Any
from weakref import WeakSet

from aiohttp import web

VIOLATIONS_KEPT = 1000


class Stats:
    """Counters of everything that arrived, the control endpoint aside."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start counting afresh."""
        self._requests: Counter[tuple[str, str, int | str]] = Counter()
        self._user_agents: Counter[str] = Counter()
        self._headers: Counter[str] = Counter()
        self._connections: WeakSet[Any] = WeakSet()
        self._connection_count = 0
        self._violations: list[dict[str, str]] = []
        self._callbacks: list[dict[str, Any]] = []

    def arrived(self, request: web.Request) -> None:
        """Note who asks, before anything can go wrong."""
        self._user_agents[request.headers.get("User-Agent", "")] += 1
        self._headers.update({name.lower() for name in request.headers})
        if request.transport not in self._connections:
            self._connections.add(request.transport)
            self._connection_count += 1

    def answered(self, request: web.Request, status: int | str) -> None:
        """Note how a request ended: its HTTP status, or ``"dropped"``."""
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else request.path
        self._requests[request.method, path, status] += 1

    def violation(self, rule: str, request: web.Request) -> None:
        """Note a request that breaks a rule which the real service cannot enforce."""
        if len(self._violations) < VIOLATIONS_KEPT:
            self._violations.append({"rule": rule, "method": request.method, "path": request.path})

    def callback(self, task_id: str, url: str, attempt: int, time: float, status: int | str) -> None:
        """Note a callback.

        :param attempt: from 1; 0 for one that came early, or not at all.
        :param time: when it was sent, by the simulator's clock.
        :param status: the HTTP status or the error it met, or ``"dropped"``.
        """
        self._callbacks.append(
            {"task_id": task_id, "url": url, "attempt": attempt, "time": time, "status": status}
        )

    def to_json(self) -> dict[str, Any]:
        """Return all counters."""
        requests = [
            {"method": method, "path": path, "status": status, "count": count}
            for (method, path, status), count in self._requests.items()
        ]
        return {
            "requests": requests,
            "connections": self._connection_count,
            "user_agents": dict(self._user_agents),
            "headers": dict(self._headers),
            "violations": list(self._violations),
            "callbacks": list(self._callbacks),
        }

"""Troubles on demand: which request they hit, how often, and what they do to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_runway.simulator.rules import CREATION_PATHS

ANSWER_KINDS = frozenset({"http_error", "body_code", "html", "garbage", "drop_before", "drop_after", "slow"})
TASK_KINDS = frozenset({"moderation", "upstream_failure", "stuck", "success_without_url", "expired"})
FILE_KINDS = frozenset({"truncated_download"})
KINDS = ANSWER_KINDS | TASK_KINDS | FILE_KINDS
_FILE_PREFIXES = ("/results/", "/files/")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One trouble.

    :param kind: what happens, one of ``KINDS``:

        * ``http_error``: HTTP ``status`` with ``body`` and ``headers``;
        * ``body_code``: HTTP 200 with ``code`` and ``msg`` in the envelope;
        * ``html``: a gateway's page with HTTP ``status``;
        * ``garbage``: HTTP 200 with half a JSON body;
        * ``drop_before``, ``drop_after``: the connection is cut before or after the request was carried out;
        * ``slow``: carried out at once, answered after ``seconds``;
        * ``moderation``, ``upstream_failure``: the task created here fails later;
        * ``stuck``: it never ends; ``success_without_url``, ``expired``: it ends without a video;
        * ``truncated_download``: half of the file's bytes, then the connection is cut.
    :param path: the requests it hits: the beginning of their path, or a pattern with ``*`` and ``?``.
    :param method: HTTP method, ``None`` for any.
    :param count: how many requests it hits, ``None`` until it is cleared.
    :param after: how many matching requests it lets pass first.
    :param status: HTTP status of ``http_error`` and ``html``.
    :param body: body of ``http_error``; default: an envelope with the status as its code.
    :param headers: headers of ``http_error`` and ``html``, such as ``{"Retry-After": "3"}``.
    :param code: code of ``body_code``.
    :param msg: text of ``body_code``; of ``moderation`` and ``upstream_failure``, instead of kie.ai's.
    :param seconds: delay of ``slow``.
    :param carried_out: ``http_error``, ``body_code``, ``html`` and ``garbage`` answer a request that was
        carried out all the same (a task was created and charged).
    """

    kind: str
    path: str = "/"
    method: str | None = None
    count: int | None = 1
    after: int = 0
    status: int = 502
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    code: int = 500
    msg: str | None = None
    seconds: float = 1.0
    carried_out: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}, got {self.kind!r}")
        if not isinstance(self.path, str) or not self.path.startswith(("/", "*")):
            raise ValueError(f"path must start with / or *, got {self.path!r}")
        for name in ("status", "code", "after"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name} must be an integer, got {getattr(self, name)!r}")
        if self.count is not None and (not isinstance(self.count, int) or self.count < 1):
            raise ValueError(f"count must be a positive integer or null, got {self.count!r}")
        if not isinstance(self.seconds, (int, float)):
            raise ValueError(f"seconds must be a number, got {self.seconds!r}")
        if not isinstance(self.headers, dict):
            raise ValueError(f"headers must be an object, got {self.headers!r}")

    @classmethod
    def from_json(cls, data: Any) -> Fault:
        """Return the fault that a control request describes.

        :raises ValueError: naming the field that is unknown or wrong.
        """
        if not isinstance(data, dict) or "kind" not in data:
            raise ValueError('a fault is an object with at least a "kind"')
        unknown = data.keys() - {known.name for known in fields(cls)}
        if unknown:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
        return cls(**data)

    def hits(self, method: str, path: str) -> bool:
        """Tell whether a request is one that this fault is meant for."""
        if self.method is not None and self.method.upper() != method:
            return False
        if self.kind in TASK_KINDS and not (method == "POST" and path in CREATION_PATHS):
            return False
        if self.kind in FILE_KINDS and not (method == "GET" and path.startswith(_FILE_PREFIXES)):
            return False
        if any(sign in self.path for sign in "*?["):
            return fnmatchcase(path, self.path)
        return path.startswith(self.path)


class FaultBook:
    """The faults in force, in the order they were added; a request meets the first that hits it."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, fault: Fault) -> None:
        """Put a fault into force."""
        self._entries.append(_Entry(fault))

    def clear(self) -> None:
        """Forget all faults."""
        self._entries.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        for entry in self._entries:
            if entry.fault.count is not None and entry.used >= entry.fault.count:
                continue
            if not entry.fault.hits(method, path):
                continue
            if entry.passed < entry.fault.after:
                entry.passed += 1
                continue
            entry.used += 1
            return entry.fault
        return None

    def to_json(self) -> list[dict[str, Any]]:
        """Return all faults with how often each was ``used``."""
        return [{**asdict(entry.fault), "used": entry.used} for entry in self._entries]


@dataclass
class _Entry:
    fault: Fault
    used: int = 0
    passed: int = 0

"""Troubles on demand: which request they hit, how often, and what they do to it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_runway.simulator.rules import CREATION_PATHS

ANSWER_KINDS = frozenset({"http_error", "body_code", "html", "garbage", "drop_before", "drop_after", "slow"})
TASK_KINDS = frozenset({"moderation", "upstream_failure", "stuck", "success_without_url", "expired"})
FILE_KINDS = frozenset({"truncated_download", "short_download", "no_range"})
CALLBACK_KINDS = frozenset({"callback_dropped", "callback_late", "callback_repeated", "callback_early"})
#: What a request can meet by itself; with it, the task that it creates can meet one of the task's kinds, and
#: that task's callback one of the rest.
REQUEST_KINDS = ANSWER_KINDS | FILE_KINDS
KINDS = REQUEST_KINDS | TASK_KINDS | CALLBACK_KINDS
_FILE_PREFIXES = ("/results/", "/files/")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


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
        * ``truncated_download``: some of the file's bytes, then the connection is cut;
        * ``short_download``: half of the file, as if that were all of it;
        * ``no_range``: all of the file, whatever part of it was asked for;
        * ``callback_dropped``: the callback of the task created here is never sent;
        * ``callback_late``: it is sent ``seconds`` after the end;
        * ``callback_repeated``: it is sent ``times`` times in all, whatever it is answered with;
        * ``callback_early``: it is sent before the creation is answered too, as if the task had ended.
    :param path: the requests it hits: the beginning of their path, or a pattern with ``*`` and ``?``.
    :param method: HTTP method, ``None`` for any.
    :param count: how many requests it hits, ``None`` until it is cleared. A task's fault hits creations that
        are accepted, a callback's those of them that name a ``callBackUrl``, whatever else they meet.
    :param after: how many matching requests it lets pass first.
    :param status: HTTP status of ``http_error`` and ``html``, from 200 to 999.
    :param body: body of ``http_error``: text as it is to be sent, or an object or a list that is sent as
        JSON. Default: an envelope with the status as its code.
    :param headers: headers of ``http_error`` and ``html``, such as ``{"Retry-After": "3"}``; a number is
        turned into text.
    :param code: code of ``body_code``.
    :param msg: text of ``body_code``; of ``moderation`` and ``upstream_failure``, instead of kie.ai's.
    :param at: after how many bytes of its answer ``truncated_download`` cuts the connection, ``"random"`` for
        another point each time. Default: half of them.
    :param seconds: delay of ``slow`` and of ``callback_late`` in seconds, not negative; the latter's is
        divided by the simulator's speed.
    :param times: how often the callback of ``callback_repeated`` is sent, from 2 to 20.
    :param carried_out: ``http_error``, ``body_code``, ``html`` and ``garbage`` answer a request that was
        carried out all the same (a task was created and charged).
    :raises ValueError: naming the field that is wrong.
    """

    kind: str
    path: str = "/"
    method: str | None = None
    count: int | None = 1
    after: int = 0
    status: int = 502
    body: str | dict[str, Any] | list[Any] | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    code: int = 500
    msg: str | None = None
    at: int | str | None = None
    seconds: float = 1.0
    times: int = 3
    carried_out: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}, got {self.kind!r}")
        if not isinstance(self.path, str) or not self.path.startswith(("/", "*")):
            raise ValueError(f"path must start with / or *, got {self.path!r}")
        for name in ("method", "msg"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be a string or null, got {getattr(self, name)!r}")
        for name in ("status", "code", "after"):
            if not _is_integer(getattr(self, name)):
                raise ValueError(f"{name} must be an integer, got {getattr(self, name)!r}")
        # A smaller one is no final answer, and a client would wait for that; a larger one is no HTTP.
        if not 200 <= self.status <= 999:
            raise ValueError(f"status must be from 200 to 999, got {self.status!r}")
        if self.count is not None and (not _is_integer(self.count) or self.count < 1):
            raise ValueError(f"count must be a positive integer or null, got {self.count!r}")
        if self.at not in (None, "random") and not (_is_integer(self.at) and int(self.at or 0) >= 0):
            raise ValueError(f'at must be a number of bytes, "random" or null, got {self.at!r}')
        if not _is_number(self.seconds) or not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds must be a number that is not negative, got {self.seconds!r}")
        if not _is_integer(self.times) or not 2 <= self.times <= 20:
            raise ValueError(f"times must be an integer from 2 to 20, got {self.times!r}")
        if not isinstance(self.carried_out, bool):
            raise ValueError(f"carried_out must be true or false, got {self.carried_out!r}")
        self._set("headers", _checked_headers(self.headers))
        if isinstance(self.body, dict | list):
            if "content-type" not in {name.lower() for name in self.headers}:
                self.headers["Content-Type"] = "application/json"
            self._set("body", json.dumps(self.body))
        if not isinstance(self.body, str | None):
            raise ValueError(f"body must be a string, an object, a list or null, got {self.body!r}")

    def _set(self, name: str, value: Any) -> None:
        # What was given is replaced by what is sent, once: the fault is frozen from then on.
        object.__setattr__(self, name, value)

    @classmethod
    def from_json(cls, data: Any) -> Fault:
        """Return the fault that a control request describes.

        :param data: its fields, read from JSON.
        :raises ValueError: naming the field that is unknown or wrong.
        """
        if not isinstance(data, dict) or "kind" not in data:
            raise ValueError('a fault is an object with at least a "kind"')
        unknown = data.keys() - {known.name for known in fields(cls)}
        if unknown:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
        return cls(**data)

    def hits(self, method: str, path: str) -> bool:
        """Tell whether a request is one that this fault is meant for.

        :param method: its HTTP method, in capitals.
        :param path: its path.
        """
        if self.method is not None and self.method.upper() != method:
            return False
        if self.kind in TASK_KINDS | CALLBACK_KINDS and not (method == "POST" and path in CREATION_PATHS):
            return False
        if self.kind in FILE_KINDS and not (method == "GET" and path.startswith(_FILE_PREFIXES)):
            return False
        if any(sign in self.path for sign in "*?["):
            return fnmatchcase(path, self.path)
        return path.startswith(self.path)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked_headers(headers: Any) -> dict[str, str]:
    if not isinstance(headers, dict):
        raise ValueError(f"headers must be an object, got {headers!r}")
    checked = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} in headers is no name of a header")
        text = str(value) if _is_number(value) else value
        if not isinstance(text, str) or not text.isprintable():
            raise ValueError(f"headers: {name} must be a line of text or a number, got {value!r}")
        checked[name] = text
    return checked


class FaultBook:
    """The faults in force, in the order they were added; a request meets the first that hits it.

    What befalls its task and that task's callback is taken apart from that, where the task is created: so no
    refused creation uses it up, and an answer can be lost whose callback is not.
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, fault: Fault) -> None:
        """Put a fault into force."""
        self._entries.append(_Entry(fault))

    def clear(self) -> None:
        """Forget all faults."""
        self._entries.clear()

    def take(self, method: str, path: str, kinds: frozenset[str] = REQUEST_KINDS) -> Fault | None:
        """Return the fault of one of these kinds that this request meets, and count it."""
        for entry in self._entries:
            if entry.fault.kind not in kinds:
                continue
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

"""Recorded answers of kie.ai, as the tests read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("recorded.json").read_text(encoding="utf-8")
)


def recorded_answer(name: str) -> tuple[int, bytes]:
    """Return HTTP status and body of a recorded answer."""
    exchange = RECORDED[name]
    return exchange["http_status"], json.dumps(exchange["response"]).encode()


def recorded_data(name: str) -> dict[str, Any]:
    """Return a copy of the ``data`` of a recorded answer, to be changed at will."""
    data: dict[str, Any] = json.loads(recorded_answer(name)[1])["data"]
    return data

"""An XCom is read as what was pushed, however Airflow has stored it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_runway.links.xcoms import plain

PUSHED = ["7d1c0ffee", "/data/1.mp4", "", {"prompt": 'A "fox"'}, [1, "a"], 12, 12.5, True, None]


@pytest.mark.parametrize("pushed", PUSHED)
def test_what_a_worker_of_airflow_3_pushed(pushed: Any) -> None:
    assert plain(pushed) == pushed


@pytest.mark.parametrize("pushed", ["7d1c0ffee", "/data/1.mp4", {"prompt": 'A "fox"'}, [1, "a"]])
def test_what_was_encoded_before_it_was_stored(pushed: Any) -> None:
    assert plain(json.dumps(pushed)) == pushed


@pytest.mark.parametrize("pushed", PUSHED)
def test_what_airflow_2_stored_as_bytes(pushed: Any) -> None:
    assert plain(json.dumps(pushed).encode()) == pushed


@pytest.mark.parametrize("text", ["12345678901234567890", "1e5", "null", "true", "no JSON", "{"])
def test_a_text_stays_a_text(text: str) -> None:
    assert plain(text) == text


def test_bytes_that_are_no_json_are_nothing() -> None:
    assert plain(b"\x80\x04pickled") is None

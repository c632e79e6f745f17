"""The SHA-256 of a file that passes by: taken beside it, in little memory, and of all of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_runway.files import keeping
from airflow_provider_runway.files.keeping import _Fingerprint


def helpers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sha256")]


def hashing_with(monkeypatch: pytest.MonkeyPatch, update: Callable[[bytes], None]) -> None:
    made = SimpleNamespace(sha256=lambda: SimpleNamespace(update=update, hexdigest=lambda: "digest"))
    monkeypatch.setattr(keeping, "hashlib", made)


@given(st.lists(st.binary(max_size=5000), max_size=30))
def test_it_is_of_all_bytes_in_their_order(chunks: list[bytes]) -> None:
    fingerprint = _Fingerprint(chunks)
    assert list(fingerprint) == chunks
    whole = b"".join(chunks)
    assert (fingerprint.sha256, fingerprint.size) == (hashlib.sha256(whole).hexdigest(), len(whole))
    assert helpers() == []


def test_what_goes_wrong_with_the_source_is_told_as_it_is_and_leaves_no_thread() -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise OSError("broken off")

    with pytest.raises(OSError, match="broken off"):
        _Fingerprint(broken()).finish()
    assert helpers() == []


def test_who_stops_half_way_leaves_no_thread() -> None:
    passing = iter(_Fingerprint([b"some", b"more"]))
    assert next(passing) == b"some"
    assert len(helpers()) == 1
    passing.close()  # type: ignore[attr-defined]
    assert helpers() == []


@pytest.mark.parametrize("chunks", [1, 50])
def test_no_digest_is_given_where_hashing_has_failed(chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise MemoryError

    hashing_with(monkeypatch, fail)
    with pytest.raises(MemoryError):
        _Fingerprint([b"some"] * chunks).finish()


def test_a_slow_hash_holds_the_source_up_instead_of_filling_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, taken = threading.Event(), []
    hashing_with(monkeypatch, lambda _: None if go_on.wait(60) else pytest.fail("nobody let it go on"))

    def source() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"chunk"

    passing: Any = threading.Thread(target=_Fingerprint(source()).finish)
    passing.start()
    deadline = time.monotonic() + 30
    while len(taken) <= keeping._AHEAD:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Whatever time it has, it takes no more.
    passing.join(0.2)
    ahead = len(taken)
    go_on.set()
    passing.join(30)
    assert ahead == keeping._AHEAD + 1
    assert len(taken) == 100

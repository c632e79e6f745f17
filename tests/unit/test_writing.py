"""File systems that are unlike others: a video that is paid for is stored on them all the same."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.files import writing


def busy(*_: Any) -> None:
    raise BlockingIOError


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_system_that_refuses_every_lock_takes_a_file(
    tmp_path: Path, replace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", busy)
    assert writing.store([b"some", b"more"], f"{tmp_path}/boat.mp4", replace=replace) == 8
    assert os.listdir(tmp_path) == ["boat.mp4"]
    assert (tmp_path / "boat.mp4").read_bytes() == b"somemore"


@pytest.mark.parametrize("replace", [True, False])
def test_so_does_one_that_counts_no_links(
    tmp_path: Path, replace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat

    def uncounted(descriptor: int) -> os.stat_result:
        told = list(fstat(descriptor))
        told[3] = 0
        return os.stat_result(told)

    monkeypatch.setattr(os, "fstat", uncounted)
    assert writing.store([b"some", b"more"], f"{tmp_path}/boat.mp4", replace=replace) == 8
    assert os.listdir(tmp_path) == ["boat.mp4"]


def test_a_part_that_is_removed_each_time_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(*_: Any) -> None:
        for part in tmp_path.glob(".*.part"):
            part.unlink()

    monkeypatch.setattr(fcntl, "flock", removed)
    with pytest.raises(FileNotFoundError):
        writing.store([b"some"], f"{tmp_path}/boat.mp4")
    assert os.listdir(tmp_path) == []

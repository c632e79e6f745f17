"""A simulator in a thread: what it is told out of turn."""

from __future__ import annotations

import pytest

from airflow_provider_runway.simulator import Simulator


def test_one_that_runs_is_not_started_again() -> None:
    with Simulator() as simulator:
        with pytest.raises(RuntimeError, match="already running"):
            simulator.start()
        assert simulator.balance >= 0


def test_one_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="was not started"):
        _ = Simulator().balance


def test_an_ipv6_address_is_in_brackets_in_its_url() -> None:
    assert Simulator(host="::1", port=8089).url == "http://[::1]:8089"

"""The page about growing works with kie.ai's limits and with what was measured, as they stand elsewhere."""

from __future__ import annotations

import pytest
from airflow.configuration import conf

from airflow_provider_runway.api.requests import GenerateAlephVideo, GenerateVideo
from airflow_provider_runway.simulator.settings import Settings
from tests.pages import PAGES
from tests.versions import AIRFLOW

PAGE = PAGES["docs/growing.md"]
VIDEOS = 10_000
#: Seconds for which a video is made: the middle of what a 5 s one takes, and what most of Aleph's take.
SHORT, ALEPH = (30 + 45) / 2, 4 * 60
DOLLARS_A_CREDIT = 0.005


def measured(beginning: str, column: int) -> float:
    """Return a figure of the page of what was measured, by the beginning of its row."""
    (row,) = [line for line in PAGES["docs/performance.md"].splitlines() if line.startswith(beginning)]
    return float(row.strip("|").split("|")[column].split()[0])


def expected(accounts: int) -> list[str]:
    """Return a column of the example, worked out."""
    # The simulator has kie.ai's limits.
    submissions, running = Settings().rate_limit / 10, Settings().running_limit
    short_rate = min(submissions, running / SHORT) * accounts
    aleph_rate = min(submissions, running / ALEPH) * accounts
    starts, seconds = (measured("| ours: one task, `path=` |", column) for column in (1, 2))
    polls = measured("| 5 s, 720p: 30 to 45 s | default schedule |", 2)
    short_price = GenerateVideo(prompt="A kite").price
    aleph_price = GenerateAlephVideo(prompt="A kite", video_url="https://example.com/kite.mp4").price
    assert short_price
    assert aleph_price
    return [
        f"{submissions * accounts:.0f}",
        f"{VIDEOS / short_rate / 60:.0f} min",
        f"{short_rate * SHORT:.0f}",
        f"{short_rate * polls:.0f}",
        f"{VIDEOS * starts:,.0f}",
        f"{VIDEOS * seconds:,.0f}",
        f"{short_rate * seconds:.0f}",
        f"{VIDEOS * short_price:,.0f}, ${VIDEOS * short_price * DOLLARS_A_CREDIT:,.0f}",
        f"{VIDEOS / aleph_rate / 60:.0f} min",
        f"{VIDEOS * aleph_price:,.0f}, ${VIDEOS * aleph_price * DOLLARS_A_CREDIT:,.0f}",
    ]


@pytest.mark.parametrize(("column", "accounts"), [(1, 1), (2, 5)])
def test_the_example_follows_from_the_limits_and_the_measurements(column: int, accounts: int) -> None:
    lines = PAGE.split("| | one account | five accounts |\n", 1)[1].splitlines()[1:]
    rows = [line.strip("|").split("|") for line in lines[: lines.index("")]]
    assert [row[column].strip() for row in rows] == expected(accounts)


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="the page is about Airflow 3")
@pytest.mark.parametrize("option", ["parallelism", "max_active_tasks_per_dag", "max_map_length"])
def test_airflows_defaults_are_as_the_page_says(option: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `[core] {option}` |")]
    assert row.split("|")[2].strip() == conf.get_default_value("core", option)


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="the option was called default_capacity")
def test_a_triggerers_capacity_is_the_default() -> None:
    default = conf.get_default_value("triggerer", "capacity")
    assert f"AIRFLOW__TRIGGERER__CAPACITY={default}\n```\n\nThat is the default (" in PAGE

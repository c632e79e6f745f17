"""What a command puts into a page: between its markers, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import calling, storing
from benchmarks.__main__ import parts, session, summary
from benchmarks.in_airflow import WAYS
from benchmarks.parsing import IMPORTS
from benchmarks.waiting import ENTRIES, Load, found_in
from tests.chaos.options import read_options
from tests.harness.documents import write_between
from tests.pages import PAGES


def test_a_passage_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Before\n\n<!-- a -->\nold\nold\n<!-- end of a -->\n\nBetween\n<!-- b -->\n<!-- end of b -->\n"
    )
    write_between(page, "a", "| new |\\1 |\n")
    write_between(page, "b", "short")
    assert page.read_text() == (
        "Before\n\n<!-- a -->\n\n| new |\\1 |\n\n<!-- end of a -->\n\nBetween\n"
        "<!-- b -->\n\nshort\n\n<!-- end of b -->\n"
    )


def test_a_page_without_the_passage_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match="must have one"):
        write_between(page, "a", "new")
    assert page.read_text() == "nothing here\n"


def test_the_page_has_the_passages_that_the_chaos_run_writes(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(PAGES["docs/reliability.md"], encoding="utf-8")
    runs = [
        ["--notes", "with"],
        ["--notes", "without"],
        ["--callbacks"],
        ["--executor", "celery"],
    ]
    passages = {read_options(None, flags).passage for flags in runs}
    # One of them is this Airflow's.
    passages |= {"chaos with Celery", "chaos with Celery on Airflow 2.11"}
    for passage in passages:
        write_between(page, passage, "table")
    assert page.read_text().count("\ntable\n") == len(passages) == 5


def test_the_page_has_the_passages_that_the_benchmark_writes(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(PAGES["docs/performance.md"], encoding="utf-8")
    for part in parts(quick=False):
        write_between(page, f"benchmark {part.name}", "table")
    write_between(page, "benchmark session", session(0.0))
    write_between(page, "benchmark summary", summary({}))


def test_the_summary_asks_for_facts_that_the_parts_have() -> None:
    asked: list[str] = []

    class Facts(dict[str, str]):
        def get(self, name: str, default: str | None = None) -> str:  # type: ignore[override]
            asked.append(name)
            return "1"

    summary(Facts())
    load = Load(1_000, https=True, start_over=5.0, together=True)
    measured = {
        "cpu": 1.0,
        "finished": 1000,
        "settled": None,
        "delay_p50": 1.0,
        "delay_p95": 1.0,
        "memory": 1,
        "start_stall": {"wall": 0.0, "cpu": 0.0},
        "stall": {"wall": 0.0, "cpu": 0.0},
        "server": {"polls": 1, "polls_by_second": {}, "connections": 1},
    }
    found = found_in({entry.title: [measured] for entry in ENTRIES}, load)
    known = {*found.facts, *(f"{way.title}, starts" for way in WAYS), *IMPORTS, "throughput", "memory"}
    known |= {f"{who}, {what}" for who in ("ours", "fixed") for what in ("polls", "delay")}
    for way in storing.WAYS:
        known |= storing.facts_of([way.title, *storing.HEAD[1:]]).keys()
    for side in calling.SIDES:
        known |= calling.facts_of([side.title, *calling.HEAD[1:]]).keys()
    assert set(asked) <= known
    assert found.text.count("\n| ") == len(ENTRIES) + 2

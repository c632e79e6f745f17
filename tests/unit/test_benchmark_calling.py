"""How the benchmark of callbacks disturbs them, and what it makes of what it has seen."""

from __future__ import annotations

from typing import Any

from airflow_provider_runway.simulator.faults import CALLBACK_KINDS, Fault, FaultBook
from benchmarks import calling

PATH = "/api/v1/runway/generate"


def test_every_third_callback_is_dropped_and_every_fifth_of_the_rest_repeated() -> None:
    book = FaultBook()
    for fault in calling.faults(200):
        book.add(Fault.from_json(fault))
    met = [book.take("POST", PATH, CALLBACK_KINDS) for _ in range(200)]
    kinds = [fault.kind if fault else None for fault in met]
    assert kinds[:10] == [
        *(None, None, "callback_dropped", None, "callback_repeated"),
        *("callback_dropped", None, None, "callback_dropped", "callback_repeated"),
    ]
    assert [number for number, kind in enumerate(kinds) if kind == "callback_dropped"] == list(
        range(2, 200, 3)
    )
    assert all(kind in ("callback_repeated", "callback_dropped") for kind in kinds[4::5])


def test_a_troubled_side_has_a_row_for_each_fate() -> None:
    endings = [
        calling.Ending(1.0, 3.0, 1, 2, False, "came"),
        calling.Ending(90.0, 92.0, 1, 1, False, "dropped"),
        calling.Ending(None, None, 1, 3, True, "failed"),
    ]
    calls: list[dict[str, Any]] = [
        {"task_id": "came", "status": 200},
        {"task_id": "failed", "status": 503},
        {"task_id": "dropped", "status": "dropped"},
    ]
    side = calling.Side("title", "", troubled=True)
    came, dropped = calling.rows_of(side, endings, calls, base=2.0)
    assert came == [
        calling.ARRIVED,
        *("1.0 s", "1.0 s", "0.50", "3.0 s", "3.0 s", "1.0", "2.5", "1 of 2", "1 of 2", "1"),
    ]
    assert dropped == [
        calling.DROPPED,
        *("90.0 s", "90.0 s", "45.00", "92.0 s", "92.0 s", "1.0", "1.0", "", "1 of 1", "0"),
    ]

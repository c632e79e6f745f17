from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests import covered

TOTALS = {"num_statements": 2000, "covered_lines": 1980, "num_branches": 400, "covered_branches": 380}


@pytest.mark.parametrize(
    ("changed", "code"),
    [({}, 0), ({"covered_branches": 379}, 1), ({"covered_lines": 1899}, 1)],
)
def test_too_few_lines_or_too_few_branches_fail_each_by_themselves(
    changed: dict[str, int], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "coverage.json"
    file.write_text(json.dumps({"totals": TOTALS | changed}))
    monkeypatch.setattr(sys, "argv", ["covered", str(file)])
    assert covered.main() == code


def test_the_table_has_both() -> None:
    assert covered.table(TOTALS).splitlines()[2:] == [
        "| lines | 2,000 | 1,980 | 99.0 % |",
        "| branches | 400 | 380 | 95.0 % |",
    ]

"""Says how much of the package the tests run, lines and branches apart: ``python -m tests.covered FILE``.

``FILE`` is what ``coverage json`` has written. The exit code is 1 where either is less than :data:`LEAST`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.documents import write_between
from tests.pages import REPOSITORY

#: Per cent.
LEAST = 95.0


def main() -> int:
    """Print the table, write it into the docs where that was asked for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.covered", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--write-docs", action="store_true", help="write the table into docs/testing.md")
    asked = parser.parse_args()
    totals = json.loads(asked.file.read_text(encoding="utf-8"))["totals"]
    text = table(totals)
    print(text)
    if asked.write_docs:
        write_between(REPOSITORY / "docs" / "testing.md", "coverage", text)
    too_few = [what for what, share in shares(totals).items() if share < LEAST]
    for what in too_few:
        print(f"FAILED: under {LEAST:g} % of the {what}", file=sys.stderr)
    return 1 if too_few else 0


def shares(totals: Mapping[str, Any]) -> dict[str, float]:
    """
    Return the shares in per cent.

    :param totals: What coverage.py says of all files.
    """
    return {
        "lines": 100 * totals["covered_lines"] / totals["num_statements"],
        "branches": 100 * totals["covered_branches"] / totals["num_branches"],
    }


def table(totals: Mapping[str, Any]) -> str:
    """
    Return the table in Markdown.

    :param totals: What coverage.py says of all files.
    """
    counted = {
        "lines": (totals["num_statements"], totals["covered_lines"]),
        "branches": (totals["num_branches"], totals["covered_branches"]),
    }
    rows = [
        f"| {what} | {counted[what][0]:,} | {counted[what][1]:,} | {share:.1f} % |"
        for what, share in shares(totals).items()
    ]
    return "\n".join(["| | in the package | run by the tests | share |", "|---|--:|--:|--:|", *rows])


if __name__ == "__main__":
    sys.exit(main())

"""Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Found:
    """
    What a part of the benchmark has found.

    :param text: Its Markdown: a table, with the sentences that say how it was measured.
    :param facts: Single numbers as they are printed, by name, for the summary.
    """

    text: str
    facts: Mapping[str, str] = field(default_factory=dict)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    Return a Markdown table, all columns but the first aligned to the right.

    :param head: The titles of the columns.
    :param rows: The cells.
    """
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

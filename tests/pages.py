"""The README and the pages of the docs, taken apart for the tests that see whether they are true."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
#: Each page by its path: what lies at the root, and the documentation.
PAGES = {
    file.relative_to(REPOSITORY).as_posix(): file.read_text(encoding="utf-8")
    for folder in (REPOSITORY, REPOSITORY / "docs")
    for file in sorted(folder.glob("*.md"))
}


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page.

    :param line: where it begins, from 1
    :param language: what stands behind the fence, such as ``python``
    """

    page: str
    line: int
    language: str
    source: str

    @property
    def name(self) -> str:
        """A name for test reports and files, such as ``waiting_17``."""
        return f"{Path(self.page).stem.lower()}_{self.line}"


def snippets(language: str) -> list[Snippet]:
    """Return the snippets of a language on all pages."""
    return [
        Snippet(page, text[: match.start()].count("\n") + 1, match[2], textwrap.dedent(match[3]))
        for page, text in PAGES.items()
        # One in a list is indented.
        for match in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
        if match[2] == language
    ]


def sections(page: str) -> list[tuple[str, int, int]]:
    """Return the sections of a page: heading, the line that it is on, the first line after the section."""
    lines = PAGES[page].splitlines()
    begins = [number for number, line in enumerate(lines, 1) if line.startswith("## ")]
    ends = [*begins[1:], len(lines) + 1]
    return [(lines[begin - 1][3:], begin, end) for begin, end in zip(begins, ends, strict=False)]


def table(page: str, heading: str) -> dict[str, list[str]]:
    """Return the table below a heading: the name in its first column to the texts of the others."""
    section = PAGES[page].split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}


def without_code(text: str) -> str:
    """Return a page's text without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)

"""Puts what a command has measured into a page of the documentation, between two markers."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``.

    :param page: a Markdown file; two processes may write into it at the same time
    :param name: the name of the passage
    :param text: what is to stand there
    :raises ValueError: when the page has no such passage, or more than one
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    with page.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = file.read()
        passage = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        after, replaced = passage.subn(lambda _: f"{begin}\n\n{text.strip()}\n\n{end}", before)
        if replaced != 1:
            raise ValueError(f"{page} has {replaced} passages between {begin} and {end}, and must have one")
        file.seek(0)
        file.write(after)
        file.truncate()

"""The tutorial's page, taken apart into what a reader does, in order.

Comments that are not shown say what a reader knows without them: ``<!-- terminal: NAME -->`` is the terminal
of the commands from there on, and ``<!-- again -->`` that the next ones are repeated until they say what
stands below them. Above commands that need a key stands ``<!-- with a key -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FIRST = "first"
_BLOCK = re.compile(
    r"^<!-- (?:terminal: (?P<terminal>\w+)|(?P<mark>again|with a key)) -->$"
    r"|^```(?P<language>\w+)\n(?P<source>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"# (\S+\.\w+)\n")


@dataclass(frozen=True)
class File:
    """A file that the reader is to write.

    :param line: where it stands on the page, from 1
    :param path: where it goes, seen from the tutorial's folder
    """

    line: int
    path: str
    text: str


@dataclass(frozen=True)
class Commands:
    """What the reader is to type into a terminal.

    :param line: where it stands on the page, from 1
    :param says: what must stand in the output; empty if the page does not tell
    :param again: whether to repeat it until it says so
    :param with_a_key: whether a reader's own API key belongs into it
    """

    line: int
    terminal: str
    source: str
    says: str = ""
    again: bool = False
    with_a_key: bool = False


def steps(page: str) -> list[File | Commands]:
    """Return what a page asks of its reader.

    :param page: its text
    :raises ValueError: for a block of which it is not said what to do with it
    """
    found: list[File | Commands] = []
    terminal, marks = FIRST, set[str]()
    for line, block in _blocks(page):
        if block["terminal"]:
            terminal = block["terminal"]
        elif block["mark"]:
            marks.add(block["mark"])
        elif block["language"] == "bash":
            again, with_a_key = "again" in marks, "with a key" in marks
            found.append(Commands(line, terminal, block["source"], again=again, with_a_key=with_a_key))
            marks.clear()
        elif block["language"] == "text" and found and isinstance(last := found[-1], Commands):
            found[-1] = Commands(**{**vars(last), "says": block["source"]})
        elif file := _FILE.match(block["source"]):
            found.append(File(line, file[1], block["source"]))
        else:
            raise ValueError(f"line {line}: neither commands, nor what they say, nor a file with its name")
    return found


def _blocks(page: str) -> Iterator[tuple[int, re.Match[str]]]:
    for block in _BLOCK.finditer(page):
        yield page[: block.start()].count("\n") + 1, block


def is_said(expected: str, output: str) -> bool:
    """Tell whether each line of what is expected stands in a line of the output, in the same order."""
    lines = iter(output.splitlines())
    return all(any(wanted in line for line in lines) for wanted in expected.splitlines())

"""What there is to be tested: each Airflow on each Python, with the packages of two days."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.pins.install import PYTHONS
from tests.pins.renew import HERE as PINS
from tests.pins.renew import RELEASES

#: When the packages beside Airflow are from: its release's day, or today.
COLUMNS = ("released", "today")


@dataclass(frozen=True, order=True)
class Cell:
    """
    One environment to test in.

    :param airflow: The minor version, such as ``3.1``.
    :param python: The minor version, such as ``3.12``.
    :param column: One of :data:`COLUMNS`.
    """

    airflow: str
    python: str
    column: str

    @property
    def name(self) -> str:
        """Its name in files and on the command line."""
        return f"{self.airflow}-{self.column}-{self.python}"

    @property
    def pins(self) -> Path:
        """The file of its pinned packages."""
        return PINS / f"airflow-{self.airflow}{'-released' if self.column == 'released' else ''}.txt"

    def airflow_release(self) -> str:
        """Return the version of Airflow that is pinned, such as ``3.1.8``."""
        return str(re.findall(r"^apache-airflow==(\S+)", self.pins.read_text(), re.MULTILINE)[0])


def all_cells() -> Iterator[Cell]:
    """Yield every cell, in the order of the table."""
    for airflow in RELEASES:
        (_, lowest), (_, limit) = PYTHONS[f"airflow-{airflow}"]
        for minor in range(lowest, limit):
            for column in COLUMNS:
                yield Cell(airflow, f"3.{minor}", column)


@lru_cache
def interpreter(python: str) -> str | None:
    """
    Return an interpreter of this version, ``None`` where this machine has none.

    :param python: Such as ``3.12``.
    """
    name = f"python{python}"
    # Some installed names are stand-ins that refuse, so each is asked.
    candidates = [shutil.which(name), *(Path.home() / ".pyenv" / "versions").glob(f"{python}.*/bin/{name}")]
    ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        if candidate is None:
            continue
        answer = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == python:
            return str(candidate)
    return None

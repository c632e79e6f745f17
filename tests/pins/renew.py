"""Resolve the pinned packages anew: ``python -m tests.pins.renew [NAME ...]``, by default all of them.

Each Airflow has two: those of its release's day, which stand in for its constraint file and are what people
have who install as Airflow asks, and today's. What stands beside the package's own requirements is in the
``.in`` file of that Airflow.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


@dataclass(frozen=True)
class Pins:
    """
    One file of pins.

    :param name: The file's, without ``.txt``.
    :param source: The ``.in`` file's, without that; empty means the same.
    :param python: The lowest Python that it is for.
    :param until: Nothing that came out on this day (``YYYY-MM-DD``) or later; empty means today's.
    :param dev: Whether the tools to test with are in it, too (the group ``dev``).
    :param lowest: The lowest versions in place of the highest.
    :param alone: Whether the package's own requirements are left out.
    """

    name: str
    source: str = ""
    python: str = "3.11"
    until: str = ""
    dev: bool = True
    lowest: bool = False
    alone: bool = False

    def renew(self) -> None:
        """
        Write the file.

        :raises subprocess.CalledProcessError: when there is no solution, or no package index
        """
        asked = [
            *(sys.executable, "-m", "uv", "pip", "compile"),
            *("--universal", "--python-version", self.python, "--upgrade", "--quiet", "--no-header"),
            *(("--exclude-newer", self.until) if self.until else ()),
            *(("--resolution", "lowest-direct") if self.lowest else ()),
            *(() if self.alone else ("pyproject.toml", "--extra", "simulator")),
            *(("--group", "dev") if self.dev else ()),
            str((HERE / f"{self.source or self.name}.in").relative_to(REPOSITORY)),
        ]
        file = (HERE / f"{self.name}.txt").relative_to(REPOSITORY)
        subprocess.run([*asked, "--output-file", str(file)], cwd=REPOSITORY, check=True)


#: The day after the release of each Airflow that is tested.
RELEASES = {
    "2.11": "2026-03-15",
    "3.0": "2025-08-30",
    "3.1": "2026-03-12",
    "3.2": "2026-05-30",
    "3.3": "2026-09-18",
}


def _of_airflow(version: str) -> tuple[Pins, Pins]:
    name, python = f"airflow-{version}", "3.10" if version == "2.11" else "3.11"
    return Pins(name, python=python), Pins(f"{name}-released", name, python, RELEASES[version])


PINS = (
    *(pins for version in RELEASES for pins in _of_airflow(version)),
    Pins("celery"),
    Pins("celery-2.11", python="3.10"),
    Pins("benchmark"),
    Pins("docs", dev=False),
    Pins("release", dev=False, alone=True),
    # As on the day when the lowest Airflow that is supported came out.
    Pins("lowest", until="2025-05-20", dev=False, lowest=True),
)


def main(names: list[str]) -> None:
    """Renew the files of these names, all where there is none."""
    unknown = set(names) - {pins.name for pins in PINS}
    if unknown:
        sys.exit(f"There are no pins of the name {', '.join(sorted(unknown))}.")
    for pins in PINS:
        if not names or pins.name in names:
            print(pins.name, flush=True)
            pins.renew()


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the command line of the chaos run asks for."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

from tests.harness.processes import REPOSITORY

FOLDER = REPOSITORY / ".chaos"
PAGE = REPOSITORY / "docs" / "reliability.md"


@dataclass(frozen=True)
class Options:
    """
    :param tasks: videos to ask for
    :param kills: processes to kill
    :param pause: mean seconds from one kill to the next, at the least
    :param seed: decides kills and faults
    :param notes: ``with``, ``without``, or ``both`` at the same time
    :param folder: where everything is written
    :param write_docs: put the tables into the docs
    :param callbacks: let kie.ai call back
    :param minutes: give up after so many
    """

    tasks: int
    kills: int
    pause: float
    seed: int
    notes: str
    folder: Path
    write_docs: bool
    callbacks: bool
    minutes: float

    @property
    def flags(self) -> str:
        """What repeats the plan of this run."""
        flags = f"--seed {self.seed} --kills {self.kills} --tasks {self.tasks} --notes {self.notes}"
        return flags + (" --callbacks" if self.callbacks else "")

    @property
    def passage(self) -> str:
        """The name of the passage of the docs that the table of this run belongs into."""
        return "chaos with callbacks" if self.callbacks else f"chaos {self.notes} notes"


def read_options(description: str | None, given: list[str] | None = None) -> Options:
    """
    Read the command line; a wrong one ends the program with a message.

    :param description: the first lines of ``--help``
    :param given: the arguments; ``None`` takes the program's
    """
    parser = argparse.ArgumentParser(
        prog="make chaos", description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=300, help="videos to ask for")
    parser.add_argument("--kills", type=int, default=42, help="processes to kill")
    parser.add_argument(
        "--pause", type=float, default=6, help="mean seconds from one kill to the next, at the least"
    )
    parser.add_argument("--seed", type=int, default=None, help="decides kills and faults; default: random")
    parser.add_argument("--short", action="store_true", help="60 videos, 8 kills, with the notes: minutes")
    parser.add_argument(
        "--notes",
        choices=("both", "with", "without"),
        default=None,
        help="durable=True, durable=False (shows the charges that the notes prevent), or both at the same "
        "time; default: both, and with --short: with",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=FOLDER,
        help="where everything is written; a run ends an earlier one that still uses it",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help=f"put the tables into {PAGE.relative_to(REPOSITORY)}"
    )
    parser.add_argument(
        "--callbacks", action="store_true", help="let kie.ai call back; a lost answer comes back by that"
    )
    parser.add_argument("--minutes", type=float, default=90, help="give up after so many")
    arguments = parser.parse_args(given)
    if arguments.short:
        arguments.tasks, arguments.kills, arguments.pause = 60, 8, 5
    if arguments.tasks < 3:
        parser.error("--tasks must be at least 3")
    return Options(
        tasks=arguments.tasks,
        kills=arguments.kills,
        pause=arguments.pause,
        seed=random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed,
        notes=arguments.notes or ("with" if arguments.short or arguments.callbacks else "both"),
        folder=arguments.folder.resolve(),
        write_docs=arguments.write_docs,
        callbacks=arguments.callbacks,
        minutes=arguments.minutes,
    )

"""What the command line of the chaos run asks for."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_runway.compat import AIRFLOW
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
    :param executor: ``local`` or ``celery``
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
    executor: str
    notes: str
    folder: Path
    write_docs: bool
    callbacks: bool
    minutes: float

    @property
    def flags(self) -> str:
        """What repeats the plan of this run, for ``make chaos`` or ``make chaos-2.11``."""
        flags = "--executor celery " if self.executor == "celery" and AIRFLOW >= (3,) else ""
        flags += f"--seed {self.seed} --kills {self.kills} --tasks {self.tasks} --notes {self.notes}"
        return flags + (" --callbacks" if self.callbacks and self.executor == "local" else "")

    @property
    def command(self) -> str:
        """What makes such a run, without its flags."""
        return "make chaos" if AIRFLOW >= (3,) else "make chaos-2.11"

    @property
    def passage(self) -> str:
        """The name of the passage of the docs that the table of this run belongs into."""
        if self.executor == "celery":
            return "chaos with Celery" if AIRFLOW >= (3,) else "chaos with Celery on Airflow 2.11"
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
    parser.add_argument(
        "--tasks", type=int, default=None, help="videos to ask for; default: 300, with Celery 200"
    )
    parser.add_argument(
        "--kills", type=int, default=None, help="processes to kill; default: 42, with Celery 36"
    )
    parser.add_argument(
        "--pause", type=float, default=6, help="mean seconds from one kill to the next, at the least"
    )
    parser.add_argument("--seed", type=int, default=None, help="decides kills and faults; default: random")
    parser.add_argument(
        "--executor",
        choices=("local", "celery"),
        default="local",
        help="celery: two workers that share no folder, two of every other component but the DAG processor, "
        "Redis, and the videos on S3; with the notes, and with Airflow 3 with callbacks",
    )
    parser.add_argument(
        "--short", action="store_true", help="60 videos, 8 kills (with Celery 12), with the notes: minutes"
    )
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
    usual, few = ((200, 36), (60, 12)) if arguments.executor == "celery" else ((300, 42), (60, 8))
    if arguments.short:
        usual, arguments.pause = few, 5
    arguments.tasks = usual[0] if arguments.tasks is None else arguments.tasks
    arguments.kills = usual[1] if arguments.kills is None else arguments.kills
    if arguments.executor == "celery":
        if arguments.notes == "both":
            parser.error("--executor celery runs once: --notes with or --notes without")
        arguments.notes = arguments.notes or "with"
        arguments.callbacks = AIRFLOW >= (3,)
    if arguments.tasks < 3:
        parser.error("--tasks must be at least 3")
    return Options(
        tasks=arguments.tasks,
        kills=arguments.kills,
        pause=arguments.pause,
        seed=random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed,
        executor=arguments.executor,
        notes=arguments.notes or ("with" if arguments.short or arguments.callbacks else "both"),
        folder=arguments.folder.resolve(),
        write_docs=arguments.write_docs,
        callbacks=arguments.callbacks,
        minutes=arguments.minutes,
    )

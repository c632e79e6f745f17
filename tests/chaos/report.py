"""The table of a run, for the terminal and for the docs."""

from __future__ import annotations

from collections import Counter

from tests.chaos.evidence import Evidence
from tests.chaos.options import PAGE, Options
from tests.harness.documents import write_between

TABLE_HEAD = "| `make chaos"


class Report:
    """
    One run's.

    :param options: those of the run
    :param evidence: what came of it
    :param kills: how many of each kind fell
    :param faults: how many of each kind were added
    :param seconds: how long it took
    """

    def __init__(
        self,
        options: Options,
        evidence: Evidence,
        kills: Counter[str],
        faults: Counter[str],
        *,
        seconds: float,
    ) -> None:
        self._options = options
        self._evidence = evidence
        self._kills = kills
        self._faults = faults
        self._seconds = seconds

    def publish(self) -> None:
        """Print it, and write it into the docs where that is asked for and all kills have fallen."""
        table = self._table()
        print(f"\n{table}")
        if self._options.write_docs and sum(self._kills.values()) >= self._options.kills:
            write_between(PAGE, self._options.passage, table)
        verdict = self._evidence.verdict
        for title, cases in (
            ("Charged twice", verdict.charged_twice),
            ("Lost", verdict.lost),
            ("Unknown, although the callback had arrived", verdict.unknown_though_called),
            ("Other failures", verdict.other_failures),
            ("The key is in", self._evidence.leaks),
            ("Rests of files", self._evidence.rests),
        ):
            if cases:
                print(f"\n{title}:\n" + "\n".join(f"  {case}" for case in cases))
        print(flush=True)

    def _table(self) -> str:
        verdict = self._evidence.verdict
        unknown = f"{verdict.unknown_charged} charged, {verdict.unknown_not_charged} not"
        found = verdict.unknown_though_called
        rows: list[tuple[str, object]] = [
            ("requested", verdict.asked),
            ("charged", verdict.charged),
            ("of these, failed at kie.ai", verdict.failed_generations),
            ("delivered", verdict.delivered),
            ("only submitted, and failed at kie.ai later", verdict.submitted_in_vain),
            ("**charged twice**", f"**{len(verdict.charged_twice)}** ({verdict.surplus} surplus charges)"),
            ("**lost** (charged, no video, not reported as unknown)", f"**{len(verdict.lost)}**"),
            (
                "unknown, ended as `RunwaySubmissionUnknownError`",
                f"{verdict.unknown_charged + verdict.unknown_not_charged} ({unknown})",
            ),
            *(
                [("**unknown, although the callback had arrived**", f"**{len(found)}**")]
                if self._options.callbacks
                else []
            ),
            ("other failures", len(verdict.other_failures)),
            ("kills", _counts(self._kills)),
            ("faults", _counts(self._faults)),
            ("API key in database and logs", len(self._evidence.leaks)),
            ("of those delivered, stored as complete files", verdict.stored),
            ("leftover partial files", len(self._evidence.rests)),
            ("time", f"{self._seconds / 60:.1f} minutes"),
        ]
        head = f'| `{self._options.command} FLAGS="{self._options.flags}"` | |\n|---|---|\n'
        return head + "".join(f"| {name} | {value} |\n" for name, value in rows)


def _counts(counter: Counter[str]) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in counter.most_common())
    return f"{sum(counter.values())} ({kinds})"

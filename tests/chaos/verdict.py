"""Compares what was asked for with what was charged: the one question of it all, as plain data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

UNKNOWN = "RunwaySubmissionUnknownError"


@dataclass(frozen=True)
class Charge:
    """A creation that kie.ai accepted and charged.

    :param prompt: what was asked for
    :param runway_task_id: its ID
    :param failed: the generation failed at kie.ai, so that a retry rightly made another one
    """

    prompt: str
    runway_task_id: str
    failed: bool = False


@dataclass(frozen=True)
class Ending:
    """How the Airflow task that asked for a video ended.

    :param prompt: what it asked for
    :param state: Airflow's name of its state
    :param runway_task_id: the ID that it returned, if it did
    :param error: the class of the exception of its last try, if it failed
    :param stored: whether its file is there, and whole; ``None`` for a task that stores none
    """

    prompt: str
    state: str
    runway_task_id: str | None = None
    error: str | None = None
    stored: bool | None = None


@dataclass
class Verdict:
    """The counts, and for each of what must not be the cases by name."""

    asked: int = 0
    delivered: int = 0
    stored: int = 0
    submitted_in_vain: int = 0
    charged: int = 0
    failed_generations: int = 0
    surplus: int = 0
    unknown_charged: int = 0
    unknown_not_charged: int = 0
    charged_twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unknown_though_called: list[str] = field(default_factory=list)
    other_failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was paid for twice, nothing paid for was lost, and all else is a known unknown."""
        bad = (self.charged_twice, self.lost, self.unknown_though_called, self.other_failures)
        return not any(bad)


def judge(
    charges: Iterable[Charge],
    endings: Iterable[Ending],
    watched: Mapping[str, bool],
    called: Collection[str] = (),
) -> Verdict:
    """
    Compare.

    :param charges: all that were made
    :param endings: one for each video that was asked for
    :param watched: for each Runway task ID that another Airflow task waited for, whether it got the video
    :param called: the Runway task IDs that kie.ai has called about, and Airflow has taken the call
    """
    by_prompt = defaultdict(list)
    for charge in charges:
        by_prompt[charge.prompt].append(charge)
    verdict = Verdict()
    for ending in endings:
        verdict.asked += 1
        made = by_prompt.pop(ending.prompt, [])
        good = [charge.runway_task_id for charge in made if not charge.failed]
        verdict.charged += len(made)
        verdict.failed_generations += len(made) - len(good)
        case = f"{ending.prompt}: {ending.state} {ending.error or ending.runway_task_id or ''}".strip()
        case += f"; charged as {', '.join(good) or 'nothing'}"
        if len(good) > 1:
            verdict.charged_twice.append(case)
            verdict.surplus += len(good) - 1
        if ending.state == "success":
            video_there = ending.runway_task_id is not None and watched.get(ending.runway_task_id, True)
            video_there = video_there and ending.stored is not False
            if video_there and ending.runway_task_id in good:
                verdict.delivered += 1
                verdict.stored += ending.stored is True
            elif good:
                verdict.lost.append(case)
            elif ending.runway_task_id in [charge.runway_task_id for charge in made]:
                verdict.submitted_in_vain += 1
            else:
                verdict.other_failures.append(case)
        elif ending.error == UNKNOWN:
            verdict.unknown_charged += bool(good)
            verdict.unknown_not_charged += not good
            if set(good) & set(called):
                verdict.unknown_though_called.append(case)
        elif good:
            verdict.lost.append(case)
        else:
            verdict.other_failures.append(case)
    for prompt, made in by_prompt.items():
        verdict.charged += len(made)
        verdict.lost.append(f"{prompt}: charged, and nobody asked for it")
    return verdict

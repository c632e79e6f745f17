"""A simulated task: where it stands is computed from the clock, so that waiting tasks cost nothing."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_runway.simulator.rules import Submission
from airflow_provider_runway.simulator.settings import Settings

STATES = ("waiting", "queueing", "generating", "success", "fail")
VIDEO_DAYS = 14
DAY = 86400.0


@dataclass(slots=True)
class Task:
    """One task, its whole life laid out at its creation.

    :param failure: code and text that it ends with, ``None`` for success.
    :param ends_at: time of its end, ``None`` for a task that is stuck.
    :param owner: the account that it belongs to; empty where there is one alone.
    :param forced_state: a state set by the control endpoint, which the clock no longer changes.
    :param callback_sent: its callback needs no more tries.
    :param callback_attempts: how often it was sent so far, an early one not counted.
    :param callback_fault: its trouble, one of ``CALLBACK_KINDS``.
    :param callback_delay: how many seconds after the end it is due.
    :param callback_times: how often it is sent in all; ``None``: until it is taken, or no retry is left.

    All times are Unix seconds by the simulator's clock.
    """

    task_id: str
    submission: Submission
    path: str
    body: dict[str, Any]
    base_url: str
    credits: float
    created_at: float
    visible_at: float
    queueing_at: float
    generating_at: float
    ends_at: float | None
    expires_at: float = math.inf
    failure: tuple[int, str] | None = None
    without_url: bool = False
    forced_state: str | None = None
    callback_sent: bool = False
    callback_attempts: int = 0
    callback_fault: str | None = None
    callback_delay: float = 0.0
    callback_times: int | None = None
    owner: str = ""

    def state(self, now: float) -> str:
        """Return which of ``STATES`` the task is in."""
        if self.forced_state is not None:
            return self.forced_state
        if self.ends_at is not None and now >= self.ends_at:
            return "fail" if self.failure else "success"
        if now >= self.generating_at:
            return "generating"
        return "queueing" if now >= self.queueing_at else "waiting"

    def expired(self, now: float) -> bool:
        """Tell whether the video was made and is deleted by now."""
        return self.state(now) == "success" and now >= self.expires_at

    @property
    def callback_due(self) -> float | None:
        """When its callback is to be sent, ``None`` where there is none, or none any more."""
        if not self.submission.callback_url or self.callback_sent or self.ends_at is None:
            return None
        return self.ends_at + self.callback_delay

    @property
    def failed_at_once(self) -> bool:
        """Whether it failed before it was generating; the market's answer has no times of its end then."""
        return bool(self.failure) and self.ends_at is not None and self.ends_at < self.generating_at

    def has_video(self, now: float) -> bool:
        """Tell whether the result's address answers."""
        return self.state(now) == "success" and not self.without_url and now < self.expires_at

    @property
    def video_name(self) -> str:
        """File name in the video's URL."""
        return f"{self.task_id}_1_{int(self.ends_at or 0)}_{1000 + int(self.task_id[:6], 16) % 9000}.mp4"

    @property
    def image_name(self) -> str:
        """File name in the thumbnail's URL."""
        return (
            f"{self.task_id}_1_{int(self.ends_at or 0) + 1}_{1000 + int(self.task_id[6:12], 16) % 9000}.jpg"
        )

    @property
    def video_id(self) -> str:
        """The video's own number, fifteen digits."""
        return str(10**14 + int(self.task_id[:16], 16) % (9 * 10**14))

    def force(
        self,
        now: float,
        state: str,
        *,
        code: int = 500,
        message: str = "internal error, please try again later.",
        expired: bool = False,
        without_url: bool = False,
    ) -> None:
        """Put the task into a state for good.

        :param state: one of ``STATES``.
        :param code: with ``fail``, the code it failed with.
        :param message: with ``fail``, the text beside it.
        :param expired: with ``success``, the video is deleted.
        :param without_url: with ``success``, there is no video's address.
        """
        if state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, got {state!r}")
        self.forced_state = state
        self.failure = (code, message) if state == "fail" else None
        self.without_url = without_url
        if state in ("success", "fail"):
            self.ends_at = now if self.ends_at is None else min(self.ends_at, now)
            self.expires_at = now if expired else self.ends_at + VIDEO_DAYS * DAY
        else:
            self.ends_at = None

    def to_json(self) -> dict[str, Any]:
        """Return the task as plain data for the state file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Task:
        """Return the task that ``to_json`` wrote."""
        failure = tuple(data["failure"]) if data["failure"] else None
        return cls(**{**data, "submission": Submission(**data["submission"]), "failure": failure})


def plan_task(
    task_id: str,
    number: int,
    submission: Submission,
    *,
    path: str,
    body: dict[str, Any],
    base_url: str,
    now: float,
    settings: Settings,
    failure: tuple[int, str] | None = None,
    fault: str | None = None,
    at_once: bool = False,
    owner: str = "",
) -> Task:
    """Lay out the life of a new task.

    :param number: how many tasks there were before it: with the seed, it decides the random spread.
    :param failure: how it will end, where that is known already; a failing task ends at half its time.
    :param at_once: the failure comes with the creation.
    :param fault: a fault of a task's own: ``stuck``, ``success_without_url`` or ``expired``.
    """
    chance = random.Random(f"{settings.seed}:{number}")

    def seconds(base: float) -> float:
        return base * (1 + settings.spread * chance.uniform(-1, 1)) / settings.speed

    queueing_at = now + seconds(settings.waiting_seconds)
    generating_at = queueing_at + seconds(settings.queueing_seconds)
    generating = seconds(settings.generating_seconds(submission.kind))
    ends_at = now if at_once else generating_at + (generating / 2 if failure else generating)
    visible_at = (
        now + settings.invisible_seconds / settings.speed if submission.generation == "market" else now
    )
    return Task(
        task_id=task_id,
        submission=submission,
        path=path,
        body=body,
        base_url=base_url,
        credits=submission.credits,
        created_at=now,
        visible_at=visible_at,
        queueing_at=queueing_at,
        generating_at=generating_at,
        ends_at=None if fault == "stuck" else ends_at,
        expires_at=ends_at if fault == "expired" else ends_at + VIDEO_DAYS * DAY,
        failure=failure,
        without_url=fault == "success_without_url",
        owner=owner,
    )

"""What a result shows, as plain data: worked out from the tasks, handed to the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow_provider_runway.simulator.account import Account
from airflow_provider_runway.simulator.tasks import Task
from airflow_provider_runway.simulator.uploads import Uploads

SHORT_SIDES = {"720p": 720, "1080p": 1080}
ALEPH_SECONDS = 5


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with a prompt of its own.

    :param seconds: its length.
    :param label: what made it, such as ``TEXT TO VIDEO``.
    """

    prompt: str
    seconds: int
    label: str


@dataclass(frozen=True)
class Plan:
    """One video to draw.

    :param name: file name without suffix, its own for every task.
    :param segments: its stretches in order: an extension shows its parent's first.
    :param scene: text that decides colours and movement; an extension has its parent's.
    :param aspect_ratio: such as ``16:9``; ``None`` takes that of the picture or source, or 16:9.
    :param short_side: pixels.
    :param image: the picture that moves, an upload or another task's thumbnail.
    :param source: the video that is restyled, an upload or another task's video.
    :param restyled: whether it is an Aleph video, with or without a source that can be had.
    """

    name: str
    segments: tuple[Segment, ...]
    scene: str
    aspect_ratio: str | None
    short_side: int
    watermark: str | None = None
    image: Path | Plan | None = None
    source: Path | Plan | None = None
    restyled: bool = False

    @property
    def text_at_top(self) -> bool:
        """Whether the prompt stands at the top, where it does not cover that of the origin."""
        origin = self.source or self.image
        return not origin.text_at_top if isinstance(origin, Plan) else self.restyled

    @property
    def seconds(self) -> int:
        """Length of the video, before a shorter source cuts it."""
        return sum(segment.seconds for segment in self.segments)


class Planner:
    """Makes plans from the account's tasks and uploads."""

    def __init__(self, account: Account, uploads: Uploads) -> None:
        self._account = account
        self._uploads = uploads

    def plan(self, task: Task) -> Plan:
        """Return what the task's result shows."""
        submission = task.submission
        short_side = SHORT_SIDES[submission.quality]
        if submission.kind == "aleph":
            return Plan(
                name=task.task_id,
                segments=(Segment(submission.prompt, ALEPH_SECONDS, "ALEPH · VIDEO TO VIDEO"),),
                scene=submission.video_url or "",
                aspect_ratio=submission.aspect_ratio,
                short_side=short_side,
                watermark=submission.watermark,
                source=self._own(submission.video_url),
                restyled=True,
            )
        parent = self._account.tasks.get(submission.parent_task_id or "")
        if parent is not None:
            before = self.plan(parent)
            number = sum(segment.label.startswith("EXTENSION") for segment in before.segments) + 1
            return Plan(
                name=task.task_id,
                segments=(*before.segments, Segment(submission.prompt, 5, f"EXTENSION {number}")),
                scene=before.scene,
                aspect_ratio=before.aspect_ratio,
                short_side=short_side,
                watermark=submission.watermark,
                image=before.image,
            )
        label = "IMAGE TO VIDEO" if submission.image_url else "TEXT TO VIDEO"
        return Plan(
            name=task.task_id,
            segments=(Segment(submission.prompt, submission.duration, label),),
            scene=submission.prompt,
            aspect_ratio=None if submission.image_url else submission.aspect_ratio,
            short_side=short_side,
            watermark=submission.watermark,
            image=self._own(submission.image_url),
        )

    def _own(self, url: str | None) -> Path | Plan | None:
        path = self._account.own_path(url) if url else None
        if path is None:
            return None
        upload = self._uploads.find(path)
        if upload is not None:
            return upload
        made_by = self._account.tasks.get(path.removeprefix("/results/").split("_", 1)[0])
        return self.plan(made_by) if made_by else None

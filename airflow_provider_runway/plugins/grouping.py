"""Which task instances of a run are about the same Runway task, what became of it, and what came of what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_runway.links.xcoms import http_url
from airflow_provider_runway.plugins import values
from airflow_provider_runway.plugins.reading import DOWNLOADING, SUBMITTING, Instance, Key

#: How a task instance can end without having done its work.
_FAILED = ("failed", "upstream_failed")
_AT_WORK = ("queued", "running", "deferred", "up_for_retry", "up_for_reschedule", "restarting", "scheduled")
#: For how long something is thought to be made that nothing in its run waits for.
_PATIENCE = timedelta(hours=1)
_LONGEST_FAMILY = 50


@dataclass(frozen=True)
class Video:
    """
    A Runway task, or an attempt to submit one, with the task instances that are about it.

    :param owner: The one that submitted it; where that was elsewhere, the first that is about it.
    :param others: The sensors and downloads that are about it, too.
    """

    owner: Instance
    others: tuple[Instance, ...] = ()

    @property
    def members(self) -> tuple[Instance, ...]:
        """All task instances that are about it."""
        return (self.owner, *self.others)

    @property
    def runway_task_id(self) -> str | None:
        """Its Runway task ID, if one is known."""
        return runway_task_id_of(self.owner)

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for: as it was noted, or as the rendered fields say it."""
        owner = self.owner
        noted = values.mapping(owner.xcoms.get("runway_request"))
        return noted or (owner.rendered if owner.operator in SUBMITTING else {})

    @property
    def parent_task_id(self) -> str | None:
        """The Runway task that it continues."""
        return values.text(self.request.get("parent_task_id"))

    @property
    def source_url(self) -> str | None:
        """The video that it restyles, without the query, which a request is noted without."""
        return _without_query(self.request.get("video_url"))

    @property
    def url(self) -> str | None:
        """Where kie.ai has it, without the query."""
        found = self.latest("video_url", _without_query)
        return found and found[1]

    def latest(self, key: str, good: Callable[[Any], Any]) -> tuple[Instance, Any] | None:
        """
        Return the XCom that was pushed last, and whose it is.

        :param key: Its key.
        :param good: Makes of the value what is wanted; ``None`` means that it is of no use.
        """
        found = [
            (member.pushed_at[key], index, member, value)
            for index, member in enumerate(self.members)
            if key in member.xcoms and (value := good(member.xcoms[key])) is not None
        ]
        return max(found, key=lambda one: one[:2])[2:] if found else None

    @property
    def is_made(self) -> bool:
        """Whether there is a video, at kie.ai or stored."""
        return bool(self.latest("video_url", http_url) or self.latest("path", values.text))

    @property
    def submitted_at(self) -> datetime | None:
        """When it was submitted, as far as this try knows."""
        pushed_at = self.owner.pushed_at.get("runway_task_id")
        return pushed_at if self.owner.xcoms.get("runway_task_id") else None

    def state(self, *, run_is_live: bool, seen_from: Instance | None = None) -> str:
        """
        Return what became of it: ``made``, ``waiting``, ``failed``, ``unknown`` or ``none``.

        :param run_is_live: Whether the run still goes on.
        :param seen_from: The task instance whose page it is: its own failure counts more than the video.
        """
        unknown = next((one for one in self.members if _is_unknown(one)), None)
        if seen_from is not None and seen_from.state in _FAILED:
            return "unknown" if unknown is seen_from else "failed"
        if self.is_made:
            return "made"
        if unknown is not None and self.runway_task_id is None:
            return "unknown"
        if any(member.state in _FAILED for member in self.members):
            return "failed"
        if any(member.state in _AT_WORK for member in self.members):
            return "waiting" if self.submitted_at or self.owner.started_at else "none"
        if self.submitted_at is None:
            return "none"
        return "waiting" if run_is_live or _age(self.submitted_at) < _PATIENCE else "none"

    def error(self, seen_from: Instance | None = None) -> dict[str, str] | None:
        """
        Return why it failed, or why one of its task instances did.

        :param seen_from: The task instance whose page it is: its own error comes first.
        """
        members = self.members if seen_from is None else (seen_from, *self.members)
        return next((error for member in members if (error := error_of(member))), None)


def runway_task_id_of(instance: Instance) -> str | None:
    """
    Return the Runway task ID that a task instance is about, if it is known.

    :param instance: The task instance; older sensors and downloads have it in their rendered fields alone.
    """
    found = values.text(instance.xcoms.get("runway_task_id"))
    if found is None and instance.operator not in SUBMITTING:
        found = values.text(instance.rendered.get("runway_task_id"))
    return found


def error_of(instance: Instance) -> dict[str, str] | None:
    """
    Return the error of a task instance's last try, unless it came to a good end.

    :param instance: The task instance.
    """
    told = values.mapping(instance.xcoms.get("runway_error"))
    kind, text = values.text(told.get("kind")), values.text(told.get("text"))
    if instance.state == "success" or not (kind or text):
        return None
    return {"kind": kind or "RunwayError", "text": text or ""}


def _without_query(value: Any) -> str | None:
    url = http_url(value)
    return url and url.partition("?")[0]


def _is_unknown(instance: Instance) -> bool:
    told = values.mapping(instance.xcoms.get("runway_error"))
    return told.get("kind") == "RunwaySubmissionUnknownError" and instance.state in _FAILED


def _age(moment: datetime) -> timedelta:
    return datetime.now(timezone.utc) - moment


def needs_rendered(instance: Instance) -> bool:
    """
    Return whether only the rendered fields tell what a task instance is about.

    :param instance: The task instance.
    """
    if instance.operator in SUBMITTING:
        return "runway_task_id" in instance.xcoms and "runway_request" not in instance.xcoms
    return "runway_task_id" not in instance.xcoms


def videos_of(instances: Iterable[Instance]) -> list[Video]:
    """
    Return the videos of a run: by task, in the order in which their tasks began, and by map index.

    :param instances: Its task instances that have to do with a Runway video.
    """
    groups: dict[Any, list[Instance]] = {}
    for instance in instances:
        groups.setdefault(runway_task_id_of(instance) or instance.key, []).append(instance)
    _join_by_url(groups)
    videos = []
    for group in groups.values():
        ordered = sorted(group, key=_ownership)
        if _is_shown(ordered[0]):
            videos.append(Video(ordered[0], tuple(ordered[1:])))
    began: dict[str, datetime] = {}
    for video in videos:
        at = video.submitted_at or video.owner.started_at or _NEVER
        began[video.owner.task_id] = min(at, began.get(video.owner.task_id, _NEVER))
    return sorted(videos, key=lambda video: (began[video.owner.task_id], *video.owner.key))


_NEVER = datetime.max.replace(tzinfo=timezone.utc)


def _ownership(instance: Instance) -> tuple[bool, bool, datetime, Key]:
    submitted = instance.operator in SUBMITTING or "runway_request" in instance.xcoms
    pushed_at = instance.pushed_at.get("runway_task_id") or instance.started_at or _NEVER
    return not submitted, instance.operator == DOWNLOADING, pushed_at, instance.key


def _is_shown(owner: Instance) -> bool:
    """A task that has not begun, or was never to begin, is no video."""
    if "runway_task_id" in owner.xcoms or error_of(owner) or "path" in owner.xcoms:
        return True
    at_work = owner.state in _AT_WORK and owner.started_at is not None
    if owner.operator in SUBMITTING:
        return owner.state == "failed" or at_work
    return at_work or "video_url" in owner.xcoms or (owner.state == "failed")


def _join_by_url(groups: dict[Any, list[Instance]]) -> None:
    """Let what knows a video by its URL alone belong to the Runway task whose URL that is."""
    known: dict[str, Any] = {}
    for name, group in groups.items():
        if isinstance(name, str):
            for instance in group:
                url = http_url(instance.xcoms.get("video_url"))
                if url:
                    known.setdefault(url, name)
    for name in [name for name in groups if not isinstance(name, str)]:
        for instance in groups[name]:
            if instance.operator in SUBMITTING:
                continue
            url = http_url(instance.rendered.get("video_url")) or http_url(instance.xcoms.get("video_url"))
            if url in known:
                groups[known[url]] += groups.pop(name)
                break


def family_of(video: Video, videos: Iterable[Video]) -> list[Video]:
    """
    Return what a video continues and what continues it, in order, itself among them.

    :param video: The video.
    :param videos: All of its run.
    """
    by_id = {one.runway_task_id: one for one in videos if one.runway_task_id}
    by_url = {url: one for one in by_id.values() if (url := one.url)}
    parents = {
        name: parent
        for name, one in by_id.items()
        if (parent := by_id.get(one.parent_task_id or "") or by_url.get(one.source_url or ""))
    }
    children: dict[str | None, list[Video]] = {}
    for name, parent in parents.items():
        children.setdefault(parent.runway_task_id, []).append(by_id[name])
    family, seen = [video], {video.runway_task_id}
    while len(family) < _LONGEST_FAMILY:
        parent = parents.get(family[0].runway_task_id or "")
        if parent is None or parent.runway_task_id in seen:
            break
        family.insert(0, parent)
        seen.add(parent.runway_task_id)
    to_follow = [video]
    while to_follow:
        for child in children.get(to_follow.pop(0).runway_task_id, ()):
            if child.runway_task_id not in seen and len(family) < _LONGEST_FAMILY:
                family.append(child)
                to_follow.append(child)
                seen.add(child.runway_task_id)
    return family

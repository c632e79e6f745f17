"""What the pages show, as plain data for JSON: one video, and all videos of a run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from airflow_provider_runway.exceptions import LOGS_URL
from airflow_provider_runway.links import addresses
from airflow_provider_runway.links.xcoms import http_url
from airflow_provider_runway.plugins import grouping, media, values
from airflow_provider_runway.plugins.grouping import Video
from airflow_provider_runway.plugins.reading import SUBMITTING, Instance, RunReader

#: For how long kie.ai keeps a video.
_KEPT = timedelta(days=14)
_LIVE_RUNS = ("queued", "running")
_KINDS = dict(zip(SUBMITTING, ("generate", "extend", "aleph"), strict=True))

_UNKNOWN = (
    f"Nobody can know whether kie.ai accepted this request. Look for it at {LOGS_URL}. If it is there, give "
    "its task ID to a RunwayTaskSensor or a RunwayDownloadOperator; if it is not, clear this task to submit "
    "it again."
)
_NOT_AWAITED = (
    f"Nothing in this run has waited for this video. See what became of it at {LOGS_URL}, or pick it up with "
    "a RunwayDownloadOperator and its task ID."
)
_EXPIRED = (
    "kie.ai deletes videos after 14 days. To keep them, give path= to the operator, or add a "
    "RunwayDownloadOperator."
)
_NOT_SERVED = (
    "The copy cannot be played here: it is not below a folder of [runway] video_roots that Airflow's API "
    "server can read."
)


def one_video(reader: RunReader, instance: Instance, run_state: str) -> dict[str, Any]:
    """
    Return what the page of a task instance shows.

    :param reader: Reads its run.
    :param instance: The task instance, with all that is known of it.
    :param run_state: The state of its run.
    """
    shown: dict[str, Any] = {
        "found": _is_about_a_video(instance),
        "dag_id": reader.dag_id,
        "run_id": reader.run_id,
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "label": values.text(instance.label),
        "airflow_state": _state(instance),
        "try_number": instance.try_number,
        "operator": instance.operator,
        "logs_url": LOGS_URL,
    }
    is_live = run_state in _LIVE_RUNS
    videos: list[Video] = []
    video = Video(instance)
    if shown["found"]:
        others = reader.instances()
        others[instance.key] = instance
        reader.add_rendered(one for one in others.values() if grouping.needs_rendered(one))
        videos = grouping.videos_of(others.values())
        video = next((one for one in videos if instance in one.members), video)
        reader.add_details([one for one in video.members if one is not instance])
    state = video.state(run_is_live=is_live, seen_from=instance)
    clip = _clip(reader, video)
    path = video.latest("path", values.text)
    family = grouping.family_of(video, videos)
    reader.add_details([one for member in family if member is not video for one in member.members])
    return shown | {
        "state": state,
        **_request(video),
        "runway_task_id": video.runway_task_id,
        "submitted_at": values.moment(video.submitted_at),
        "ended_at": values.moment(_ended_at(video, state)),
        "usual": _usual(video),
        "credits": _credits(video),
        "video": clip,
        "path": path[1] if path else None,
        "size": values.whole(path[0].xcoms.get("size")) if path else None,
        "sha256": values.text(path[0].xcoms.get("sha256")) if path else None,
        "error": video.error(instance),
        "what_to_do": _what_to_do(video, state, clip),
        "family": [_relative(reader, one, one is video, is_live) for one in family] if shown["found"] else [],
    }


def gallery(reader: RunReader, run_state: str, *, offset: int, limit: int) -> dict[str, Any]:
    """
    Return what the page of a run shows: counts of all its videos, and some of them.

    :param reader: Reads the run.
    :param run_state: The run's state.
    :param offset: How many videos to leave out.
    :param limit: How many to return at most.
    """
    instances = reader.instances()
    reader.add_rendered(one for one in instances.values() if grouping.needs_rendered(one))
    videos = grouping.videos_of(instances.values())
    is_live = run_state in _LIVE_RUNS
    counts = dict.fromkeys(("made", "waiting", "failed", "unknown"), 0)
    for video in videos:
        state = video.state(run_is_live=is_live)
        if state in counts:
            counts[state] += 1
    paid = [cost for video in videos if (cost := _credits(video)) is not None]
    page = videos[offset : offset + limit]
    reader.add_details([member for video in page for member in video.members])
    return {
        "dag_id": reader.dag_id,
        "run_id": reader.run_id,
        "total": len(videos),
        "counts": counts,
        "credits": sum(paid) if paid else None,
        "live": is_live,
        "offset": offset,
        "limit": limit,
        "videos": [_in_gallery(reader, video, is_live) for video in page],
    }


def _in_gallery(reader: RunReader, video: Video, is_live: bool) -> dict[str, Any]:
    owner = video.owner
    request = _request(video)
    return {
        "task_id": owner.task_id,
        "map_index": owner.map_index,
        "label": values.text(owner.label),
        "state": video.state(run_is_live=is_live),
        "airflow_state": _state(owner),
        "runway_task_id": video.runway_task_id,
        "prompt": request["prompt"],
        "kind": request["kind"],
        "model": request["model"],
        "submitted_at": values.moment(video.submitted_at),
        "video": _clip(reader, video),
        "error": video.error(),
        "href": _href(reader, owner),
    }


def _relative(reader: RunReader, video: Video, current: bool, is_live: bool) -> dict[str, Any]:
    owner = video.owner
    clip = _clip(reader, video)
    return {
        "task_id": owner.task_id,
        "map_index": owner.map_index,
        "label": values.text(owner.label),
        "kind": _request(video)["kind"],
        "state": video.state(run_is_live=is_live),
        "current": current,
        "poster": clip["poster"],
        "vendor_poster": clip["vendor_poster"],
        "href": _href(reader, owner),
    }


def _is_about_a_video(instance: Instance) -> bool:
    return instance.is_ours or "path" in instance.xcoms


def _state(instance: Instance) -> str | None:
    return None if instance.state is None else str(getattr(instance.state, "value", instance.state))


def _href(reader: RunReader, owner: Instance) -> str:
    tab = addresses.VIDEO_TAB if addresses.has_tab("video_tab") else None
    return addresses.task_instance(reader.dag_id, reader.run_id, owner.task_id, owner.map_index, tab=tab)


def _request(video: Video) -> dict[str, Any]:
    told = video.request
    kind = values.text(told.get("kind")) or _KINDS.get(video.owner.operator or "")
    model = values.text(told.get("model"))
    if model is None and kind is not None:
        model = "aleph" if kind == "aleph" else "runway"
    duration, quality = values.whole(told.get("duration")), values.text(told.get("quality"))
    if kind == "generate" and duration and quality:
        kind = f"generate-{duration}s-{quality}"
    return {
        "model": model,
        "kind": kind,
        "prompt": values.text(told.get("prompt")),
        "duration": duration,
        "quality": quality,
        "aspect_ratio": values.text(told.get("aspect_ratio")),
    }


def _credits(video: Video) -> float | int | None:
    found = video.latest("credits_consumed", values.number)
    return found[1] if found else None


def _usual(video: Video) -> dict[str, float] | None:
    from airflow_provider_runway.waiting.schedule import KNOWN_BEFOREHAND

    usual = KNOWN_BEFOREHAND.get(_request(video)["kind"] or "")
    if usual is None:
        return None
    ends = usual.eighths
    return {"p50": ends[4], "p95": round(ends[7] + 0.6 * (ends[8] - ends[7]), 1)}


def _ended_at(video: Video, state: str) -> datetime | None:
    if state == "made":
        found = video.latest("video_url", http_url) or video.latest("path", values.text)
        return found[0].pushed_at.get("video_url") or found[0].pushed_at.get("path") if found else None
    if state in ("failed", "unknown"):
        ends = [one.ended_at for one in video.members if one.ended_at]
        return max(ends) if ends else None
    return None


def _clip(reader: RunReader, video: Video) -> dict[str, Any]:
    """
    Where the video can be played from: the stored copy if it may be served, else kie.ai while it lives.

    Whether a copy and its picture are there is found out by who asks for them.
    """
    at_kie = video.latest("video_url", http_url)
    expires_at = at_kie[0].pushed_at["video_url"] + _KEPT if at_kie else None
    is_alive = expires_at is not None and expires_at > datetime.now(timezone.utc)
    vendor_url = at_kie[1] if at_kie and is_alive else None
    picture = video.latest("image_url", http_url) if is_alive else None
    found = video.latest("path", values.text)
    stored = media.find(found[1]) if found else None
    vendor_poster = picture[1] if picture else None
    clip = {
        "source": None,
        "url": None,
        "poster": vendor_poster,
        "vendor_poster": vendor_poster,
        "expires_at": values.moment(expires_at),
        "expired": expires_at is not None and not is_alive,
        "vendor_url": vendor_url,
    }
    if stored is not None and found is not None:
        query = urlencode(
            {"run_id": reader.run_id, "task_id": found[0].task_id, "map_index": found[0].map_index}
        )
        clip |= {"source": "stored", "url": f"file?{query}"}
        # A remote storage is not asked for each picture.
        if stored.is_local or vendor_poster is None:
            clip["poster"] = f"poster?{query}"
    elif vendor_url:
        clip |= {"source": "vendor", "url": vendor_url}
    return clip


def _what_to_do(video: Video, state: str, clip: dict[str, Any]) -> str | None:
    if state == "unknown":
        return _UNKNOWN
    if state == "none" and video.runway_task_id:
        return _NOT_AWAITED
    if state == "made" and clip["url"] is None:
        return _NOT_SERVED if video.latest("path", values.text) else _EXPIRED
    return None

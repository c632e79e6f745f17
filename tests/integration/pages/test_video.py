"""What the tab of a task instance is told, read from a real database of Airflow's."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.integration.pages.conftest import Past, extended, submitted

URL = "https://kie.example/videos/one.mp4"
PICTURE = "https://kie.example/videos/one.jpg"


def failure(kind: str, text: str = "It went wrong.") -> dict[str, Any]:
    return {"runway_error": {"kind": kind, "text": text}}


def test_a_video_is_told_with_all_that_is_known_of_it(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", "A <b>boat</b>", video_url=URL, image_url=PICTURE))
    told = past.video("generate")
    assert told["found"] is True
    assert (told["dag_id"], told["run_id"], told["task_id"]) == (past.dag_id, "past", "generate")
    assert (told["state"], told["airflow_state"], told["try_number"]) == ("made", "success", 1)
    assert (told["model"], told["kind"], told["prompt"]) == ("runway", "generate-5s-720p", "A <b>boat</b>")
    assert (told["duration"], told["quality"], told["aspect_ratio"]) == (5, "720p", None)
    assert (told["runway_task_id"], told["credits"]) == ("one", 12.0)
    assert told["usual"]["p50"] < told["usual"]["p95"]
    assert told["video"]["source"] == "vendor"
    assert (told["video"]["url"], told["video"]["poster"]) == (URL, PICTURE)
    kept = datetime.fromisoformat(told["video"]["expires_at"]) - datetime.now(timezone.utc)
    assert timedelta(days=13) < kept < timedelta(days=14)
    assert datetime.fromisoformat(told["submitted_at"]) <= datetime.fromisoformat(told["ended_at"])
    assert (told["error"], told["what_to_do"]) == (None, None)


@pytest.mark.parametrize("map_index", ["{MAP_INDEX}", "", "-1", -1])
def test_an_unmapped_task_is_found_by_the_placeholder_too(past: Past, map_index: Any) -> None:
    past.add("generate", xcoms=submitted("one"))
    assert past.video("generate", map_index)["map_index"] == -1


def test_a_mapped_one_is_told_with_its_label(past: Past) -> None:
    for index in range(3):
        past.add("generate", index, xcoms=submitted(f"t{index}"), label=f"Row {index}")
    told = past.video("generate", 2)
    assert (told["map_index"], told["label"], told["runway_task_id"]) == (2, "Row 2", "t2")
    assert told["family"][0]["href"].endswith("/tasks/generate/mapped/2/plugin/runway-video")


def test_one_that_waits_says_since_when_and_until_when_usually(present: Past) -> None:
    present.add("generate", state="deferred", xcoms=submitted("one"), age=timedelta(seconds=50))
    told = present.video("generate")
    assert told["state"] == "waiting"
    assert datetime.fromisoformat(told["submitted_at"]) < datetime.now(timezone.utc) - timedelta(seconds=49)
    assert told["usual"]["p50"] > 0
    assert told["video"] == {
        "source": None, "url": None, "vendor_url": None, "poster": None, "vendor_poster": None,
        "expires_at": None, "expired": False,
    }  # fmt: skip


def test_a_foreign_task_is_none_of_ours(past: Past) -> None:
    past.add("transform", xcoms={"return_value": "https://elsewhere.example/"})
    told = past.video("transform")
    assert (told["found"], told["state"], told["family"]) == (False, "none", [])


def test_a_subclass_is_known_by_its_xcoms(past: Past) -> None:
    past.add("generate", operator="BrandedVideoOperator", xcoms=submitted("one", video_url=URL))
    told = past.video("generate")
    assert (told["found"], told["operator"], told["state"]) == (True, "BrandedVideoOperator", "made")


@pytest.mark.parametrize("state", [None, "scheduled", "queued"])
def test_one_that_has_not_begun_has_nothing_yet(present: Past, state: str | None) -> None:
    present.add("generate", state=state)
    told = present.video("generate")
    assert (told["found"], told["submitted_at"], told["error"]) == (True, None, None)
    assert told["state"] in ("none", "waiting")


def test_a_failure_tells_its_error(past: Past) -> None:
    past.add(
        "generate", state="failed", xcoms={**submitted("one"), **failure("RunwayTaskRejectedError", "No.")}
    )
    told = past.video("generate")
    assert (told["state"], told["error"]) == ("failed", {"kind": "RunwayTaskRejectedError", "text": "No."})
    assert told["ended_at"]


def test_a_submission_that_nobody_knows_of_says_what_to_do(past: Past) -> None:
    past.add("generate", state="failed", xcoms=failure("RunwaySubmissionUnknownError"))
    told = past.video("generate")
    assert (told["state"], told["runway_task_id"]) == ("unknown", None)
    assert "https://kie.ai/logs" in told["what_to_do"]
    assert "clear" in told["what_to_do"]


def test_a_look_up_without_an_answer_is_no_unknown_submission(past: Past) -> None:
    unread = failure("RunwayUnreadableAnswerError")
    past.add("generate", state="failed", xcoms={**submitted("one"), **unread})
    assert past.video("generate")["state"] == "failed"


def test_one_that_is_tried_again_waits_and_tells_why(present: Past) -> None:
    present.add("generate", state="up_for_retry", xcoms={**submitted("one"), **failure("RunwayServerError")})
    told = present.video("generate")
    assert (told["state"], told["error"]["kind"]) == ("waiting", "RunwayServerError")


def test_an_error_of_before_a_person_marked_it_successful_is_past(past: Past) -> None:
    past.add("generate", xcoms={**submitted("one", video_url=URL), **failure("RunwayTimeoutError")})
    told = past.video("generate")
    assert (told["state"], told["error"]) == ("made", None)


def test_what_nothing_waits_for_is_not_waiting_for_ever(past: Past) -> None:
    past.add("generate", xcoms=submitted("one"), age=timedelta(days=2))
    told = past.video("generate")
    assert told["state"] == "none"
    assert "https://kie.ai/logs" in told["what_to_do"]


def test_an_old_video_has_expired(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", video_url=URL, image_url=PICTURE), age=timedelta(days=15))
    told = past.video("generate")
    assert told["state"] == "made"
    assert (told["video"]["expired"], told["video"]["url"], told["video"]["poster"]) == (True, None, None)
    assert "14 days" in told["what_to_do"]


def test_a_copy_outside_the_roots_is_named_but_played_from_kie(past: Past) -> None:
    stored: dict[str, Any] = {"path": "/elsewhere/one.mp4", "size": 4711, "sha256": "ab" * 32}
    past.add("generate", xcoms=submitted("one", video_url=URL, **stored))
    told = past.video("generate")
    assert (told["path"], told["size"], told["sha256"]) == tuple(stored.values())
    assert (told["video"]["source"], told["video"]["url"]) == ("vendor", URL)


def test_a_copy_below_a_root_is_played_first_and_kie_ais_video_where_it_is_not_there(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", str(tmp_path))
    stored = submitted("one", video_url=URL, image_url=PICTURE, path=f"{tmp_path}/one.mp4")
    past.add("generate", xcoms=stored)
    video = past.video("generate")["video"]
    assert (video["source"], video["vendor_url"], video["vendor_poster"]) == ("stored", URL, PICTURE)
    assert (video["url"].partition("?")[0], video["poster"].partition("?")[0]) == ("file", "poster")
    assert [past.get(what, task_id="generate").status_code for what in ("file", "poster")] == [404, 404]


def test_each_task_of_a_video_tells_the_whole(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", "A boat"))
    past.add("wait", xcoms={"runway_task_id": "one", "video_url": URL, "credits_consumed": 13})
    past.add(
        "download", xcoms={"runway_task_id": "one", "path": "/videos/one.mp4", "size": 5, "sha256": "00"}
    )
    for task_id in ("generate", "wait", "download"):
        told = past.video(task_id)
        assert (told["state"], told["prompt"], told["path"]) == ("made", "A boat", "/videos/one.mp4"), task_id
        assert (told["video"]["vendor_url"], told["credits"]) == (URL, 13), task_id
        assert [one["task_id"] for one in told["family"]] == ["generate"]


def test_a_download_that_failed_says_so_though_there_is_a_video(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", video_url=URL))
    past.add(
        "download", state="failed", xcoms={"runway_task_id": "one", **failure("RunwayServerError", "Cut.")}
    )
    told = past.video("download")
    assert (told["state"], told["error"]["text"], told["video"]["url"]) == ("failed", "Cut.", URL)
    assert past.video("generate")["state"] == "made"


def test_a_sensor_that_waits_for_what_was_submitted_elsewhere(past: Past) -> None:
    past.add("wait", xcoms={"video_url": URL}, rendered={"runway_task_id": "elsewhere", "model": "runway"})
    told = past.video("wait")
    assert (told["state"], told["runway_task_id"], told["prompt"]) == ("made", "elsewhere", None)


def test_the_family_is_in_order_from_each_of_its_members(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", video_url=URL))
    past.add("extend", xcoms=extended("two", "one", video_url=URL + "2"))
    past.add("extend_2", xcoms=extended("three", "two", video_url=URL + "3"))
    past.add("generate_2", xcoms=submitted("apart", video_url=URL + "4"))
    for task_id in ("generate", "extend", "extend_2"):
        family = past.video(task_id)["family"]
        assert [one["task_id"] for one in family] == ["generate", "extend", "extend_2"]
        assert [one["task_id"] for one in family if one["current"]] == [task_id]
    assert [one["task_id"] for one in past.video("generate_2")["family"]] == ["generate_2"]


def test_what_was_restyled_belongs_to_the_family_of_its_source(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", video_url=URL + "1"))
    past.add("extend", xcoms=extended("two", "one"))
    past.add("wait", xcoms={"runway_task_id": "two", "video_url": f"{URL}2?signature=x"})
    request = {"model": "aleph", "kind": "aleph", "prompt": "Snow", "video_url": URL + "2"}
    past.add("restyle", xcoms={"runway_task_id": "three", "runway_request": request})
    for task_id in ("generate", "extend", "wait", "restyle"):
        family = past.video(task_id)["family"]
        assert [one["task_id"] for one in family] == ["generate", "extend", "restyle"]


def test_a_family_of_mapped_tasks_keeps_to_its_row(past: Past) -> None:
    for index in range(3):
        past.add("generate", index, xcoms=submitted(f"g{index}"))
        past.add("extend", index, xcoms=extended(f"e{index}", f"g{index}"))
    family = past.video("extend", 1)["family"]
    assert [(one["task_id"], one["map_index"]) for one in family] == [("generate", 1), ("extend", 1)]


def test_a_circle_of_parents_ends(past: Past) -> None:
    past.add("extend", xcoms=extended("one", "two"))
    past.add("extend_2", xcoms=extended("two", "one"))
    assert len(past.video("extend")["family"]) == 2


def test_a_release_without_requests_is_read_by_its_rendered_fields(past: Past) -> None:
    fields = {"prompt": "Old", "duration": "10", "quality": "720p", "aspect_ratio": "9:16"}
    past.add("generate", xcoms={"runway_task_id": "one", "video_url": URL}, rendered=fields)
    rendered = {"prompt": "On", "parent_task_id": "one", "quality": "720p"}
    past.add("extend", xcoms={"runway_task_id": "two"}, rendered=rendered)
    past.add("wait", xcoms={"video_url": URL}, rendered={"runway_task_id": "two", "model": "runway"})
    told = past.video("generate")
    assert (told["kind"], told["prompt"], told["duration"]) == ("generate-10s-720p", "Old", 10)
    assert [one["task_id"] for one in told["family"]] == ["generate", "extend"]
    assert past.video("extend")["state"] == "made"


HOSTILE: list[Any] = [
    None, True, -1, 1.5, 10**400, float("nan"), float("inf"), "", "x" * 100_000, "half \ud800", "\0", [],
    [[]], {}, {"model": [], "kind": {}, "prompt": 7, "duration": "many", "parent_task_id": {"a": 1}},
    {"kind": ["x"], "text": {"y": 1}, "unknown": "yes"}, "javascript:alert(1)", "file:///etc/passwd",
    "http://", "https://[", "https://kie.example/a b", "//kie.example/v.mp4",
    {"__classname__": "os.system", "__data__": "x"},
]  # fmt: skip
KEYS = (
    "runway_task_id", "runway_request", "runway_error", "credits_consumed", "video_url", "image_url", "path",
    "size", "sha256",
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("state", ["success", "failed", "running"])
def test_whatever_an_author_leaves_in_an_xcom_is_no_error(past: Past, value: Any, state: str) -> None:
    past.add("generate", state=state, xcoms=dict.fromkeys(KEYS, value), rendered=value if value else {})
    past.add("wait", state=state, xcoms={"runway_task_id": "one", "video_url": value})
    past.add(
        "download", state=state, xcoms={"path": value}, rendered={"runway_task_id": value, "video_url": value}
    )
    past.add("python", state=state, xcoms=dict.fromkeys(KEYS, value))
    for task_id in ("generate", "wait", "download", "python"):
        told = past.video(task_id)
        assert told["video"]["url"] is None
        assert told["video"]["poster"] is None
    past.gallery()


@pytest.mark.parametrize("value", ["no JSON", '{"half":', "[" * 100_000, 7, ["x"], None], ids=repr)
def test_an_xcom_that_looks_like_json_is_no_error(past: Past, value: Any) -> None:
    past.add("generate", xcoms=dict.fromkeys(KEYS, value))
    past.video("generate")
    past.gallery()


def test_xcoms_are_read_however_they_were_stored(past: Past) -> None:
    stored = submitted("one", "A boat", video_url=URL, path="/videos/one.mp4", size=4711)
    past.add("generate", xcoms=stored)
    past.add("aleph", encoded={**stored, "runway_task_id": "two"})
    one, two = past.video("generate"), past.video("aleph")
    for name in ("state", "prompt", "kind", "duration", "credits", "path", "size", "video"):
        assert one[name] == two[name] is not None or name == "video", name
    assert (two["runway_task_id"], two["video"]["url"]) == ("two", URL)


@pytest.mark.parametrize("how", ["xcoms", "encoded"])
def test_an_id_of_digits_is_a_text(past: Past, how: str) -> None:
    what: dict[str, Any] = {how: {"runway_task_id": "20261123", "video_url": URL}}
    past.add("generate", **what)
    assert past.video("generate")["runway_task_id"] == "20261123"


def test_a_url_that_a_browser_should_not_open_is_not_passed_on(past: Past) -> None:
    past.add(
        "generate", xcoms=submitted("one", video_url="javascript:alert(1)", image_url="data:text/html,x")
    )
    assert "javascript" not in past.get("data/video", task_id="generate").text
    assert "javascript" not in past.get("data/gallery").text


@pytest.mark.parametrize("run_id", ["manual__2026-11-23T12:00:00+00:00", "a/b", "übung Ω", "a b&c=d%2F", "%"])
def test_any_run_id_is_understood(past: Past, run_id: str) -> None:
    past.history.add_run(past.dag_id, run_id)
    other = Past(past.history, past.client, past.dag_id, run_id)
    other.add("generate", xcoms=submitted("one"))
    assert other.video("generate")["run_id"] == run_id
    assert other.gallery()["total"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"run_id": "never"},
        {"run_id": "\0"},
        {"task_id": "never"},
        {"task_id": "\0"},
        {"map_index": "5"},
        {"map_index": "-2"},
        {"map_index": str(10**30)},
        {"map_index": "one"},
    ],
    ids=repr,
)
def test_what_is_not_there_is_not_found(past: Past, query: dict[str, str]) -> None:
    past.add("generate", xcoms=submitted("one"))
    for path in ("data/video", "file", "poster"):
        answer = past.get(path, **{"task_id": "generate", "map_index": "-1", **query})
        assert answer.status_code == 404, path
        assert answer.json()["detail"]


def test_another_dags_run_of_the_same_name_is_another(past: Past) -> None:
    past.history.add_run(past.dag_id + "_2", "past")
    past.history.add(past.dag_id + "_2", "past", "generate", xcoms=submitted("secret"))
    assert past.get("data/video", task_id="generate").status_code == 404
    assert past.gallery()["total"] == 0

"""What the tab of a run is told, read from a real database of Airflow's."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from airflow_provider_runway.exceptions import RunwayError
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.simulator import Simulator
from tests.integration.conftest import TaskInstance
from tests.integration.pages.conftest import Past, extended, submitted

URL = "https://kie.example/videos/one.mp4"


def names(told: dict[str, Any]) -> list[tuple[str, int]]:
    return [(one["task_id"], one["map_index"]) for one in told["videos"]]


def test_a_runway_task_is_one_entry_whichever_tasks_are_about_it(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", "A boat"))
    past.add("wait", xcoms={"runway_task_id": "one", "video_url": URL, "credits_consumed": 13})
    past.add("download", xcoms={"runway_task_id": "one", "path": "/videos/one.mp4"})
    past.add("extend", xcoms=extended("two", "one"))
    past.add("python", xcoms={"return_value": 1})
    told = past.gallery()
    assert names(told) == [("generate", -1), ("extend", -1)]
    assert told["credits"] == 13
    first = told["videos"][0]
    assert (first["state"], first["prompt"], first["video"]["url"]) == ("made", "A boat", URL)
    assert first["href"] == f"dags/{past.dag_id}/runs/past/tasks/generate/plugin/runway-video"


def test_a_download_by_url_belongs_to_the_video_of_that_url(past: Past) -> None:
    past.add("generate", xcoms=submitted("one", video_url=URL))
    past.add("download", xcoms={"path": "/videos/one.mp4"}, rendered={"video_url": URL})
    past.add("download_2", xcoms={"path": "/videos/two.mp4"}, rendered={"video_url": URL + "2"})
    assert names(past.gallery()) == [("generate", -1), ("download_2", -1)]


def test_it_counts_what_became_of_all(present: Past) -> None:
    error = {"kind": "RunwayTaskRejectedError", "text": "Moderation."}
    present.add("generate", 0, xcoms=submitted("a", video_url=URL))
    present.add("generate", 1, state="deferred", xcoms=submitted("b"))
    present.add("generate", 2, state="failed", xcoms={**submitted("c"), "runway_error": error})
    unknown = {"kind": "RunwaySubmissionUnknownError", "text": "Nobody knows."}
    present.add("generate", 3, state="failed", xcoms={"runway_error": unknown})
    refused = {"kind": "RunwayCreditsError", "text": "No credits."}
    present.add("generate", 4, state="failed", xcoms={"runway_error": refused})
    present.add("generate", 5, state="failed")
    present.add("generate", 6, state="running")
    present.add("generate", 7, state=None)
    present.add("generate", 8, state="upstream_failed")
    present.add("generate", 9, state="skipped")
    told = present.gallery()
    assert told["counts"] == {"made": 1, "waiting": 2, "failed": 3, "unknown": 1}
    assert (told["total"], told["live"], told["credits"]) == (7, True, 36.0)
    assert [one["state"] for one in told["videos"]] == [
        "made", "waiting", "failed", "unknown", "failed", "failed", "waiting",
    ]  # fmt: skip
    assert told["videos"][2]["error"] == {"kind": "RunwayTaskRejectedError", "text": "Moderation."}
    assert told["videos"][5]["error"] is None


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize(
    ("fault", "path", "min_credits", "state"),
    [
        ("drop_after", "/api/v1/runway/generate", None, "unknown"),
        ("html", "/api/v1/chat/credit", 5, "failed"),
    ],
    ids=["a lost submission", "a free question"],
)
def test_only_a_lost_submission_is_unknown(
    past: Past,
    runway_simulator: Simulator,
    context: Any,
    ti: TaskInstance,
    fault: str,
    path: str,
    min_credits: float | None,
    state: str,
) -> None:
    runway_simulator.add_fault(fault, path, count=None)
    generate = RunwayGenerateOperator(
        task_id="generate", prompt="A boat", min_credits=min_credits, durable=False
    )
    with pytest.raises(RunwayError):
        generate.execute(context)
    past.add("generate", state="failed", xcoms=ti.xcoms)
    assert [one["state"] for one in past.gallery()["videos"]] == [state]


def test_the_flag_that_earlier_versions_wrote_beside_an_error_means_nothing(past: Past) -> None:
    """It was about another question: of what kind the answer would have been to a creation."""
    lost = {"kind": "RunwaySubmissionUnknownError", "text": "Nobody knows.", "unknown": False}
    past.add("generate", 0, state="failed", xcoms={"runway_error": lost})
    free = {"kind": "RunwayUnreadableAnswerError", "text": "HTTP 502", "unknown": True}
    past.add("generate", 1, state="failed", xcoms={"runway_error": free})
    assert [one["state"] for one in past.gallery()["videos"]] == ["unknown", "failed"]


def test_a_sensor_that_failed_fails_the_video(past: Past) -> None:
    past.add("generate", xcoms=submitted("one"))
    error = {"kind": "RunwaySensorTimeoutError", "text": "Too long."}
    past.add("wait", state="failed", xcoms={"runway_error": error}, rendered={"runway_task_id": "one"})
    told = past.gallery()
    assert told["counts"]["failed"] == told["total"] == 1
    assert told["videos"][0]["error"]["text"] == "Too long."


@pytest.mark.parametrize("state", ["success", "failed"])
def test_it_is_live_only_while_the_run_goes_on(past: Past, state: str) -> None:
    assert past.gallery()["live"] is False


def test_a_run_without_videos_is_empty(past: Past) -> None:
    past.add("python")
    told = past.gallery()
    assert (told["total"], told["videos"], told["credits"]) == (0, [], None)


def test_a_run_that_is_not_there_is_not_found(past: Past) -> None:
    assert past.get("data/gallery", run_id="never").status_code == 404


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ({"limit": 1000}, (0, 100)),
        ({"limit": -1}, (0, 1)),
        ({"offset": -5}, (0, 24)),
        ({"offset": 10**30}, None),
    ],
)
def test_pages_have_bounds(past: Past, asked: dict[str, Any], got: tuple[int, int] | None) -> None:
    answer = past.get("data/gallery", **asked)
    assert answer.status_code == 200
    if got:
        assert (answer.json()["offset"], answer.json()["limit"]) == got


def test_a_page_of_no_number_is_refused(past: Past) -> None:
    assert past.get("data/gallery", limit="many").status_code == 422


def test_500_mapped_videos_take_few_queries_however_many_they_are(past: Past) -> None:
    from airflow import settings

    for index in range(500):
        past.add("generate", index, xcoms=submitted(f"t{index}", f"Row {index}"))
    for index in range(500):
        past.add("wait", index, xcoms={"runway_task_id": f"t{index}", "video_url": f"{URL}?{index}"})
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        told = past.gallery(offset=48)
        asked = len(statements)
        single = past.video("generate", 77)
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)
    assert told["counts"] == {"made": 500, "waiting": 0, "failed": 0, "unknown": 0}
    assert names(told) == [("generate", index) for index in range(48, 72)]
    assert told["credits"] == 6000
    assert single["video"]["url"] == f"{URL}?77"
    assert asked < 15
    assert len(statements) < 30

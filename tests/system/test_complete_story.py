"""The main job in a real Airflow: three videos, nothing paid twice, whatever dies or is away meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.local_airflow import LocalAirflow
from tests.harness.video import describe_video
from tests.system.conftest import Story, outlast

pytestmark = pytest.mark.timeout(900)

NAMES = ("generated", "extended", "restyled")
#: Seconds for which kie.ai is away; long enough for several look-ups to fail.
OUTAGE = 30


def test_the_story_ends_with_three_videos_and_all_xcoms(quick_story: Story, tmp_path: Path) -> None:
    quick_story.assert_success()
    quick_story.assert_paid_once_each()
    submitted = [quick_story.xcoms(task)["return_value"] for task in ("generate", "extend", "restyle")]
    assert submitted == [creation["task_id"] for creation in quick_story.creations()]
    waited = [quick_story.xcoms(f"wait_for_{name}") for name in NAMES]
    for xcoms in waited:
        assert xcoms["return_value"] == xcoms["video_url"]
        assert xcoms["video_url"].startswith(quick_story.simulator.url)
        assert xcoms["image_url"].startswith(quick_story.simulator.url)
    assert len({xcoms["video_url"] for xcoms in waited}) == 3
    # kie.ai gives an Aleph video no ID.
    assert [bool(xcoms.get("video_id")) for xcoms in waited] == [True, True, False]

    generate, extend, restyle = (creation["body"] for creation in quick_story.creations())
    assert "callBackUrl" not in generate
    assert extend["taskId"] == submitted[0]
    assert restyle["videoUrl"] == waited[1]["video_url"]

    for name in NAMES:
        path = Path(quick_story.xcoms(f"download_{name}")["return_value"])
        assert path == tmp_path / quick_story.run_id / f"{name}.mp4"
        assert describe_video(path)


def test_the_story_survives_the_death_of_the_triggerer(quick_story: Story, airflow: LocalAirflow) -> None:
    for wait in ("wait_for_generated", "wait_for_restyled"):
        quick_story.wait_for_task(wait, "deferred")
        airflow.kill("triggerer")
        assert quick_story.states()[wait] == "deferred"
        airflow.start("triggerer")
    quick_story.assert_success()
    quick_story.assert_paid_once_each()


def test_the_story_survives_kie_ai_being_killed_and_started_again(
    quick_story: Story, airflow: LocalAirflow
) -> None:
    quick_story.wait_for_task("wait_for_restyled", "deferred")
    quick_story.simulator.kill()
    outlast(OUTAGE, airflow)
    assert quick_story.states()["wait_for_restyled"] == "deferred"
    quick_story.simulator.start()
    quick_story.assert_success()
    quick_story.assert_paid_once_each()


def test_the_story_survives_kie_ai_answering_503(quick_story: Story, airflow: LocalAirflow) -> None:
    quick_story.wait_for_task("wait_for_generated", "deferred")
    quick_story.simulator.add_fault(kind="http_error", status=503, path="/api/", count=None)
    outlast(OUTAGE, airflow)
    assert quick_story.look_ups(status=503) > 1
    assert quick_story.states()["wait_for_generated"] == "deferred"
    quick_story.simulator.clear_faults()
    quick_story.assert_success()
    quick_story.assert_paid_once_each()

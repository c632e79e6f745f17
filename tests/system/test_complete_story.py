"""The main job in a real Airflow: three videos, whatever dies or is away while they are waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.local_airflow import LocalAirflow
from tests.harness.video import describe_video
from tests.system.conftest import EXAMPLES, Run, Story, outlast

pytestmark = pytest.mark.timeout(600)

#: Seconds for which kie.ai is away; long enough for several look-ups to fail.
OUTAGE = 30


def test_the_complete_story_ends_with_three_videos_and_all_xcoms(story: Story, tmp_path: Path) -> None:
    story.run.assert_success()
    story.assert_paid_once_each()
    videos = {}
    for creation, submit, wait in zip(
        story.creations(),
        ("generate", "extend", "restyle"),
        ("wait_for_generated", "wait_for_extended", "wait_for_restyled"),
        strict=True,
    ):
        assert story.run.xcoms(submit)["return_value"] == creation["task_id"]
        waited = story.run.xcoms(wait)
        assert waited["return_value"] == waited["video_url"]
        assert waited["video_url"].startswith(story.simulator.url)
        assert waited["image_url"].startswith(story.simulator.url)
        videos[wait] = waited
    assert videos["wait_for_generated"]["video_id"] != videos["wait_for_extended"]["video_id"]
    assert len({waited["video_url"] for waited in videos.values()}) == 3

    generate, extend, restyle = (creation["body"] for creation in story.creations())
    assert extend["taskId"] == story.run.xcoms("generate")["return_value"]
    assert restyle["videoUrl"] == videos["wait_for_extended"]["video_url"]
    assert "callBackUrl" not in generate

    for name in ("generated", "extended", "restyled"):
        path = Path(story.run.xcoms(f"download_{name}")["return_value"])
        assert path.is_relative_to(tmp_path)
        assert describe_video(path)


def test_the_story_survives_the_death_of_the_triggerer(story: Story, airflow: LocalAirflow) -> None:
    for wait in ("wait_for_generated", "wait_for_restyled"):
        story.run.wait_for_task(wait, "deferred")
        airflow.kill("triggerer")
        assert story.run.states()[wait] == "deferred"
        airflow.start("triggerer")
    story.run.assert_success()
    story.assert_paid_once_each()


def test_the_story_survives_kie_ai_being_killed_and_started_again(
    story: Story, airflow: LocalAirflow
) -> None:
    story.run.wait_for_task("wait_for_restyled", "deferred")
    story.simulator.kill()
    outlast(OUTAGE, airflow)
    assert story.run.states()["wait_for_restyled"] == "deferred"
    story.simulator.start()
    story.run.assert_success()
    story.assert_paid_once_each()


def test_the_story_survives_kie_ai_answering_503(story: Story, airflow: LocalAirflow) -> None:
    story.run.wait_for_task("wait_for_generated", "deferred")
    story.simulator.add_fault(kind="http_error", status=503, path="/api/", count=None)
    outlast(OUTAGE, airflow)
    assert story.look_ups(status=503) > 1
    assert story.run.states()["wait_for_generated"] == "deferred"
    story.simulator.clear_faults()
    story.run.assert_success()
    story.assert_paid_once_each()


@pytest.mark.parametrize("dag_id", sorted({file.stem for file in EXAMPLES.glob("*.py")} - {"complete_story"}))
def test_every_other_example_succeeds(dag_id: str, trigger: Callable[[str], Run]) -> None:
    trigger(dag_id).assert_success()

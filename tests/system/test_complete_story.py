"""The main job in a real Airflow: three videos, nothing paid twice, whatever dies or is away meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.local_airflow import LocalAirflow
from tests.harness.video import describe_video
from tests.system.conftest import Story, outlast

pytestmark = pytest.mark.timeout(900)

#: The story's videos, in order.
NAMES = ("generated", "extended", "restyled")
#: Seconds for which kie.ai is away; long enough for several look-ups to fail.
OUTAGE = 30
#: What Airflow 3.1 says of its own code, whoever asks for a connection that is JSON in the environment.
OF_AIRFLOW_ITSELF = "Using Connection.from_json from `airflow.models` is deprecated"


def test_the_story_ends_with_three_videos_and_all_xcoms(
    start_story: Callable[[], Story], tmp_path: Path
) -> None:
    story = start_story()
    story.assert_success()
    story.assert_paid_once_each()
    submitted = [story.xcoms(task)["return_value"] for task in ("generate", "extend", "restyle")]
    assert submitted == [creation["task_id"] for creation in story.creations()]
    waited = [story.xcoms(f"wait_for_{name}") for name in NAMES]
    for xcoms in waited:
        assert xcoms["return_value"] == xcoms["video_url"]
        assert xcoms["video_url"].startswith(story.simulator.url)
        assert xcoms["image_url"].startswith(story.simulator.url)
    assert len({xcoms["video_url"] for xcoms in waited}) == 3
    # kie.ai gives an Aleph video no ID.
    assert [bool(xcoms.get("video_id")) for xcoms in waited] == [True, True, False]

    generate, extend, restyle = (creation["body"] for creation in story.creations())
    assert "callBackUrl" not in generate
    assert extend["taskId"] == submitted[0]
    assert restyle["videoUrl"] == waited[1]["video_url"]

    for name in NAMES:
        path = Path(story.xcoms(f"download_{name}")["return_value"])
        assert path == tmp_path / story.run_id / f"{name}.mp4"
        assert describe_video(path)

    lines = story.log_lines()
    assert len(lines) > len(NAMES) * 3
    deprecated = [line for line in lines if "Deprecat" in line or "deprecated" in line]
    assert [line for line in deprecated if OF_AIRFLOW_ITSELF not in line] == []


def test_the_story_survives_the_death_of_the_triggerer(held_story: Story, airflow: LocalAirflow) -> None:
    for name in NAMES:
        wait = f"wait_for_{name}"
        held_story.wait_for_task(wait, "deferred")
        airflow.kill("triggerer")
        assert held_story.states()[wait] == "deferred"
        held_story.finish_video()
        airflow.start("triggerer")
    held_story.assert_success()
    held_story.assert_paid_once_each()


def test_the_story_survives_kie_ai_being_killed_and_started_again(
    held_story: Story, airflow: LocalAirflow
) -> None:
    held_story.wait_for_task("wait_for_generated", "deferred")
    held_story.finish_video()
    held_story.wait_for_task("wait_for_extended", "deferred")
    held_story.simulator.kill()
    outlast(OUTAGE, airflow)
    assert held_story.states()["wait_for_extended"] == "deferred"
    held_story.simulator.start()
    held_story.finish_video()
    held_story.assert_success()
    held_story.assert_paid_once_each()


def test_the_story_survives_kie_ai_answering_503(held_story: Story, airflow: LocalAirflow) -> None:
    held_story.wait_for_task("wait_for_generated", "deferred")
    held_story.simulator.add_fault(kind="http_error", status=503, path="/api/", count=None)
    outlast(OUTAGE, airflow)
    assert held_story.look_ups(status=503) > 1
    assert held_story.states()["wait_for_generated"] == "deferred"
    held_story.simulator.clear_faults()
    held_story.finish_video()
    held_story.assert_success()
    held_story.assert_paid_once_each()

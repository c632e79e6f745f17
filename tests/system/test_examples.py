"""Each example, as a user would copy it, in a real Airflow; the complete story looked at closely."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.video import describe_video
from tests.system.conftest import EXAMPLES, Run, Story

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("dag_id", sorted(file.stem for file in EXAMPLES.glob("*.py")))
def test_every_example_succeeds(dag_id: str, examples: dict[str, Run]) -> None:
    examples[dag_id].assert_success()


def test_the_complete_story_ends_with_three_videos_and_all_xcoms(examples: dict[str, Run]) -> None:
    story = examples["complete_story"]
    assert isinstance(story, Story)
    story.assert_success()
    story.assert_paid_once_each()
    waits = ("wait_for_generated", "wait_for_extended", "wait_for_restyled")
    submitted = [story.xcoms(task)["return_value"] for task in ("generate", "extend", "restyle")]
    assert submitted == [creation["task_id"] for creation in story.creations()]
    waited = [story.xcoms(task) for task in waits]
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

    for name in ("generated", "extended", "restyled"):
        assert describe_video(Path(story.xcoms(f"download_{name}")["return_value"]))

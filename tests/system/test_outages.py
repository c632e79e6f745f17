"""Whatever dies or is away while videos are waited for: the story goes on, and nothing is paid twice."""

from __future__ import annotations

import pytest

from tests.harness.local_airflow import LocalAirflow
from tests.system.conftest import Story, outlast

pytestmark = pytest.mark.timeout(900)

#: Seconds for which kie.ai is away; long enough for several look-ups to fail.
OUTAGE = 30


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

"""A sequence of scenes: what cannot come to a good end is refused before its first scene is paid for."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.operators.sequence import runway_sequence
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import Life
from tests.stores import TaskStateStore
from tests.versions import DAG


def made(continuations: Any = ("b", "c"), dag: Any = None, **arguments: Any) -> Any:
    """Return a DAG with a sequence in it."""
    with DAG(
        "d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc), **(dag or {})
    ) as found:
        runway_sequence(prompt="a", continuations=continuations, **arguments)
    return found


class Step(Life):
    """One step of a sequence, whose templates are rendered."""

    def __init__(self, dag: Any, number: int, **rendered: Any) -> None:
        super().__init__(TaskStateStore())
        self.step: Any = dag.get_task(f"sequence.scene_{number}")
        self.step.poll_interval = 0.1
        self.told = rendered

    def operator(self) -> Any:
        self.step.render_template_fields({**self.context, **self.told}, self.step.dag.get_template_env())
        return self.step


def test_each_scene_extends_the_one_before_and_the_last_is_stored(
    runway_simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "videos" / "story.mp4"
    dag = made(path=str(path), manifest=True)
    parent = None
    for number in (1, 2, 3):
        step = Step(dag, number)
        if parent is not None:
            step.step.parent_task_id = parent
        parent = step.to_the_end()
    assert parent == str(path)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert [creation["body"]["quality"] for creation in runway_simulator.creations] == ["720p"] * 3


@pytest.mark.parametrize("continuations", [[], ["b"], ["b", "c"]])
def test_a_place_where_the_last_cannot_be_stored_is_refused_by_the_first(
    continuations: list[str], runway_simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "2024.mp4").write_bytes(b"somebody's")
    dag = made(continuations, path=f"{tmp_path}/{{{{ ds }}}}.mp4")
    with pytest.raises(RunwayValidationError, match=r"path='.*2024\.mp4'.*already a file"):
        Step(dag, 1, ds="2024").run()
    assert runway_simulator.creations == []
    dag = made(continuations, path=f"{tmp_path}/{{{{ ds }}}}.mp4", overwrite=True)
    assert Step(dag, 1, ds="2024").to_the_end()


def test_what_stands_beside_it_is_looked_at_too(runway_simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "story.json").write_text("{}")
    with pytest.raises(RunwayValidationError, match=r"manifest=True.*story\.json"):
        Step(made(path=f"{tmp_path}/story.mp4", manifest=True), 1).run()
    assert runway_simulator.creations == []


def test_a_path_that_renders_to_nothing_is_refused_by_the_first(runway_simulator: Simulator) -> None:
    dag = made(path="{{ folder }}", dag={"render_template_as_native_obj": True})
    with pytest.raises(RunwayValidationError, match="path=None"):
        Step(dag, 1, folder=None).run()
    assert runway_simulator.creations == []


def test_the_first_waits_for_whatever_tells_the_path() -> None:
    with DAG("d", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc)) as dag:
        where: Any = RunwayGenerateOperator(task_id="where", prompt="where")
        runway_sequence(prompt="a", continuations=["b"], path=where.output)
    assert dag.get_task("sequence.scene_1").upstream_task_ids == {"where"}


def test_it_can_be_written_down() -> None:
    from airflow.serialization import serialized_objects

    # Airflow 2 has one class for both.
    name = "DagSerialization" if hasattr(serialized_objects, "DagSerialization") else "SerializedDAG"
    kind: Any = getattr(serialized_objects, name)
    told = kind.from_dict(kind.to_dict(made(path="/data/{{ ds }}.mp4")))
    assert told.get_task("sequence.scene_1").later_path == "/data/{{ ds }}.mp4"


@pytest.mark.parametrize("quality", ["1080p", "{{ quality }}", None])
def test_a_quality_that_cannot_be_extended_is_refused_by_name(quality: Any) -> None:
    with pytest.raises(RunwayValidationError, match=r"quality=.*'720p'.*1080p video cannot be extended"):
        made(path="/data/", quality=quality)


def test_the_quality_that_it_has_may_be_said() -> None:
    assert made(path="/data/", quality="720p").get_task("sequence.scene_2")


def test_default_arguments_do_not_make_it_another() -> None:
    dag = made(path="/data/", dag={"default_args": {"quality": "1080p"}})
    assert {task.quality for task in dag.tasks} == {"720p"}


@pytest.mark.parametrize("name", ["task_id", "wait_for_completion", "parent_task_id"])
def test_what_each_step_has_its_own_of_is_refused_by_name(name: str) -> None:
    with pytest.raises(RunwayValidationError, match=f"{name}='x'"):
        made(path="/data/", **{name: "x"})

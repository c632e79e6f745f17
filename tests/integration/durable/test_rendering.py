"""Each process of a task renders its templates anew: what is paid for by then is not lost or renamed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.compat import CAN_BE_CALLED, AirflowFailException
from airflow_provider_runway.exceptions import RunwaySubmissionUnknownError, RunwayValidationError
from airflow_provider_runway.operators.runway import RunwayGenerateOperator
from airflow_provider_runway.simulator.server import Simulator
from airflow_provider_runway.submissions.journal import SubmissionJournal
from airflow_provider_runway.triggers import results
from tests.integration.durable.calling import DEFERRED, call, let_it_call, lost, woken
from tests.integration.durable.life import CREATION, MODES, Killed, Life, prompts
from tests.stores import TaskStateStore
from tests.versions import DAG

needs_calls = pytest.mark.skipif(not CAN_BE_CALLED, reason="this Airflow cannot be called")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def manifest_of(path: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(path).with_suffix(".json").read_text())
    return told


class TestAtTheResume:
    """The worker that goes on after the wait renders the templates once more."""

    @pytest.mark.parametrize("prompt", ["", None, "None", "x" * 2000])
    def test_a_prompt_that_cannot_be_does_not_keep_a_video_from_being_stored(
        self, prompt: Any, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
    ) -> None:
        task = life(path=f"{folder}/", manifest=True, deferrable=True)
        assert task.run() is None
        task.rendered = {"prompt": prompt}
        path = str(task.resume())
        assert Path(path).read_bytes()[4:8] == b"ftyp"
        assert manifest_of(path)["prompt"] == "A lighthouse"
        assert len(runway_simulator.creations) == 1

    def test_the_manifest_tells_what_was_submitted_and_not_what_is_rendered_by_then(
        self, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
    ) -> None:
        task = life(path=f"{folder}/", manifest=True, deferrable=True, prompt="Made at nine", watermark="me")
        assert task.run() is None
        task.rendered = {"prompt": "Made at ten", "duration": 10, "watermark": None}
        told = manifest_of(str(task.resume()))
        assert (told["prompt"], told["duration"], told["watermark"]) == ("Made at nine", 5, "me")
        assert prompts(runway_simulator) == ["Made at nine"]

    @pytest.mark.parametrize("path", [None, "", "None"])
    def test_a_path_that_is_gone_names_the_video_that_is_paid_for(
        self, path: str | None, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
    ) -> None:
        task = life(path=f"{folder}/", deferrable=True)
        assert task.run() is None
        task.rendered = {"path": path}
        with pytest.raises(RunwayValidationError, match="path=") as caught:
            task.resume()
        says_what_is_paid_for(caught.value, runway_simulator)
        assert "video_url" in task.ti.xcoms


def says_what_is_paid_for(error: RunwayValidationError, simulator: Simulator) -> None:
    (creation,) = simulator.creations
    assert error.runway_task_id == creation["task_id"]
    text = str(error)
    assert f"Runway task {creation['task_id']}" in text
    assert "is charged" in text
    assert "RunwayDownloadOperator" in text
    assert "othing was charged" not in text


class TestInARetry:
    """A retry whose request cannot be: Airflow has wiped the XComs, so the error is what is left."""

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(
        "rendered", [{"prompt": ""}, {"prompt": "None"}, {"aspect_ratio": "2:1"}, {"watermark": "None"}]
    )
    def test_the_error_names_what_an_earlier_try_has_paid_for(
        self,
        mode: str,
        rendered: dict[str, Any],
        life: Callable[..., Life],
        killed_at: Callable[[str], None],
        runway_simulator: Simulator,
    ) -> None:
        task = life(**MODES[mode])
        killed_at("after the record")
        with pytest.raises(Killed):
            task.run()
        task.rendered = rendered
        with pytest.raises(RunwayValidationError, match=next(iter(rendered))) as caught:
            task.run()
        says_what_is_paid_for(caught.value, runway_simulator)
        assert str(caught.value) == task.ti.xcoms["runway_error"]["text"]

    def test_the_error_says_that_nobody_knows_of_an_earlier_one(
        self, life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
    ) -> None:
        task = life()
        killed_at("after the creation")
        with pytest.raises(Killed):
            task.run()
        task.rendered = {"prompt": ""}
        with pytest.raises(
            RunwayValidationError, match=r"nobody can tell whether kie\.ai accepted it"
        ) as caught:
            task.run()
        assert "othing was charged" not in str(caught.value)

    def test_what_was_paid_for_before_a_clear_is_not_what_is_asked_for(
        self, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        task = life()
        task.run()
        task.clear()
        task.rendered = {"prompt": ""}
        with pytest.raises(RunwayValidationError, match="Nothing was sent and nothing was charged") as caught:
            task.run()
        assert caught.value.runway_task_id is None

    def test_a_first_try_still_says_that_nothing_was_charged(
        self, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        with pytest.raises(RunwayValidationError, match="Nothing was sent and nothing was charged"):
            life(prompt="").run()
        assert runway_simulator.creations == []

    def test_a_store_that_is_out_of_reach_by_then_does_not_hide_the_error(
        self, runway_simulator: Simulator, killed_at: Callable[[str], None]
    ) -> None:
        store = TaskStateStore()
        task = Life(store)
        killed_at("after the record")
        with pytest.raises(Killed):
            task.run()
        task.rendered = {"prompt": ""}

        def out_of_reach(_: str) -> None:
            raise ConnectionError("the store does not answer")

        store.breaks = out_of_reach
        with pytest.raises(RunwayValidationError, match="prompt=''"):
            task.run()


@needs_calls
class TestAfterALostAnswer:
    """The answer to the submission is lost, the worker given back, and kie.ai calls about what was made."""

    @pytest.fixture(autouse=True)
    def _callable(self, runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        let_it_call(monkeypatch)

    @pytest.mark.parametrize("policy", ["fail", "resubmit"])
    @pytest.mark.parametrize("prompt", ["Another prompt", "", None])
    def test_the_call_is_believed_whatever_is_rendered_by_then(
        self,
        prompt: str | None,
        policy: str,
        life: Callable[..., Life],
        runway_simulator: Simulator,
        folder: Path,
    ) -> None:
        runway_simulator.add_fault("drop_after", CREATION)
        long = "A lighthouse in a storm. " * 10
        task = life(
            prompt=long, on_unknown_submission=policy, path=f"{folder}/", manifest=True, deferrable=True
        )
        recipient = lost(task)
        made = runway_simulator.creations[0]["task_id"]
        task.rendered = {"prompt": prompt}
        call(task, recipient, made)
        stored = woken(task)
        assert task.ti.xcoms["runway_task_id"] == made
        assert task.ti.xcoms["runway_request"]["prompt"] == long
        assert task.ti.xcoms["credits_consumed"] == 12
        runway_simulator.advance(600)
        # On a busy machine the video is there by the time of the call.
        told = manifest_of(str(stored or task.resume()))
        assert (told["runway_task_id"], told["prompt"]) == (made, long)
        assert len(runway_simulator.creations) == 1

    def test_it_is_believed_by_the_beginning_of_its_prompt_where_no_more_is_known(
        self, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        runway_simulator.add_fault("drop_after", CREATION)
        task = life(prompt="A lighthouse in a storm. " * 10, **DEFERRED)
        recipient = lost(task)
        assert task.deferral is not None
        # As a release left it that did not note what it had submitted.
        assert task.deferral.kwargs is not None
        del task.deferral.kwargs["request"]
        task.rendered = {"prompt": "Another prompt"}
        made = runway_simulator.creations[0]["task_id"]
        call(task, recipient, made)
        runway_simulator.advance(600)
        assert woken(task) == made
        # Nothing is said of what was asked for rather than something wrong.
        assert "runway_request" not in task.ti.xcoms
        assert len(runway_simulator.creations) == 1

    def test_another_prompt_is_still_not_believed(
        self, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        other = str(life(prompt="A lighthouse at noon", callback_url="").run())
        runway_simulator.add_fault("drop_after", CREATION)
        task = life(**DEFERRED)
        recipient = lost(task)
        task.rendered = {"prompt": "A lighthouse at noon"}
        call(task, recipient, other)
        assert woken(task) is None
        assert task.deferral is not None
        assert task.deferral.method_name == "answer_awaited"

    def test_a_retry_whose_request_has_changed_notes_the_first_one_and_submits_its_own(
        self, life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = life(prompt="Attempt 1", **DEFERRED)

        def die(*_: Any, **__: Any) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(SubmissionJournal, "accepted", die)
            with pytest.raises(Killed):
                task.run()
        first = runway_simulator.creations[0]["task_id"]
        task.rendered = {"prompt": "Attempt 2"}
        recipient = lost(task)
        call(task, recipient, first)
        counted: list[Any] = []
        monkeypatch.setattr(results, "count_submission", counted.append)
        assert woken(task) is None
        assert task.ti.xcoms["runway_task_id"] == runway_simulator.creations[1]["task_id"]
        assert prompts(runway_simulator) == ["Attempt 1", "Attempt 2"]
        assert [request.prompt for request in counted] == ["Attempt 2"]

    def test_a_request_that_cannot_be_is_not_sent_again_and_says_that_nobody_knows(
        self, runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runway_simulator.add_fault("drop_after", CREATION)
        task = Life(TaskStateStore(), on_unknown_submission="resubmit", **DEFERRED)
        lost(task)
        task.rendered = {"prompt": ""}
        clock = SimpleNamespace(time=lambda: time.time() + 10_000, sleep=time.sleep)
        monkeypatch.setattr("airflow_provider_runway.operators.calling.time", clock)
        with pytest.raises(RunwayValidationError, match=r"nobody can tell whether kie\.ai accepted it"):
            woken(task, {"status": "none"})
        assert len(runway_simulator.creations) == 1

    def test_without_a_call_the_fate_of_what_was_sent_is_what_is_told(
        self, life: Callable[..., Life], runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runway_simulator.add_fault("drop_after", CREATION)
        task = life(**DEFERRED)
        lost(task)
        task.rendered = {"prompt": ""}
        clock = SimpleNamespace(time=lambda: time.time() + 10_000, sleep=time.sleep)
        monkeypatch.setattr("airflow_provider_runway.operators.calling.time", clock)
        with pytest.raises(RunwaySubmissionUnknownError, match="A lighthouse"):
            woken(task, {"status": "none"})


class TestAPathThatRendersToNothing:
    """Who gave a path wants the video stored: where it renders to nothing, nothing is paid for."""

    @pytest.mark.parametrize("native", [False, True])
    @pytest.mark.parametrize("is_mapped", [False, True])
    def test_it_is_refused_before_anything_is_paid_for(
        self, native: bool, is_mapped: bool, runway_simulator: Simulator
    ) -> None:
        task = Life(TaskStateStore())
        with DAG(
            "d",
            schedule=None,
            start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
            render_template_as_native_obj=native,
        ) as dag:
            if is_mapped:
                mapped = RunwayGenerateOperator.partial(task_id="task", path="{{ folder }}").expand(
                    prompt=["A lighthouse"]
                )
                operator = mapped.unmap({"prompt": "A lighthouse"})
            else:
                operator = RunwayGenerateOperator(task_id="task", path="{{ folder }}", prompt="A lighthouse")
        context = task.context | {"folder": None}
        operator._do_render_template_fields(
            operator, operator.template_fields, context, dag.get_template_env(), set()
        )
        with pytest.raises(RunwayValidationError, match="path=") as caught:
            operator.execute(context)
        assert isinstance(caught.value, AirflowFailException)
        assert runway_simulator.creations == []

    @pytest.mark.parametrize("rendered", [None, "", "None"])
    @pytest.mark.parametrize("wait", [False, True])
    def test_whatever_else_is_waited_for(
        self, rendered: str | None, wait: bool, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        task = life(path="{{ folder }}", wait_for_completion=wait, deferrable=wait)
        task.rendered = {"path": rendered}
        with pytest.raises(RunwayValidationError, match="path="):
            task.run()
        assert runway_simulator.creations == []

    def test_none_that_somebody_has_written_is_no_path(
        self, life: Callable[..., Life], runway_simulator: Simulator
    ) -> None:
        task = life(path=None)
        assert task.run() == runway_simulator.creations[0]["task_id"]


@pytest.mark.parametrize("field", ["prompt", "watermark", "path"])
def test_the_text_that_a_template_makes_of_nothing_is_refused_before_anything_is_paid_for(
    field: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    with pytest.raises(RunwayValidationError, match=f"{field}='None'"):
        life(**{field: "None"}).run()
    assert runway_simulator.creations == []

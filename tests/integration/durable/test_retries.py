"""A retry takes up what is paid for, pays anew where it failed, and says where nobody can know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.exceptions import AirflowFailException

from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayTaskCreditsError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
)
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Killed, Life


@pytest.mark.parametrize("mode", MODES)
def test_one_try_is_one_charge_and_returns_its_id(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(**MODES[mode])
    result = task.to_the_end()
    assert [creation["task_id"] for creation in runway_simulator.creations] == [result]
    assert task.ti.xcoms["runway_task_id"] == result


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("moment", "charges"), [("before the creation", 0), ("after the creation", 1)])
def test_a_worker_killed_between_intent_and_record_leaves_what_nobody_can_know(
    mode: str,
    moment: str,
    charges: int,
    life: Callable[..., Life],
    killed_at: Callable[[str], None],
    runway_simulator: Simulator,
) -> None:
    task = life(**MODES[mode])
    killed_at(moment)
    with pytest.raises(Killed):
        task.run()
    for _ in range(2):
        with pytest.raises(RunwaySubmissionUnknownError) as caught:
            task.run()
        assert isinstance(caught.value, AirflowFailException)
    assert len(runway_simulator.creations) == charges


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_killed_after_the_record_costs_nothing(
    mode: str,
    life: Callable[..., Life],
    killed_at: Callable[[str], None],
    runway_simulator: Simulator,
) -> None:
    task = life(**MODES[mode])
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1
    assert task.ti.xcoms["runway_task_id"] == runway_simulator.creations[0]["task_id"]


def test_a_retry_whose_video_is_there_returns_it_without_another_deferral(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True, deferrable=True)
    assert task.run() is None
    runway_simulator.advance(3600)
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert task.deferral is None
    assert task.ti.xcoms["video_url"]
    assert len(runway_simulator.creations) == 1


def test_a_worker_killed_again_and_again_while_waiting_costs_nothing(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("stuck", CREATION)
    task = life(wait_for_completion=True, retries=5)
    for _ in range(3):
        killed_at("while waiting")
        with pytest.raises(Killed):
            task.run()
    runway_simulator.force_task(runway_simulator.creations[0]["task_id"], "success")
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("fault", ["drop_after", "html", "garbage"])
def test_a_lost_answer_is_unknown_at_once_and_at_every_retry(
    fault: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    details = {} if fault == "drop_after" else {"carried_out": True}
    runway_simulator.add_fault(fault, CREATION, **details)
    task = life()
    for _ in range(3):
        with pytest.raises(RunwaySubmissionUnknownError) as caught:
            task.run()
        assert isinstance(caught.value, AirflowFailException)
    assert len(runway_simulator.creations) == 1


def test_a_lost_answer_is_sent_again_where_the_risk_is_accepted(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    task = life(on_unknown_submission="resubmit")
    result = task.run()
    assert [creation["task_id"] for creation in runway_simulator.creations][1:] == [result]
    assert task.run() == result


def test_the_risk_is_accepted_a_few_times_and_not_for_ever(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION, count=None)
    with pytest.raises(RunwaySubmissionUnknownError):
        life(on_unknown_submission="resubmit").run()
    assert len(runway_simulator.creations) == 3


def test_the_risk_is_not_accepted_more_often_because_of_a_pause_in_between(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(on_unknown_submission="resubmit", deferrable=True)
    for _ in range(4):
        runway_simulator.add_fault("drop_after", CREATION)
        runway_simulator.add_fault("body_code", CREATION, code=429)
    assert task.run() is None
    assert task.go_on_after_pause() is None
    with pytest.raises(RunwaySubmissionUnknownError):
        task.go_on_after_pause()
    assert len(runway_simulator.creations) == 3


def test_a_refusal_after_a_lost_answer_does_not_make_it_known(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("drop_after", CREATION)
    runway_simulator.add_fault("body_code", CREATION, code=500)
    task = life(on_unknown_submission="resubmit")
    with pytest.raises(RunwayServerError):
        task.run()
    task.arguments["on_unknown_submission"] = "fail"
    with pytest.raises(RunwaySubmissionUnknownError):
        task.run()
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("code", [400, 402, 422, 433, 451, 505])
def test_a_bad_answer_to_a_look_is_no_reason_to_give_a_paid_video_up(
    mode: str,
    code: int,
    life: Callable[..., Life],
    killed_at: Callable[[str], None],
    runway_simulator: Simulator,
) -> None:
    task = life(**MODES[mode])
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    runway_simulator.add_fault("body_code", "/api/v1/runway/record-detail", code=code)
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_a_death_between_intent_and_record_is_submitted_again_where_the_risk_is_accepted(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(on_unknown_submission="resubmit")
    killed_at("after the creation")
    with pytest.raises(Killed):
        task.run()
    assert task.run() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize("code", [408, 502, 504, 522])
def test_where_nothing_but_what_stands_before_it_has_answered_nobody_knows(
    code: int, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("body_code", CREATION, code=code)
    task = life()
    for _ in range(2):
        with pytest.raises(RunwaySubmissionUnknownError):
            task.run()
    assert runway_simulator.creations == []


@pytest.mark.parametrize("code", [500, 506])
def test_an_error_that_kie_ai_reports_itself_is_submitted_again_by_the_retry(
    code: int, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("body_code", CREATION, code=code)
    task = life()
    with pytest.raises(RunwayServerError) as caught:
        task.run()
    assert not isinstance(caught.value, AirflowFailException)
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize("mode", ["wait in the worker", "wait deferred"])
def test_a_retry_after_a_failed_generation_makes_a_new_one(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    runway_simulator.add_fault("upstream_failure", CREATION)
    task = life(**MODES[mode])
    with pytest.raises(RunwayTaskFailedError) as caught:
        task.to_the_end()
    assert not isinstance(caught.value, AirflowFailException)
    assert task.to_the_end() == runway_simulator.creations[1]["task_id"]
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "moderation"}, RunwayTaskRejectedError),
        ({"kind": "upstream_failure", "msg": "Credits insufficient"}, RunwayTaskCreditsError),
    ],
)
def test_a_generation_that_would_fail_again_is_not_paid_for_again_after_the_worker_died(
    fault: dict[str, str],
    kind: type[RunwayError],
    life: Callable[..., Life],
    killed_at: Callable[[str], None],
    runway_simulator: Simulator,
) -> None:
    runway_simulator.add_fault(path=CREATION, **fault)
    task = life(wait_for_completion=True)
    killed_at("while waiting")
    with pytest.raises(Killed):
        task.run()
    runway_simulator.advance(3600)
    with pytest.raises(kind):
        task.run()
    assert len(runway_simulator.creations) == 1


def test_without_durable_a_retry_pays_again(
    life: Callable[..., Life], killed_at: Callable[[str], None], runway_simulator: Simulator
) -> None:
    task = life(durable=False)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    task.run()
    assert len(runway_simulator.creations) == 2


def test_without_a_store_the_task_says_so_and_a_retry_pays_again(
    runway_simulator: Simulator,
    killed_at: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = Life(None)
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    assert capsys.readouterr().out.count("state_path") == 1
    task.run()
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize("mode", MODES)
def test_where_there_is_no_retry_nothing_is_said_of_what_one_would_pay(
    mode: str, runway_simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    Life(None, retries=0, **MODES[mode]).run()
    assert "pay again" not in capsys.readouterr().out


@pytest.mark.parametrize("away", ["gone", "empty"])
@pytest.mark.parametrize("mode", MODES)
def test_a_mount_that_is_missing_fails_a_retry_before_it_pays(
    mode: str,
    away: str,
    runway_simulator: Simulator,
    killed_at: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(folder))
    task = Life(None, **MODES[mode])
    killed_at("after the record")
    with pytest.raises(Killed):
        task.run()
    folder.rename(tmp_path / "elsewhere")
    if away == "empty":
        folder.mkdir()
    with pytest.raises(RunwayServerError, match="missing") as caught:
        task.run()
    assert not isinstance(caught.value, AirflowFailException)
    if away == "empty":
        folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == 1


def test_a_first_try_fails_before_it_pays_where_the_folder_is_not_there(
    runway_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(tmp_path / "state"))
    task = Life(None)
    with pytest.raises(RunwayServerError, match="does not exist"):
        task.run()
    assert runway_simulator.creations == []
    assert not (tmp_path / "state").exists()

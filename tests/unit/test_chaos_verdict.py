"""The verdict of the chaos run: what it must call wrong, and what it must not."""

from __future__ import annotations

from tests.chaos import plan
from tests.chaos.verdict import UNKNOWN, Charge, Ending, Verdict, judge

PAID = Charge("a", "1")


def verdict(*charges: Charge, ending: Ending, watched: dict[str, bool] | None = None) -> Verdict:
    return judge(charges, [ending], watched or {})


def test_one_charge_and_its_video_is_right() -> None:
    found = verdict(PAID, ending=Ending("a", "success", "1"))
    assert found.passed
    assert (found.asked, found.charged, found.delivered) == (1, 1, 1)


def test_more_charges_for_one_video_than_one_are_charged_twice() -> None:
    found = verdict(PAID, Charge("a", "2"), Charge("a", "3"), ending=Ending("a", "success", "3"))
    assert not found.passed
    assert (len(found.charged_twice), found.surplus) == (1, 2)


def test_a_second_charge_after_a_failed_generation_is_right() -> None:
    found = verdict(Charge("a", "1", failed=True), Charge("a", "2"), ending=Ending("a", "success", "2"))
    assert found.passed
    assert (found.charged, found.failed_generations) == (2, 1)


def test_a_submission_whose_generation_failed_later_is_right() -> None:
    found = verdict(Charge("a", "1", failed=True), ending=Ending("a", "success", "1"), watched={"1": False})
    assert found.passed
    assert (found.failed_generations, found.submitted_in_vain, found.delivered) == (1, 1, 0)


def test_a_paid_video_whose_task_failed_is_lost() -> None:
    found = verdict(PAID, ending=Ending("a", "failed", error="RunwayServerError"))
    assert not found.passed
    assert len(found.lost) == 1


def test_a_paid_video_whose_task_has_another_one_is_lost() -> None:
    assert len(verdict(PAID, ending=Ending("a", "success", "another")).lost) == 1


def test_a_paid_video_that_nobody_got_in_the_end_is_lost() -> None:
    found = verdict(PAID, ending=Ending("a", "success", "1"), watched={"1": False})
    assert len(found.lost) == 1


def test_a_paid_video_that_is_no_whole_file_where_one_was_asked_for_is_lost() -> None:
    found = verdict(PAID, ending=Ending("a", "success", "1", stored=False))
    assert (len(found.lost), found.stored) == (1, 0)
    found = verdict(PAID, ending=Ending("a", "success", "1", stored=True))
    assert (found.passed, found.stored) == (True, 1)


def test_a_paid_video_that_nobody_asked_for_is_lost() -> None:
    assert len(verdict(PAID, ending=Ending("b", "failed", error=UNKNOWN)).lost) == 1


def test_what_nobody_can_know_and_is_called_so_is_right_charged_or_not() -> None:
    charged = verdict(PAID, ending=Ending("a", "failed", error=UNKNOWN))
    assert charged.passed
    assert (charged.unknown_charged, charged.unknown_not_charged) == (1, 0)
    free = verdict(ending=Ending("a", "failed", error=UNKNOWN))
    assert free.passed
    assert (free.unknown_charged, free.unknown_not_charged) == (0, 1)


def test_a_task_that_failed_otherwise_is_not_right_even_if_nothing_was_charged() -> None:
    found = verdict(ending=Ending("a", "failed", error="ValueError"))
    assert not found.passed
    assert len(found.other_failures) == 1


def test_a_success_without_a_charge_is_not_right() -> None:
    assert not verdict(ending=Ending("a", "success", "1")).passed


def test_each_video_has_a_prompt_of_its_own() -> None:
    for tasks in (3, 4, 40, 301):
        prompts = [prompt for some in plan.prompts(tasks).values() for prompt in some]
        assert len(set(prompts)) == len(prompts) == tasks


def test_the_seed_decides_every_blow_and_each_kind_falls() -> None:
    assert plan.blows(40, 7, 10) == plan.blows(40, 7, 10)
    assert plan.blows(40, 7, 10) != plan.blows(40, 8, 10)
    assert {blow.kind for blow in plan.blows(8, 1, 10)} == set(plan.KILLS)


def test_an_unknown_one_that_kie_has_called_about_should_be_known() -> None:
    endings = [Ending("a", "failed", error=UNKNOWN), Ending("b", "failed", error=UNKNOWN)]
    verdict = judge([Charge("a", "1"), Charge("b", "2")], endings, {}, {"1"})
    assert not verdict.passed
    assert verdict.unknown_though_called == ["a: failed RunwaySubmissionUnknownError; charged as 1"]

"""What can go wrong: which of it Airflow retries, and that it survives the way through a trigger's event."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from airflow_provider_runway import exceptions
from airflow_provider_runway.compat import AirflowException, AirflowFailException, AirflowSensorTimeout
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayCreditsError,
    RunwayError,
    RunwayRateLimitError,
    RunwayRequestError,
    RunwaySensorTimeoutError,
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayTaskCreditsError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayValidationError,
    RunwayVideoExpiredError,
    error_from_dict,
)

Transport: TypeAlias = Callable[[RunwayError], RunwayError]

ALL_KINDS = [
    kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, RunwayError)
]
RETRIED = [RunwayRateLimitError, RunwayServerError, RunwayTaskFailedError, RunwayTimeoutError]
NOT_RETRIED = [
    RunwayRequestError,
    RunwayValidationError,
    RunwayAuthenticationError,
    RunwayCreditsError,
    RunwaySubmissionUnknownError,
    RunwayTaskRejectedError,
    RunwayTaskCreditsError,
    RunwayTaskNotFoundError,
    RunwayVideoExpiredError,
]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_is_an_airflow_exception(kind: type[RunwayError]) -> None:
    assert issubclass(kind, AirflowException)


@pytest.mark.parametrize("kind", NOT_RETRIED)
def test_what_a_retry_cannot_help_fails_the_task_at_once(kind: type[RunwayError]) -> None:
    assert issubclass(kind, AirflowFailException)


@pytest.mark.parametrize("kind", RETRIED)
def test_what_a_retry_can_help_is_retried(kind: type[RunwayError]) -> None:
    assert not issubclass(kind, AirflowFailException)


def test_a_broken_rule_is_a_value_error() -> None:
    assert issubclass(RunwayValidationError, ValueError)


def test_a_rejected_task_is_caught_as_a_failed_one() -> None:
    assert issubclass(RunwayTaskRejectedError, RunwayTaskFailedError)


def test_a_task_that_failed_for_want_of_credits_is_caught_as_both() -> None:
    assert issubclass(RunwayTaskCreditsError, RunwayTaskFailedError)
    assert issubclass(RunwayTaskCreditsError, RunwayCreditsError)


def test_the_sensors_timeout_is_airflows_own_and_ours() -> None:
    assert issubclass(RunwaySensorTimeoutError, AirflowSensorTimeout)
    assert issubclass(RunwaySensorTimeoutError, RunwayTimeoutError)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_creation_that_may_have_been_taken_is_never_repeated(kind: type[RunwayError]) -> None:
    surely_not_taken = {"RunwayRateLimitError", "RunwayMaintenanceError", "RunwayNotConnectedError"}
    assert kind.repeat_creation is (kind.__name__ in surely_not_taken)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_lookup_is_repeated_on_rate_limits_and_server_errors_alone(kind: type[RunwayError]) -> None:
    assert kind.repeat_lookup is issubclass(kind, (RunwayRateLimitError, RunwayServerError))


def make(kind: type[RunwayError]) -> RunwayError:
    details: dict[str, Any] = {"code": 500, "runway_task_id": "abc123", "retry_after": 1.5}
    if issubclass(kind, RunwayTaskFailedError):
        details |= {"error_code": "E1", "error_message": "broke"}
    return kind("It broke: 猫", **details)


@pytest.mark.parametrize("kind", ALL_KINDS)
class TestTransport:
    def test_through_json(self, kind: type[RunwayError]) -> None:
        error = make(kind)
        again = error_from_dict(json.loads(json.dumps(error.to_dict())))
        assert type(again) is kind
        assert again.message == "It broke: 猫"
        assert str(again) == str(error)
        assert vars(again) == vars(error)

    def test_through_json_with_nothing_but_a_text(self, kind: type[RunwayError]) -> None:
        error = kind("It broke")
        again = error_from_dict(json.loads(json.dumps(error.to_dict())))
        assert type(again) is kind
        assert vars(again) == vars(error)

    @pytest.mark.parametrize("transport", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
    def test_to_another_process(self, kind: type[RunwayError], transport: Transport) -> None:
        error = make(kind)
        again = transport(error)
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)

    def test_can_be_made_of_nothing(self, kind: type[RunwayError]) -> None:
        assert str(kind()) == ""


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"error": None},
        {"error": "RunwayErrorOfALaterVersion", "more": 1},
        {"error": "SystemExit"},
        {"error": []},
    ],
)
def test_an_unknown_kind_is_still_an_error_of_ours(data: dict[str, Any]) -> None:
    error = error_from_dict({**data, "message": "It broke"})
    assert type(error) is RunwayError
    assert error.message == "It broke"


def test_an_error_without_a_text_does_not_say_none() -> None:
    assert str(error_from_dict({"error": "RunwayServerError", "message": None})) == ""


def test_the_code_of_a_failed_task_is_its_own_where_no_other_is_known() -> None:
    error = RunwayTaskFailedError("It broke", error_code=500)
    assert (error.code, error.error_code) == (500, 500)


ENTRIES = "https://airflow-provider-runway.readthedocs.io/en/stable/errors.html#"


class TestAddress:
    """Each error's text ends with the address of its entry in the docs, once."""

    @pytest.mark.parametrize("kind", ALL_KINDS)
    def test_the_reason_stands_first_and_the_address_last(self, kind: type[RunwayError]) -> None:
        assert str(kind("It broke")) == f"It broke. More: {ENTRIES}{kind.__name__.lower()}"

    @pytest.mark.parametrize("transport", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
    def test_it_is_not_doubled_in_another_process(self, transport: Transport) -> None:
        error = make(RunwayCreditsError)
        assert str(transport(transport(error))).count("https:") == 1

    def test_it_is_not_doubled_by_airflows_own_way_to_take_an_error_along(self) -> None:
        error: AirflowException = make(RunwayCreditsError)
        _, args, _ = error.serialize()
        assert str(RunwayCreditsError(*args)) == str(make(RunwayCreditsError))

    def test_it_stays_last_where_more_is_said(self) -> None:
        error = RunwayServerError("It broke").explain(after="Try later.").explain(after="Or never.")
        assert str(error) == f"It broke. Try later. Or never. More: {ENTRIES}runwayservererror"

    def test_an_error_that_tells_another_one_has_its_own_alone(self) -> None:
        told = RunwaySubmissionUnknownError(f"Nobody knows: {RunwayServerError('It broke')}. Look there.")
        assert str(told).endswith(f"Look there. More: {ENTRIES}runwaysubmissionunknownerror")
        assert str(told).count("https:") == 1

    def test_a_class_of_a_users_own_has_the_entry_of_the_class_that_it_is_made_of(self) -> None:
        class OurCreditsError(RunwayCreditsError):
            pass

        assert str(OurCreditsError("It broke")).endswith("#runwaycreditserror")

    def test_it_is_no_part_of_what_a_trigger_tells(self) -> None:
        assert "https:" not in json.dumps(make(RunwayCreditsError).to_dict())


class TestExplain:
    def test_it_adds_what_was_asked_and_what_to_do_after_the_reason(self) -> None:
        error = RunwayServerError("code 500: 'oops'", code=500)
        assert error.explain(after="Try later.", runway_task_id="abc123") is error
        assert error.message == "code 500: 'oops'. Try later."
        assert (error.code, error.runway_task_id) == (500, "abc123")

    def test_it_doubles_no_full_stop_and_keeps_the_task(self) -> None:
        error = RunwayServerError("It broke.", runway_task_id="abc123").explain(runway_task_id="another")
        assert error.message == "It broke."
        assert error.runway_task_id == "abc123"

    def test_it_survives_the_transport(self) -> None:
        error = make(RunwayTaskFailedError).explain(after="Look there.")
        assert str(error_from_dict(error.to_dict())) == str(pickle.loads(pickle.dumps(error))) == str(error)

"""The retry policy of Airflow 3.3: the delay that kie.ai asked for, and nothing else of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_runway import compat, retries
from airflow_provider_runway.exceptions import (
    RunwayRateLimitError,
    RunwayServerError,
    RunwayValidationError,
)
from airflow_provider_runway.retries import RunwayRetryPolicy

if compat.HAS_RETRY_POLICIES:
    from airflow.sdk.definitions.retry_policy import RetryAction

since_3_3 = pytest.mark.skipif(
    not compat.HAS_RETRY_POLICIES, reason="Airflow 3.3 and later have retry policies"
)


def test_an_earlier_airflow_says_in_a_sentence_that_it_has_no_retry_policies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "HAS_RETRY_POLICIES", False)
    with pytest.raises(
        RunwayValidationError, match=r"needs Airflow 3\.3 or later: Airflow \d+\.\d+ has no retry policies"
    ):
        RunwayRetryPolicy()


@since_3_3
def test_the_next_try_waits_as_long_as_the_server_asked() -> None:
    decision = RunwayRetryPolicy().evaluate(RunwayRateLimitError("busy", retry_after=42.0), 1, 3)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == timedelta(seconds=42)
    assert "42 s" in (decision.reason or "")


@since_3_3
def test_a_server_that_asks_for_too_much_gets_the_longest_delay() -> None:
    policy = RunwayRetryPolicy(longest=timedelta(minutes=5))
    assert policy.evaluate(RunwayServerError("busy", retry_after=86400.0), 1, 3).retry_delay == timedelta(
        minutes=5
    )


@since_3_3
@pytest.mark.parametrize("error", [RunwayServerError("down"), ValueError("not ours")])
def test_whatever_asks_for_no_delay_is_left_to_the_tasks_own_settings(error: Exception) -> None:
    assert RunwayRetryPolicy().evaluate(error, 1, 3).action is RetryAction.DEFAULT


@since_3_3
@pytest.mark.parametrize("over", [0.0, -3.0])
def test_a_delay_that_is_over_is_left_to_them_too(over: float) -> None:
    decision = RunwayRetryPolicy().evaluate(RunwayRateLimitError("busy", retry_after=over), 1, 3)
    assert decision.action is RetryAction.DEFAULT


@since_3_3
def test_it_survives_serialization() -> None:
    policy = RunwayRetryPolicy(longest=timedelta(minutes=7))
    assert RunwayRetryPolicy.deserialize(policy.serialize()).longest == timedelta(minutes=7)


@since_3_3
def test_a_dag_with_it_can_be_serialized() -> None:
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    from airflow_provider_runway.operators.runway import RunwayGenerateOperator

    with DAG("with_policy", schedule=None) as dag:
        RunwayGenerateOperator(task_id="generate", prompt="p", retries=3, retry_policy=RunwayRetryPolicy())
    read_back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert read_back.task_dict["generate"].retries == 3

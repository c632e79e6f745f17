"""A retry policy for Airflow 3.3 and later that waits as long as kie.ai asked before the next try."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import AIRFLOW, HAS_RETRY_POLICIES, RetryPolicy
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context
    from airflow.sdk.definitions.retry_policy import RetryDecision


class RunwayRetryPolicy(RetryPolicy):
    """
    Make a task's retry wait as long as kie.ai asked for: for the task's ``retry_policy``.

    Which errors are retried at all does not depend on it: an error that a retry cannot fix fails at once
    anyway. Other errors, and those without a ``Retry-After`` or with one that has passed, are left to the
    task's own ``retries`` and ``retry_delay``.

    :param longest: The longest delay to accept, a ``timedelta``; if the server asks for more, this is used.
    :raises RunwayValidationError: on Airflow before 3.3, which has no retry policies
    """

    def __init__(self, longest: timedelta = timedelta(hours=1)) -> None:
        if not HAS_RETRY_POLICIES:
            raise RunwayValidationError(
                f"RunwayRetryPolicy needs Airflow 3.3 or later: Airflow {'.'.join(map(str, AIRFLOW))} has no "
                "retry policies. Leave retry_policy out, and set retry_delay."
            )
        self.longest = longest

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """
        Decide on the delay before the next try.

        :param exception: Why the try failed.
        :param try_number: The try that failed, from 1.
        :param max_tries: How many tries there are.
        :param context: The Airflow context.
        """
        from airflow.sdk.definitions.retry_policy import RetryDecision

        asked = exception.retry_after if isinstance(exception, RunwayError) else None
        if asked is None or asked <= 0:
            return RetryDecision.default()
        delay = min(timedelta(seconds=asked), self.longest)
        return RetryDecision.retry(delay=delay, reason=f"kie.ai asked to wait {asked:.0f} s")

    def serialize(self) -> dict[str, Any]:
        """Return the policy as plain data."""
        return {"longest": self.longest.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RunwayRetryPolicy:
        """
        Read back what :meth:`serialize` wrote.

        :param data: The plain data.
        """
        return cls(longest=timedelta(seconds=data["longest"]))

"""The base of operators that pay: their arguments, the rules for them, and where they keep their notes."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import check_url
from airflow_provider_runway.compat import CAN_BE_CALLED, BaseOperator
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.waiting.arguments import seconds

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context
    from airflow_provider_runway.submissions.stores import StateStore

#: The ``callback_url`` that asks for a URL of this Airflow.
AUTO = "auto"

#: Seconds of a wait at most, a year: nothing at kie.ai lasts longer, and calendars still reach so far.
_LONGEST_TIMEOUT = 366 * 24 * 3600.0


class PayingOperator(BaseOperator):
    """An operator that pays; :class:`RunwaySubmitOperator` says what each argument means."""

    model: str
    runway_conn_id: str
    deferrable: bool
    poll_interval: float | timedelta | None
    timeout: float | timedelta
    durable: bool
    resubmissions: int
    on_unknown_submission: str
    min_credits: float | None
    callback_url: str | None

    #: Which submission of an earlier try this process has taken up: in which try, its digest, its prompt.
    taken_up: tuple[Any, str, str] | None = None

    @property
    def timeout_seconds(self) -> float:
        """
        Seconds from the submission until the video is ready.

        :raises RunwayValidationError: ``timeout`` is not such a number.
        """
        found = seconds("timeout", self.timeout)
        if found is None or found > _LONGEST_TIMEOUT:
            raise RunwayValidationError(
                f"timeout={self.timeout!r}: must be a number of seconds or a timedelta, more than 0 and at "
                "most a year."
            )
        return found

    def check_arguments(self) -> None:
        """
        Check the arguments that the request does not check.

        :raises RunwayValidationError: a value breaks a rule.
        """
        _ = self.timeout_seconds
        seconds("poll_interval", self.poll_interval)
        credits_left = self.min_credits
        if credits_left is not None and (
            isinstance(credits_left, bool)
            or not isinstance(credits_left, int | float)
            or math.isnan(credits_left)
        ):
            raise RunwayValidationError(f"min_credits={credits_left!r}: must be a number of credits.")
        again = self.resubmissions
        if isinstance(again, bool) or not isinstance(again, int) or again < 0:
            raise RunwayValidationError(f"resubmissions={again!r}: must be a whole number, 0 or more.")
        if self.on_unknown_submission not in ("fail", "resubmit"):
            raise RunwayValidationError(
                f"on_unknown_submission={self.on_unknown_submission!r}: must be 'fail' or 'resubmit'."
            )
        if self.callback_url and self.callback_url != AUTO:
            check_url("callback_url", self.callback_url)
        elif self.callback_url and not CAN_BE_CALLED:
            raise RunwayValidationError(
                "callback_url='auto': needs Airflow 3.1 or later, which can receive callbacks."
            )

    def notes(self, context: Context, *, may_begin: bool = False) -> StateStore | None:
        """
        Return where the task keeps what its next try must know; ``None`` for nowhere.

        :param context: The Airflow context.
        :param may_begin: Whether the task instance certainly has no note yet.
        """
        from airflow_provider_runway.submissions.stores import state_store

        if not self.durable:
            return None
        return state_store(context, may_begin=may_begin, with_files=True)

"""What a failure says about what is paid for, and when it is final: no retry may pay for another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import NOTHING_SENT
from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwayResubmissionsError,
    RunwayTaskFailedError,
    RunwayValidationError,
)
from airflow_provider_runway.operators.payer import PayingOperator

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context


@contextmanager
def bounded(operator: PayingOperator, context: Context) -> Iterator[None]:
    """
    Make a failed generation final if no retry may pay for another one.

    :param operator: The task.
    :param context: The Airflow context.
    """
    from airflow_provider_runway.submissions.journal import count_resubmissions

    try:
        yield
    except RunwayTaskFailedError as error:
        if isinstance(error, AirflowFailException):
            raise
        ti: Any = context["ti"]
        # A failure in response to the submission itself has no ID, and no submission is noted.
        store = operator.notes(context) if error.runway_task_id else None
        if store is not None and error.runway_task_id:
            try:
                count = count_resubmissions(store, error.runway_task_id)
            except RunwayError as unreadable:
                # The retry will ask again before it pays.
                operator.log.warning("%s", unreadable)
                raise error from None
        else:
            # Nobody can tell which of the tries since the last clear submitted.
            count, cleared = ti.try_number - 1, ti.max_tries - operator.retries
            # More tries than there were are no clear: a deploy has lowered `retries`.
            if 0 < cleared <= count:
                count -= cleared
        if count < operator.resubmissions:
            raise
        raise RunwayResubmissionsError(
            error.message,
            error_code=error.error_code,
            error_message=error.error_message,
            runway_task_id=error.runway_task_id,
        ).explain(
            after=f"It is not submitted again: resubmissions={operator.resubmissions}, and this was "
            f"{'try' if store is None else 'submission'} {count + 1} since the task started or was last "
            "cleared. To pay for another generation, clear it."
        ) from error


@contextmanager
def naming_paid(operator: PayingOperator, context: Context) -> Iterator[None]:
    """
    Add to an error about a value what the task has nevertheless submitted, in this try or an earlier one.

    :param operator: The task.
    :param context: The Airflow context.
    """
    from airflow_provider_runway.submissions.journal import noted
    from airflow_provider_runway.submissions.record import unanswered

    try:
        yield
    except RunwayValidationError as error:
        if error.runway_task_id is not None:
            raise
        ti: Any = context["ti"]
        try:
            store = operator.notes(context, may_begin=ti.try_number == 1)
            earlier = noted(store, ti.max_tries) if store is not None else None
        except RunwayError as unreadable:
            operator.log.warning("%s", unreadable)
            raise error from None
        if earlier is None:
            raise
        if earlier.runway_task_id is None:
            raise _of_this_alone(error).explain(after=unanswered(earlier).message) from None
        raise charged(error, earlier.runway_task_id) from None


def charged(error: RunwayValidationError, runway_task_id: str) -> RunwayError:
    """
    Add to an error about a value the Runway task that is paid for; return the same error.

    :param error: The error.
    :param runway_task_id: The Runway task ID.
    """
    return _of_this_alone(error).explain(
        after=f"Runway task {runway_task_id} was submitted before, and is charged. To get its video, give "
        "this ID to a RunwayTaskSensor or a RunwayDownloadOperator.",
        runway_task_id=runway_task_id,
    )


def _of_this_alone(error: RunwayValidationError) -> RunwayValidationError:
    # That is said of the request, and would read as if it were said of the task.
    error.args = (error.message.removesuffix(NOTHING_SENT).rstrip(),)
    return error

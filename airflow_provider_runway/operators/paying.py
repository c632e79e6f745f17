"""Pays for a Runway task once: takes up what an earlier try paid for, or submits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import AirflowFailException
from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayError,
    RunwayResubmissionsError,
    RunwaySubmissionUnknownError,
    RunwayTaskCreditsError,
    RunwayTaskFailedError,
    RunwayTaskRejectedError,
)
from airflow_provider_runway.operators import calling, inputs
from airflow_provider_runway.operators.payer import PayingOperator
from airflow_provider_runway.triggers import deferral, results

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context
    from airflow_provider_runway.hooks.runway import RunwayHook
    from airflow_provider_runway.submissions.journal import Submission, SubmissionJournal
    from airflow_provider_runway.submissions.stores import StateStore

#: How often one try sends a request whose fate is unknown, with ``on_unknown_submission="resubmit"``.
_MOST_SUBMISSIONS = 3

#: Seconds for which a worker is held by a rate limit at the credits.
_CREDITS_PATIENCE = 10.0


@dataclass(frozen=True)
class Attempts:
    """
    What became of the attempts to submit so far; pauses in the triggerer hand it on.

    :param first_tried_at: When the first one was made, in epoch seconds.
    :param refusals: How many were refused.
    :param unknown: How many nobody can know the fate of.
    """

    first_tried_at: float
    refusals: int = 0
    unknown: int = 0


def journal_of(
    operator: PayingOperator, context: Context, request: RunwayRequest, *, may_begin: bool
) -> SubmissionJournal:
    """
    Return the record of the task instance's submissions, which keeps nothing where there is no store.

    :param operator: The task.
    :param context: The Airflow context.
    :param request: What is to be created.
    :param may_begin: Whether the task instance surely has no record yet.
    """
    from airflow_provider_runway.submissions.journal import SubmissionJournal

    ti: Any = context["ti"]
    store = _store(operator, context, may_begin=may_begin)
    if operator.durable and store is None and ti.try_number <= ti.max_tries:
        operator.log.warning(
            "A retry of this task would submit again and pay again: this Airflow has no task state store "
            "(3.3 and later have one). Set [runway] state_path to a folder that all workers share."
        )
    return SubmissionJournal(
        store,
        request=request,
        runway_conn_id=operator.runway_conn_id,
        try_number=ti.try_number,
        max_tries=ti.max_tries,
    )


def take_up(
    operator: PayingOperator,
    journal: SubmissionJournal,
    hook: RunwayHook,
    context: Context,
    request: RunwayRequest,
) -> tuple[Submission | None, RunwayTask | None]:
    """
    Return an earlier try's submission to go on with, if there is one, and its task if it is done.

    :param operator: The task.
    :param journal: Its record.
    :param hook: The hook.
    :param context: The Airflow context.
    :param request: What is to be created.
    :raises RunwayError: there is one, and no other is to be paid for; the class says why.
    """
    try:
        earlier = journal.earlier()
    except RunwaySubmissionUnknownError as error:
        lost = journal.unanswered
        given = lost and calling.answer_given_back(operator, hook, journal, context, lost, request, unknown=1)
        if given:
            return given, None
        if operator.on_unknown_submission != "resubmit":
            raise
        operator.log.warning("Submitting again, as on_unknown_submission='resubmit' says. %s", error)
        return None, None
    if earlier is None or earlier.runway_task_id is None:
        return None, None
    finished = None
    try:
        task = hook.get_task(earlier.runway_task_id, model=operator.model)
        task.result_url()
        finished = task
    except (RunwayTaskRejectedError, RunwayTaskCreditsError):
        # The same request would fail again, and might be paid for again.
        raise
    except RunwayTaskFailedError as error:
        if earlier.resubmissions >= operator.resubmissions:
            raise
        operator.log.info(
            "Submitting anew (%d of %d resubmissions), since the task of try %d has failed: %s",
            earlier.resubmissions + 1,
            operator.resubmissions,
            earlier.try_number,
            error,
        )
        return None, None
    except RunwayError as error:
        # Whatever else is wrong with it, it is paid for: the wait will say.
        operator.log.info("Runway task %s of try %d: %s", earlier.runway_task_id, earlier.try_number, error)
    operator.log.info(
        "Taking up Runway task %s, submitted in try %d", earlier.runway_task_id, earlier.try_number
    )
    return journal.extend(earlier, operator.timeout_seconds), finished


def take_back(
    operator: PayingOperator,
    journal: SubmissionJournal,
    hook: RunwayHook,
    context: Context,
    request: RunwayRequest,
    lost: dict[str, Any],
    attempts: Attempts,
) -> Submission | None:
    """
    Return the submission whose answer was lost before the worker was given back, if kie.ai has called since;
    ``None`` where it is to be sent again.

    :param operator: The task.
    :param journal: Its record.
    :param hook: The hook.
    :param context: The Airflow context.
    :param request: What was asked for.
    :param lost: The submission, as plain data.
    :param attempts: What became of the attempts so far.
    :raises RunwaySubmissionUnknownError: nobody called, and it is not to be sent again.
    """
    from airflow_provider_runway.submissions.journal import Submission, unknown_for_good

    submission = Submission(**lost)
    journal.resume(submission)
    given = calling.answer_given_back(
        operator, hook, journal, context, submission, request, unknown=attempts.unknown
    )
    if given:
        return given
    error = unknown_for_good(submission)
    if operator.on_unknown_submission != "resubmit" or attempts.unknown >= _MOST_SUBMISSIONS:
        raise error
    operator.log.warning("Submitting again, as on_unknown_submission='resubmit' says. %s", error)
    return None


def submit(
    operator: PayingOperator,
    journal: SubmissionJournal,
    hook: RunwayHook,
    request: RunwayRequest,
    attempts: Attempts,
    context: Context,
) -> Submission:
    """
    Send the request, again where kie.ai refuses it for now; return the submission with its Runway task ID.

    :param operator: The task.
    :param journal: Its record, in which nothing is left to take up.
    :param hook: The hook.
    :param request: What to create, with stand-ins for files to upload.
    :param attempts: Those made before a pause in the triggerer.
    :param context: The Airflow context.
    :raises RunwayError: there is no submission, or nobody knows of it; the class says why.
    """
    from airflow_provider_runway.waiting.backoff import pause_before_creation

    refusals, unknown = attempts.refusals, attempts.unknown
    give_up_at = attempts.first_tried_at + operator.timeout_seconds
    # Whatever can fail before the request leaves does so before it is noted as about to leave.
    _ = hook.settings
    hook.prepare(request)
    asked, request = request, inputs.uploaded(request, hook, journal)
    while True:
        submission = None
        try:
            if operator.min_credits is not None:
                _check_credits(operator.runway_conn_id, operator.min_credits)
            callback_url, recipient = calling.address_of(operator, hook, context, journal.digest)
            submission = journal.intend(time.time() + operator.timeout_seconds, recipient)
            runway_task_id = hook.submit(request, callback_url=callback_url, patience=0)
        except RunwaySubmissionUnknownError as error:
            unknown += 1
            if submission is not None and submission.recipient is not None:
                operator.log.warning("%s", error)
                given = calling.answer_given_back(
                    operator, hook, journal, context, submission, asked, unknown=unknown
                )
                if given:
                    return given
            if operator.on_unknown_submission != "resubmit" or unknown >= _MOST_SUBMISSIONS:
                raise
            operator.log.warning("Submitting again, as on_unknown_submission='resubmit' says. %s", error)
            pause = pause_before_creation(unknown, None)
        except RunwayError as error:
            if submission is not None:
                journal.refused()
            refusals += 1
            pause = pause_before_creation(refusals, error.retry_after)
            if not error.repeat_creation or time.time() + pause > give_up_at:
                raise
            if operator.deferrable:
                deferral.pause(
                    operator,
                    pause,
                    error,
                    first_tried_at=attempts.first_tried_at,
                    refusals=refusals,
                    unknown=unknown,
                )
            operator.log.info("%s Trying again in %.0f s.", error.message, pause)
        else:
            operator.log.info("Submitted Runway task %s (%s)", runway_task_id, request.model)
            submission = journal.accepted(submission, runway_task_id)
            results.count_submission(request)
            return submission
        time.sleep(pause)


@contextmanager
def bounded(operator: PayingOperator, context: Context) -> Iterator[None]:
    """
    Let a generation that failed be the task's end where no retry may pay for another one.

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
        # Of a failure that answers the submission itself, without an ID, no submission is kept.
        store = _store(operator, context) if error.runway_task_id else None
        if store is not None and error.runway_task_id:
            try:
                count = count_resubmissions(store, error.runway_task_id)
            except RunwayError as unreadable:
                # The retry will ask again before it pays.
                operator.log.warning("%s", unreadable)
                raise error from None
        else:
            # Nobody can tell which of the tries since the last clear submitted.
            count = max(0, ti.try_number - 1 - (ti.max_tries - operator.retries))
        if count < operator.resubmissions:
            raise
        raise RunwayResubmissionsError(
            error.message,
            error_code=error.error_code,
            error_message=error.error_message,
            runway_task_id=error.runway_task_id,
        ).explain(
            after=f"It is not submitted anew: resubmissions={operator.resubmissions}, and this was "
            f"{'try' if store is None else 'submission'} {count + 1} since the task began or a person "
            "cleared it. To pay for another generation, clear it."
        ) from error


def _store(operator: PayingOperator, context: Context, *, may_begin: bool = False) -> StateStore | None:
    from airflow_provider_runway.submissions.stores import state_store

    return state_store(context, may_begin=may_begin) if operator.durable else None


def _check_credits(runway_conn_id: str, at_least: float) -> None:
    from airflow_provider_runway.hooks.runway import RunwayHook

    left = RunwayHook(runway_conn_id, patience=_CREDITS_PATIENCE).get_credits()
    if left < at_least:
        raise RunwayCreditsError(
            f"min_credits={at_least:g}: the account has {left:g} left. Nothing was submitted."
        )

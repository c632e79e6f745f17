"""Pays for a Runway task once: resumes what an earlier try paid for, or submits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.exceptions import (
    RunwayCreditsError,
    RunwayError,
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
    from airflow_provider_runway.submissions.journal import SubmissionJournal
    from airflow_provider_runway.submissions.record import Submission

#: How often one try sends a request whose fate is unknown, with ``on_unknown_submission="resubmit"``.
_MOST_SUBMISSIONS = 3

#: Seconds for which a worker is held by a rate limit at what is free: the parent, uploads, the credits.
_FREE_PATIENCE = 10.0


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
    operator: PayingOperator, context: Context, request: RunwayRequest, *, may_begin: bool = False
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
    store = operator.notes(context, may_begin=may_begin)
    if operator.durable and store is None and ti.try_number <= ti.max_tries:
        operator.log.warning(
            "A retry of this task would submit again and pay again: this Airflow has no task state store "
            "(Airflow 3.3 and later have one). Set [runway] state_path to a folder that all workers share."
        )
    return SubmissionJournal(
        store,
        request=request,
        runway_conn_id=operator.runway_conn_id,
        try_number=ti.try_number,
        max_tries=ti.max_tries,
        try_began_at=ti.start_date.timestamp() if ti.start_date else 0.0,
    )


def take_up(
    operator: PayingOperator,
    journal: SubmissionJournal,
    hook: RunwayHook,
    context: Context,
    request: RunwayRequest,
) -> tuple[Submission | None, RunwayTask | None]:
    """
    Return an earlier try's submission to resume, if there is one, and its Runway task if that has ended.

    :param operator: The task.
    :param journal: Its record.
    :param hook: The hook.
    :param context: The Airflow context.
    :param request: What is to be created.
    :raises RunwayError: there is one, and no other may be paid for; the class says why.
    """
    from airflow_provider_runway.submissions.record import several_requests

    ti: Any = context["ti"]
    this_try = (ti.run_id, ti.map_index, ti.try_number)
    if operator.taken_up is not None:
        in_try, digest, prompt = operator.taken_up
        if in_try == this_try and digest != journal.digest:
            raise several_requests(prompt, request.prompt)
    try:
        earlier = journal.earlier()
    except RunwaySubmissionUnknownError as error:
        lost = error.submission
        given = lost and calling.answer_given_back(operator, hook, journal, context, lost, request, unknown=1)
        if given and journal.is_for(given):
            return given, None
        if given:
            operator.log.warning(
                "The request has changed since try %d (Runway task %s, which is charged): submitting again",
                given.try_number,
                given.runway_task_id,
            )
            return None, None
        if operator.on_unknown_submission != "resubmit":
            raise
        operator.log.warning("Submitting again, because on_unknown_submission='resubmit'. %s", error)
        return None, None
    if earlier is None or earlier.runway_task_id is None:
        return None, None
    finished = None
    try:
        task = hook.get_task(earlier.runway_task_id, model=operator.model)
        if task.state.is_terminal:
            task.result_url()
            finished = task
    except (RunwayTaskRejectedError, RunwayTaskCreditsError):
        # The same request would fail again, and might be paid for again.
        raise
    except RunwayTaskFailedError as error:
        if earlier.resubmissions >= operator.resubmissions:
            raise
        operator.log.info(
            "Submitting again (%d of %d resubmissions), because the Runway task of try %d failed: %s",
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
        "Resuming Runway task %s, submitted in try %d", earlier.runway_task_id, earlier.try_number
    )
    operator.taken_up = (this_try, journal.digest, request.prompt)
    return earlier, finished


def recover(
    operator: PayingOperator,
    journal: SubmissionJournal,
    hook: RunwayHook,
    context: Context,
    request: RunwayRequest,
    lost: Submission,
    attempts: Attempts,
) -> Submission | None:
    """
    Return the submission whose response was lost before the task was deferred, if kie.ai has called back
    since; ``None`` if it is to be sent again.

    :param operator: The task.
    :param journal: Its record.
    :param hook: The hook.
    :param context: The Airflow context.
    :param request: What the journal is about.
    :param lost: The submission.
    :param attempts: What became of the attempts so far.
    :raises RunwaySubmissionUnknownError: no callback arrived, and it is not to be sent again.
    """
    from airflow_provider_runway.submissions.record import unknown_for_good

    journal.resume(lost)
    given = calling.answer_given_back(
        operator, hook, journal, context, lost, request, unknown=attempts.unknown
    )
    if given:
        return given
    error = unknown_for_good(lost)
    if operator.on_unknown_submission != "resubmit" or attempts.unknown >= _MOST_SUBMISSIONS:
        raise error
    operator.log.warning("Submitting again, because on_unknown_submission='resubmit'. %s", error)
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
    Send the request, again if kie.ai refuses it for now; return the submission with its Runway task ID.

    :param operator: The task.
    :param journal: Its record, in which nothing is left to take up.
    :param hook: The hook.
    :param request: What to create, with stand-ins for files to upload.
    :param attempts: Those made before a pause in the triggerer.
    :param context: The Airflow context.
    :raises RunwayError: there is no submission, or nobody knows; the class says why.
    """
    from airflow_provider_runway.hooks.runway import RunwayHook
    from airflow_provider_runway.waiting.backoff import pause_before_creation

    refusals, unknown = attempts.refusals, attempts.unknown
    give_up_at = attempts.first_tried_at + operator.timeout_seconds
    # Whatever can fail before the request leaves does so before it is noted as about to leave.
    _ = hook.settings
    ready: RunwayRequest | None = None
    while True:
        submission = None
        try:
            if ready is None:
                free = RunwayHook(operator.runway_conn_id, patience=_FREE_PATIENCE)
                free.found_in = hook.found_in
                free.prepare(request)
                ready = inputs.uploaded(request, free, journal)
            if operator.min_credits is not None:
                _check_credits(operator.runway_conn_id, operator.min_credits)
            callback_url, recipient = calling.address_of(operator, hook, context, journal.digest)
            submission = journal.intend(time.time() + operator.timeout_seconds, recipient)
            runway_task_id = hook.submit(ready, callback_url=callback_url, patience=0)
        except RunwaySubmissionUnknownError as error:
            unknown += 1
            if submission is not None and submission.recipient is not None:
                operator.log.warning("%s", error)
                given = calling.answer_given_back(
                    operator, hook, journal, context, submission, request, unknown=unknown
                )
                if given:
                    return given
            if operator.on_unknown_submission != "resubmit" or unknown >= _MOST_SUBMISSIONS:
                raise
            operator.log.warning("Submitting again, because on_unknown_submission='resubmit'. %s", error)
            pause = pause_before_creation(unknown, None)
        except RunwayError as error:
            if submission is not None:
                journal.refused()
            refusals += 1
            pause = pause_before_creation(refusals, error.retry_after)
            # What comes before is free, and may be sent again whatever became of it.
            may_repeat = error.repeat_creation or (ready is None and error.repeat_lookup)
            if not may_repeat or time.time() + pause > give_up_at:
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
            operator.log.info("Submitted Runway task %s (%s)", runway_task_id, operator.model)
            submission = journal.accepted(submission, runway_task_id)
            results.count_submission(request)
            return submission
        time.sleep(pause)


def _check_credits(runway_conn_id: str, at_least: float) -> None:
    from airflow_provider_runway.hooks.runway import RunwayHook

    left = RunwayHook(runway_conn_id, patience=_FREE_PATIENCE).get_credits()
    if left < at_least:
        raise RunwayCreditsError(
            f"min_credits={at_least:g}: the account has {left:g} left. Nothing was submitted."
        )

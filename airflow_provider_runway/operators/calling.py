"""Asks kie.ai to call back, and gives a lost answer back: what called names the Runway task that was made."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_runway.api.requests import request_to_dict
from airflow_provider_runway.compat import CAN_BE_CALLED, conf
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayRequestError,
    RunwaySubmissionUnknownError,
    RunwayTaskNotFoundError,
    RunwayValidationError,
)
from airflow_provider_runway.operators.payer import AUTO, PayingOperator
from airflow_provider_runway.submissions.tokens import Recipient
from airflow_provider_runway.triggers import arrivals, deferral, results
from airflow_provider_runway.waiting.poller import GRACE
from airflow_provider_runway.waiting.schedule import long_done

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context
    from airflow_provider_runway.hooks.runway import RunwayHook
    from airflow_provider_runway.submissions.journal import SubmissionJournal
    from airflow_provider_runway.submissions.record import Submission

#: Seconds for which kie.ai may go on to call what did not answer.
_MARGIN = 60.0

#: Seconds between two looks whether kie.ai has called, where a worker waits for that.
_PAUSE = 5.0


def address_of(
    operator: PayingOperator, hook: RunwayHook, context: Context, digest: str
) -> tuple[str | None, str | None]:
    """
    Return where kie.ai is to call for a new submission, and as what that is noted; ``None`` for not.

    :param operator: The task.
    :param hook: The hook.
    :param context: The Airflow context.
    :param digest: The digest of the request.
    :raises RunwayValidationError: this Airflow has no address that kie.ai could call.
    """
    chosen, settings = operator.callback_url, hook.settings
    if chosen is None and settings.callback_base_url and CAN_BE_CALLED:
        chosen = AUTO
    if chosen != AUTO:
        return chosen or None, None
    base_url = settings.callback_base_url or conf.get("api", "base_url", fallback="") or ""
    if not base_url.startswith(("http://", "https://")):
        raise RunwayValidationError(
            f"callback_url='auto': [api] base_url={base_url!r} is no http or https URL; set it, or the extra "
            f"'callback_base_url' of connection {settings.conn_id!r}. Nothing was sent."
        )
    ti: Any = context["ti"]
    recipient = Recipient.of(UUID(str(ti.id)), digest)
    arrivals.make_room(context)
    return recipient.url(base_url, settings.conn_id, settings.api_key), recipient.name


def answer_given_back(
    operator: PayingOperator,
    hook: RunwayHook,
    journal: SubmissionJournal,
    context: Context,
    submission: Submission,
    request: RunwayRequest,
    *,
    unknown: int,
) -> Submission | None:
    """
    Return a submission whose answer was lost with the Runway task that kie.ai has called about since; waits
    for the call for as long as such a task takes. ``None`` where none came that can be believed.

    :param operator: The task.
    :param hook: The hook.
    :param journal: Its record.
    :param context: The Airflow context.
    :param submission: The submission.
    :param request: What the journal is about; where the submission was of another, the beginning of its
        prompt tells whether a task is the one.
    :param unknown: How many attempts nobody can know the fate of so far, this one included.
    :raises RunwayError: the task that was named cannot be looked up.
    :raises TaskDeferred: it waits in the triggerer, and goes on in ``answer_awaited``.
    """
    if submission.recipient is None:
        return None
    is_known = journal.is_for(submission)
    until = _call_expected_until(submission, request, hook)
    foreign: str | None = None
    while True:
        # An earlier try that was given up may have had its answer after all.
        answered = journal.answered(submission)
        if answered is not None:
            return answered
        error: RunwayError | None = None
        named = arrivals.arrival_for(context, journal.store, submission.recipient)
        if named is not None and named != foreign:
            try:
                task = hook.get_task(named, model=operator.model)
                if _is_answer(task, submission, request.prompt if is_known else None):
                    operator.log.info(
                        "kie.ai called: the submission without an answer is Runway task %s", named
                    )
                    if is_known:
                        results.count_submission(request)
                    return journal.accepted(submission, named)
                operator.log.warning(
                    "A call named Runway task %s, which is one of another prompt, so it is not believed.",
                    named,
                )
                foreign = named
            except RunwayAuthenticationError:
                raise
            except RunwayError as trouble:
                operator.log.warning("kie.ai called about Runway task %s, but: %s", named, trouble)
                if isinstance(trouble, RunwayTaskNotFoundError | RunwayRequestError):
                    # At first, kie.ai may not know a new one.
                    is_new = time.time() < submission.submitted_at + GRACE / hook.settings.speed
                    foreign = None if is_new else named
                else:
                    error = trouble
        if time.time() >= until:
            if error is not None:
                raise _unseen(error, named, journal)
            return None
        if operator.deferrable:
            operator.log.info("Waiting for kie.ai to call, which names the Runway task if there is one.")
            left = {
                "submission": asdict(submission),
                "unknown": unknown,
                "request": request_to_dict(request) if is_known else None,
            }
            # Where the trigger fails, Airflow forgets what the task was to go on with.
            context["ti"].xcom_push(key=results.UNANSWERED_KEY, value=left)
            deferral.await_answer(
                operator, recipient=submission.recipient, until=until, foreign=foreign, **left
            )
        time.sleep(_PAUSE / hook.settings.speed)


def _call_expected_until(submission: Submission, request: RunwayRequest, hook: RunwayHook) -> float:
    return submission.submitted_at + (long_done(request.kind) + _MARGIN) / hook.settings.speed


def _is_answer(task: RunwayTask, submission: Submission, prompt: str | None) -> bool:
    """Whether kie.ai itself says that a task is one of the prompt that was sent, as far as that is known."""
    said = task.prompt or ""
    return submission.has_prompt(said) if prompt is None else said.strip() == prompt.strip()


def _unseen(error: RunwayError, named: str | None, journal: SubmissionJournal) -> RunwayError:
    """Return the error for a task that kie.ai has called about, and that cannot be looked up to the last."""
    if journal.store is not None:
        # A retry asks again.
        return error
    return RunwaySubmissionUnknownError(
        f"The answer to the submission was lost, and kie.ai called about Runway task {named}, which cannot "
        f"be looked up ({error}). It may be this one, which is charged: give its ID to a RunwayTaskSensor or "
        "a RunwayDownloadOperator.",
        runway_task_id=named,
    )

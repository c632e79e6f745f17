"""Asks kie.ai for a callback, and recovers a lost response: the callback names the Runway task."""

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

#: Seconds for which kie.ai may retry a callback that got no response.
_MARGIN = 60.0

#: Seconds between two checks for a callback, where a worker waits for it.
_PAUSE = 5.0


def address_of(
    operator: PayingOperator, hook: RunwayHook, context: Context, digest: str
) -> tuple[str | None, str | None]:
    """
    Return the callback URL of a new submission, and the name under which it is noted; ``None`` for none.

    :param operator: The task.
    :param hook: The hook.
    :param context: The Airflow context.
    :param digest: The digest of the request.
    :raises RunwayValidationError: this Airflow has no URL that kie.ai could call.
    """
    chosen, settings = operator.callback_url, hook.settings
    if chosen is None and settings.callback_base_url and CAN_BE_CALLED:
        chosen = AUTO
    if chosen != AUTO:
        return chosen or None, None
    base_url = settings.callback_base_url or conf.get("api", "base_url", fallback="") or ""
    if not base_url.startswith(("http://", "https://")):
        raise RunwayValidationError(
            f"callback_url='auto': [api] base_url={base_url!r} is not an http or https URL; set it, or "
            f"the extra 'callback_base_url' of the connection {settings.conn_id!r}. Nothing was sent."
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
    Return a submission whose response was lost, with the Runway task that a callback has named since; wait
    for the callback for as long as such a task takes. ``None`` if none arrived that can be trusted.

    :param operator: The task.
    :param hook: The hook.
    :param journal: Its record.
    :param context: The Airflow context.
    :param submission: The submission.
    :param request: What the journal is about; if another request was submitted, the beginning of its prompt
        tells whether a task is the right one.
    :param unknown: How many attempts so far have an unknown fate, this one included.
    :raises RunwayError: the task that was named cannot be polled.
    :raises TaskDeferred: it waits in the triggerer, and continues in ``answer_awaited``.
    """
    if submission.recipient is None:
        return None
    is_known = journal.is_for(submission)
    until = _call_expected_until(submission, request, hook)
    foreign: str | None = None
    while True:
        # An earlier try that was given up may have got its response after all.
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
                        "kie.ai called back: the submission without a response is Runway task %s", named
                    )
                    if is_known:
                        results.count_submission(request)
                    return journal.accepted(submission, named)
                operator.log.warning(
                    "A callback named Runway task %s, which has a different prompt, so it is ignored.",
                    named,
                )
                foreign = named
            except RunwayAuthenticationError:
                raise
            except RunwayError as trouble:
                operator.log.warning("kie.ai called back about Runway task %s, but: %s", named, trouble)
                if isinstance(trouble, RunwayTaskNotFoundError | RunwayRequestError):
                    # kie.ai may not know a new one at first.
                    is_new = time.time() < submission.submitted_at + GRACE / hook.settings.speed
                    foreign = None if is_new else named
                else:
                    error = trouble
        if time.time() >= until:
            if error is not None:
                raise _unseen(error, named, journal)
            return None
        if operator.deferrable:
            operator.log.info("Waiting for kie.ai's callback, which names the Runway task if there is one.")
            left = {
                "submission": asdict(submission),
                "unknown": unknown,
                "request": request_to_dict(request) if is_known else None,
            }
            # If the trigger fails, Airflow forgets with what the task was to continue.
            context["ti"].xcom_push(key=results.UNANSWERED_KEY, value=left)
            deferral.await_answer(
                operator, recipient=submission.recipient, until=until, foreign=foreign, **left
            )
        time.sleep(_PAUSE / hook.settings.speed)


def _call_expected_until(submission: Submission, request: RunwayRequest, hook: RunwayHook) -> float:
    return submission.submitted_at + (long_done(request.kind) + _MARGIN) / hook.settings.speed


def _is_answer(task: RunwayTask, submission: Submission, prompt: str | None) -> bool:
    """Whether kie.ai itself says that a task has the prompt that was sent, as far as that is known."""
    said = task.prompt or ""
    return submission.has_prompt(said) if prompt is None else said.strip() == prompt.strip()


def _unseen(error: RunwayError, named: str | None, journal: SubmissionJournal) -> RunwayError:
    """Return the error for a task that a callback has named, and that could not be polled to the end."""
    if journal.store is not None:
        # A retry asks again.
        return error
    return RunwaySubmissionUnknownError(
        f"The response to the submission was lost, and kie.ai called back about Runway task {named}, which "
        f"cannot be polled ({error}). It may be the one that was submitted, and is charged: give its ID to a "
        "RunwayTaskSensor or a RunwayDownloadOperator.",
        runway_task_id=named,
    )

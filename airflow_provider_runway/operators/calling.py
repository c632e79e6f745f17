"""Asks kie.ai to call back, and gives a lost answer back: what called names the Runway task that was made."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_runway.api.requests import check_url
from airflow_provider_runway.compat import HAS_TABS, conf
from airflow_provider_runway.exceptions import (
    RunwayRequestError,
    RunwayTaskNotFoundError,
    RunwayValidationError,
)
from airflow_provider_runway.submissions.tokens import Recipient
from airflow_provider_runway.triggers import arrivals, deferral
from airflow_provider_runway.waiting.schedule import long_done

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest
    from airflow_provider_runway.compat import Context
    from airflow_provider_runway.hooks.runway import RunwayHook
    from airflow_provider_runway.operators.payer import PayingOperator
    from airflow_provider_runway.submissions.journal import Submission, SubmissionJournal

#: What asks for an address of this Airflow.
AUTO = "auto"

#: Seconds for which kie.ai may go on to call what did not answer.
_MARGIN = 60.0

#: Seconds between two looks whether kie.ai has called, where a worker waits for that.
_PAUSE = 5.0


def check_callback_url(value: str | None) -> None:
    """
    Refuse what is no address to call.

    :param value: The operator's ``callback_url``.
    :raises RunwayValidationError: it is neither a URL nor ``auto``, or this Airflow cannot be called.
    """
    if not value:
        return
    if value != AUTO:
        check_url("callback_url", value)
    elif not HAS_TABS:
        raise RunwayValidationError("callback_url='auto': needs Airflow 3.1 or later, which can be called.")


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
    if chosen is None and settings.callback_base_url and HAS_TABS:
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
    for the call for as long as such a task takes. ``None`` where none came.

    :param operator: The task.
    :param hook: The hook.
    :param journal: Its record.
    :param context: The Airflow context.
    :param submission: The submission.
    :param request: What was asked for.
    :param unknown: How many attempts nobody can know the fate of so far, this one included.
    :raises RunwayError: the task that was named cannot be looked up now.
    :raises TaskDeferred: it waits in the triggerer, and goes on in ``answer_awaited``.
    """
    if submission.recipient is None or submission.digest != journal.digest:
        return None
    until = _call_expected_until(submission, request, hook)
    while True:
        named = arrivals.arrival_for(context, journal.store, submission.recipient)
        if named is not None:
            return _believed(operator, hook, journal, submission, request, named)
        if time.time() >= until:
            return None
        if operator.deferrable:
            operator.log.info("Waiting for kie.ai to call, which names the Runway task if there is one.")
            deferral.await_answer(
                operator,
                recipient=submission.recipient,
                until=until,
                submission=asdict(submission),
                unknown=unknown,
            )
        time.sleep(_PAUSE / hook.settings.speed)


def _call_expected_until(submission: Submission, request: RunwayRequest, hook: RunwayHook) -> float:
    return submission.submitted_at + (long_done(request.kind) + _MARGIN) / hook.settings.speed


def _believed(
    operator: PayingOperator,
    hook: RunwayHook,
    journal: SubmissionJournal,
    submission: Submission,
    request: RunwayRequest,
    runway_task_id: str,
) -> Submission | None:
    """Return the submission with that task, once kie.ai itself says that it is one of the same prompt."""
    try:
        task = hook.get_task(runway_task_id, model=request.model)
    except (RunwayTaskNotFoundError, RunwayRequestError) as error:
        operator.log.warning("kie.ai called about Runway task %r, and knows none: %s", runway_task_id, error)
        return None
    if (task.prompt or "").strip() != request.prompt.strip():
        operator.log.warning(
            "A call named Runway task %s, which is one of another prompt, so it is not believed.",
            runway_task_id,
        )
        return None
    operator.log.info("kie.ai called: the submission without an answer is Runway task %s", runway_task_id)
    return journal.accepted(submission, runway_task_id)

"""How requests are repeated: exponential back-off, jitter, and never before the server's ``Retry-After``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tenacity

from airflow_provider_runway.exceptions import RunwayError
from airflow_provider_runway.waiting.backoff import backoff

#: Seconds for which a request that may be repeated is repeated.
PATIENCE = 120.0


def policy(
    may_repeat: Callable[[RunwayError], bool], patience: float, log: Callable[..., None]
) -> dict[str, Any]:
    """
    Return the arguments of tenacity's ``Retrying``, also of its asynchronous one.

    :param may_repeat: Tells whether a request that failed so may be repeated.
    :param patience: Seconds for which it is; 0 sends it once.
    :param log: Is told of each failure that is not the last.
    """
    pauses: dict[int, float] = {}

    def pause(retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.retry_after if isinstance(error, RunwayError) else None
        return pauses.setdefault(retry_state.attempt_number, backoff(retry_state.attempt_number, asked))

    # Airflow takes any tenacity from 8.0 on, which gives `retry_state` by this name; `stop_before_delay` and
    # `upcoming_sleep` came later.
    def would_take_too_long(retry_state: tenacity.RetryCallState) -> bool:
        return (retry_state.seconds_since_start or 0.0) + pause(retry_state) >= patience

    def say(retry_state: tenacity.RetryCallState) -> None:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        reason = error.message if isinstance(error, RunwayError) else ""
        log("%s Trying again in %.0f s.", reason, pause(retry_state))

    return {
        "retry": tenacity.retry_if_exception(lambda e: isinstance(e, RunwayError) and may_repeat(e)),
        "wait": pause,
        "stop": would_take_too_long,
        "before_sleep": say,
        "reraise": True,
    }

"""What is to be known of an operator that pays."""

from __future__ import annotations

from airflow_provider_runway.compat import BaseOperator


class PayingOperator(BaseOperator):
    """What is to be known of an operator that pays; :class:`RunwaySubmitOperator` says what each means."""

    model: str
    runway_conn_id: str
    deferrable: bool
    durable: bool
    resubmissions: int
    on_unknown_submission: str
    min_credits: float | None
    callback_url: str | None

    @property
    def timeout_seconds(self) -> float:
        """Seconds from the submission to the video."""
        raise NotImplementedError

"""Waits for the video of a Runway task: in a worker, rescheduled, or in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_runway.compat import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow_provider_runway.exceptions import (
    RunwayError,
    RunwaySensorTimeoutError,
    RunwayTaskNotFoundError,
    RunwayTimeoutError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.sensors import beginning
from airflow_provider_runway.triggers import deferral, direct_start, results
from airflow_provider_runway.waiting.arguments import SHORTEST_INTERVAL

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context, XComArg
    from airflow_provider_runway.waiting.ending import WaitEnd
    from airflow_provider_runway.waiting.poller import Poller

# What only a running task needs is imported there, so that a DAG file is parsed fast.

#: How often, and after how many seconds each time, kie.ai is asked again before it is believed that it has no
#: such task or no video, where nobody can tell what it said to the polls before.
_ASKED_AGAIN, _ASKED_AGAIN_AFTER = 2, 10.0


class RunwayTaskSensor(BaseSensorOperator):
    """
    Wait until a Runway task has its video.

    Returns the video URL and pushes the XComs ``video_url``, ``image_url``, ``video_id`` and (where known)
    ``credits_consumed``. A failed poll does not fail the sensor: it continues until ``timeout``, unless the
    API key is rejected or kie.ai does not know the task.

    :param runway_task_id: The Runway task ID that an operator returned. (templated)
    :param model: ``runway`` (generate, extend) or ``aleph``. (templated)
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`. (templated)
    :param deferrable: Wait in the triggerer, without a worker slot. From Airflow 3.3 on, the sensor also ends
        there, and an unmapped one starts there and needs no worker process at all, unless it has ``outlets``
        or uses something else that only a worker does. The default is ``[operators] default_deferrable``.
    :param poke_interval: Seconds between two polls, or a ``timedelta`` (less than a second counts as one);
        ``None`` adapts to the kind of task.
    :param timeout: Seconds from the start of the wait until the video is ready, or a ``timedelta``. As with
        every sensor, a timeout is not retried, and ``soft_fail`` turns it into a skip.
    :raises RunwaySensorTimeoutError: the deadline has passed; the generation continues and is charged.
    :raises RunwayTaskFailedError: the generation has failed; the subclasses say why.
    :raises RunwayTaskNotFoundError: kie.ai still does not know the ID 90 seconds after the first poll.
    :raises RunwayVideoExpiredError: it succeeded, but the video is deleted or never got a URL.
    :raises RunwayAuthenticationError: the API key is rejected.
    """

    template_fields: Sequence[str] = ("runway_task_id", "model", "runway_conn_id")
    ui_color = "#d9f2ec"
    # Airflow asks for both when it serializes the DAG: after cluster policies have had their say.
    start_trigger_args = direct_start.Computed(lambda sensor: sensor._direct_start(), default=None)
    start_from_trigger = direct_start.Computed(
        lambda sensor: sensor.start_trigger_args is not None, default=False
    )

    def __init__(
        self,
        *,
        runway_task_id: str | XComArg,
        model: str = "runway",
        runway_conn_id: str = "runway_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = 3600,
        **kwargs: Any,
    ) -> None:
        # Airflow wants a number in every sensor; poll_interval remembers that none was chosen.
        super().__init__(
            poke_interval=30 if poke_interval is None else poke_interval, timeout=timeout, **kwargs
        )
        self.runway_task_id: Any = runway_task_id
        self.model = model
        self.runway_conn_id = runway_conn_id
        self.deferrable = deferrable
        self.poll_interval = None if poke_interval is None else self.poke_interval
        self._poller: Poller | None = None
        self._found_in: dict[str, str] = {}
        self._was_rescheduled = False
        self._asks_again = False
        self._was_seen = False

    def _direct_start(self) -> StartTriggerArgs | None:
        # A class derived from this one may do more, in methods that only a worker calls.
        if not getattr(self, "deferrable", False) or type(self) is not RunwayTaskSensor:
            return None
        return direct_start.trigger_args(
            self,
            runway_task_id=self.runway_task_id,
            model=self.model,
            runway_conn_id=self.runway_conn_id,
            poll_interval=self.poll_interval,
        )

    def execute(self, context: Context) -> Any:
        """Wait as ``deferrable`` and ``mode`` say, and return the video URL."""
        with results.reporting(context):
            if not self.deferrable:
                try:
                    return super().execute(context)
                except RunwayError:
                    raise
                except AirflowSensorTimeout as error:
                    raise self._timed_out(str(error)) from error
            return self._look_or_defer(context)

    def _look_or_defer(self, context: Context) -> Any:
        try:
            found = self.poke(context)
        except (RunwayError, AirflowSensorTimeout) as error:
            # As where it is found later: by the base class, when the trigger has ended.
            self._fail(error)
        if found:
            return found.xcom_value
        started_at = beginning.start_of_wait(context, self.runway_task_id)
        return deferral.defer(
            self,
            runway_task_id=self.runway_task_id,
            model=self.model,
            runway_conn_id=self.runway_conn_id,
            poll_interval=self.poll_interval,
            started_at=started_at,
            end_time=started_at + self.timeout,
            returns="video_url",
            was_seen=self._poller is not None and self._poller.was_seen,
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """
        Poll once.

        :param context: The Airflow context.
        :raises RunwayError: there will be no video; the class says why.
        """
        from airflow_provider_runway.api.answers import check_lookup
        from airflow_provider_runway.waiting.poller import NO_VIDEO, UNKNOWN, Poller

        check_lookup(self.runway_task_id, self.model)
        if self._poller is None:
            started_at = beginning.start_of_try(context)
            self._was_rescheduled = beginning.first_reschedule(context) is not None
            met: dict[str, Any] | None = {"was_seen": self._was_seen}
            if self.reschedule:
                met = beginning.earlier_polls(context, self.runway_task_id)
                self._asks_again = met is None
            if met is None:
                # A missing connection is bounded by the timeout alone.
                met = {"since": dict.fromkeys((UNKNOWN, NO_VIDEO), started_at)}
            self._poller = Poller(
                runway_task_id=self.runway_task_id,
                model=self.model,
                end_time=started_at + self.timeout,
                started_at=started_at,
                poll_interval=self.poll_interval,
                **met,
            )
        before = self._poller.met()
        end = self._ask(self._poller)
        for _ in range(_ASKED_AGAIN if self._asks_again else 0):
            if end is None or not isinstance(end.error, RunwayTaskNotFoundError | RunwayVideoExpiredError):
                break
            time.sleep(_ASKED_AGAIN_AFTER / self._poller.speed)
            end = self._ask(self._poller)
        if self.reschedule and end is None and self._poller.met() != before:
            beginning.keep_polls(context, self.runway_task_id, self._poller.met())
        if end is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._finish(context, end))

    def _ask(self, poller: Poller) -> WaitEnd | None:
        """Ask for the task once, and return how that ends the wait, if it does."""
        from airflow_provider_runway.hooks.runway import RunwayHook

        try:
            hook = RunwayHook(self.runway_conn_id, patience=0)
            hook.found_in = self._found_in
            poller.speed = hook.settings.speed
            task = hook.get_task(self.runway_task_id, model=self.model)
        except RunwayError as error:
            end = poller.on_error(error, time.time())
        else:
            end = poller.on_task(task, time.time())
        if poller.news:
            self.log.info(poller.news)
        return end

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str | None:
        """
        Take the trigger's event, or poll because kie.ai has called.

        :param context: The Airflow context.
        :param event: The payload of the trigger's event.
        """
        from airflow_provider_runway.waiting.ending import WaitEnd

        if deferral.called(event):
            found: str | None = self._look_or_defer(context)
            return found

        end = WaitEnd.from_event(event)
        if isinstance(end.error, RunwayTimeoutError):
            # The trigger's own last poll may have failed, or have had no turn.
            task = deferral.last_look(self, self.runway_conn_id, self.runway_task_id, self.model)
            end = end if task is None else WaitEnd(task=task)
        return self._finish(context, end)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the deferral; where its trigger failed or vanished, poll once more before giving up."""
        with results.reporting(context):
            try:
                return self._resume(next_method, next_kwargs, context)
            except AirflowSkipException:
                raise
            except AirflowException as error:
                # Up to 3.1, the base class lets some errors pass though the sensor is to skip.
                self._fail(error)

    def _resume(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        if next_method == deferral.TRIGGER_FAILED:
            task = deferral.last_look(self, self.runway_conn_id, self.runway_task_id, self.model)
            if task is not None:
                from airflow_provider_runway.waiting.ending import WaitEnd

                return self._finish(context, WaitEnd(task=task))
        kwargs = dict(next_kwargs or {})
        if next_method == "execute_complete":
            # A class of one's own may have one that takes what every Airflow gives, and no more.
            self._was_seen = bool((kwargs.pop("wait", None) or {}).get("was_seen"))
        try:
            return super().resume_execution(next_method, kwargs, context)
        except (RunwayError, AirflowSkipException):
            raise
        except AirflowSensorTimeout as error:
            raise self._timed_out(str(error)) from error
        except AirflowException as error:
            if next_method != deferral.TRIGGER_FAILED:
                raise
            failed = deferral.trigger_failed(error, self.runway_task_id)
            if isinstance(failed, RunwayTimeoutError):
                raise self._timed_out(str(error)) from error
            raise failed from error

    def _finish(self, context: Context, end: WaitEnd) -> str | None:
        try:
            task: RunwayTask = end.result()
        except RunwayTimeoutError as error:
            raise RunwaySensorTimeoutError(error.message, runway_task_id=self.runway_task_id) from None
        results.push_result(context, task)
        return task.video_url

    def _timed_out(self, said: str) -> RunwaySensorTimeoutError:
        from airflow_provider_runway.waiting.ending import goes_on

        was_seen = self._poller is None or self._poller.was_seen
        return RunwaySensorTimeoutError(
            f"{said} {goes_on(self.runway_task_id, was_seen=was_seen)}", runway_task_id=self.runway_task_id
        )

    def _fail(self, error: Exception) -> NoReturn:
        if self.soft_fail or getattr(self, "never_fail", False):
            raise AirflowSkipException(f"Skipped because soft_fail or never_fail is set: {error}") from error
        raise error

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Any, poke_count: int
    ) -> float:
        if self._poller is None:
            return float(super()._get_next_poke_interval(started_at, run_duration, poke_count))
        now = time.time()
        if self.poll_interval is None and not self.exponential_backoff:
            interval = self._poller.next_delay(now)
        else:
            chosen: float = super()._get_next_poke_interval(started_at, run_duration, poke_count)
            interval = max(SHORTEST_INTERVAL, chosen)
            if self._poller.failures:
                interval = max(interval, self._poller.next_delay(now))
        plan = self._poller.plan(interval, now)
        if plan and not self._was_rescheduled:
            self.log.info(plan)
        return interval

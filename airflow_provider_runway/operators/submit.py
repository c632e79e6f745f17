"""What generate, extend and Aleph share: pay once, resume what is paid for, and wait if asked to."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.api.requests import RunwayRequest, request_from_dict
from airflow_provider_runway.compat import AirflowException, conf
from airflow_provider_runway.exceptions import RunwayError, RunwayTimeoutError, RunwayValidationError
from airflow_provider_runway.operators import failing, inputs, paying
from airflow_provider_runway.operators.keeping import KeepingOperator
from airflow_provider_runway.operators.payer import PayingOperator
from airflow_provider_runway.operators.place import check_place
from airflow_provider_runway.triggers import arrivals, deferral, results
from airflow_provider_runway.waiting.arguments import SHORTEST_INTERVAL, seconds

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Context, XComArg
    from airflow_provider_runway.hooks.runway import RunwayHook
    from airflow_provider_runway.submissions.journal import SubmissionJournal
    from airflow_provider_runway.submissions.record import Submission

# What only a running task needs is imported there, so that a DAG file is parsed fast.


class RunwaySubmitOperator(KeepingOperator, PayingOperator):
    """
    What generate, extend and Aleph share: submit once, and wait for the video if asked to.

    Returns the Runway task ID or, with ``path``, the path or URI of the file. As soon as it has submitted, it
    pushes the XComs ``runway_task_id``, ``runway_request`` (what was requested) and ``credits_consumed`` (the
    listed price). If it waits, it also pushes ``video_url``, ``image_url`` and ``video_id``, those that are
    known, and ``credits_consumed`` is what kie.ai reports; if it stores the video, also ``path``, ``size``
    (in bytes) and ``sha256``.

    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`. (templated)
    :param wait_for_completion: End when the video is ready, not when the Runway task is submitted.
    :param deferrable: Wait in the triggerer, without a worker slot, for the video and for kie.ai's rate
        limit; from Airflow 3.3 on, also end there. The default is ``[operators] default_deferrable``.
    :param path: Store the video in the same task, and end when it is stored: a local path or a URI like
        ``s3://connection@bucket/key.mp4``, or such a path object; one that ends with ``/`` is a folder, in
        which the file is named after the Runway task. Implies ``wait_for_completion``. A template that
        renders to nothing is an error before anything is paid for. (templated)
    :param overwrite: Replace an existing file at ``path``. Without it, the file of the same Runway task
        counts as stored, and any other is an error: before anything is paid for, if it can be known by then.
    :param manifest: Also store a manifest next to the video: what was requested, the IDs, times, credits,
        size and SHA-256, as a JSON file.
    :param thumbnail: Also store its first picture next to it.
    :param poll_interval: Seconds between two polls, or a ``timedelta`` (less than a second counts as one);
        ``None`` adapts to the kind of task.
    :param timeout: Seconds from the submission until the video is ready, more than 0 and at most a year, or a
        ``timedelta``; also the longest time for which a submission that kie.ai refuses for now is repeated.
    :param resubmissions: How often a Runway task that failed at kie.ai is paid for again, however many
        ``retries`` there are: by the retry, and again after a clear. A whole number; 0 means never.
    :param durable: A retry resumes the Runway task that an earlier try submitted, which needs Airflow 3.3 or
        ``[runway] state_path``. A clear submits again.
    :param on_unknown_submission: What to do if nobody can know whether kie.ai accepted the request: ``fail``
        with
        :class:`~airflow_provider_runway.exceptions.RunwaySubmissionUnknownError`, or ``resubmit`` at the risk
        of paying twice.
    :param min_credits: Fail before submitting if the account has fewer credits left; ``None`` does not check.
    :param callback_url: Where kie.ai sends its callback: a URL of your own; ``auto`` for a URL of this
        Airflow (3.1 or later), which wakes a deferred task and recovers a lost response; an empty text for
        none. ``None`` means ``auto`` if the connection has a ``callback_base_url``. (templated)
    :raises RunwayValidationError: when the task runs: a value breaks a rule, and nothing was sent.
    :raises RunwayCreditsError: the account has too few credits, or fewer than ``min_credits``.
    :raises RunwaySubmissionUnknownError: nobody can know whether kie.ai accepted the request.
    :raises RunwayTaskFailedError: it waited, and the generation has failed; the subclasses say why.
    :raises RunwayTimeoutError: it waited, and the deadline has passed.
    :raises RunwayStorageError: the storage did not accept the video.
    :raises FileNotFoundError: a file to upload does not exist (yet): the one error that is Python's own.
    :raises RunwayError: anything else; the class says what.
    """

    template_fields: Sequence[str] = ("runway_conn_id", "path", "callback_url")
    ui_color = "#e8e1f7"
    model = "runway"
    #: Where a later task stores the result, if that is to be checked before anything is paid for.
    later_path: Any = None
    _stores = False

    def __init__(
        self,
        *,
        runway_conn_id: str = "runway_default",
        wait_for_completion: bool = False,
        path: str | os.PathLike[str] | XComArg | None = None,
        overwrite: bool = False,
        manifest: bool = False,
        thumbnail: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta = 3600,
        resubmissions: int = 1,
        durable: bool = True,
        on_unknown_submission: str = "fail",
        min_credits: float | None = None,
        callback_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.runway_conn_id = runway_conn_id
        self.wait_for_completion = wait_for_completion
        self.path = path
        self.overwrite = overwrite
        self.manifest = manifest
        self.thumbnail = thumbnail
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.resubmissions = resubmissions
        self.durable = durable
        self.on_unknown_submission = on_unknown_submission
        self.min_credits = min_credits
        self.callback_url = callback_url

    @property
    def path(self) -> Any:
        """Where to store the video; that it was given is remembered, whatever its template renders to."""
        return self.__dict__.get("path")

    @path.setter
    def path(self, path: Any) -> None:
        self.__dict__["path"] = path
        if path is not None:
            self._stores = True

    @abstractmethod
    def build_request(self) -> RunwayRequest:
        """
        Return the request for the rendered arguments.

        :raises RunwayValidationError: a value breaks a rule of the API.
        """

    def execute(self, context: Context) -> str:
        """Submit or resume, wait if asked to, and return the Runway task ID, or the path of the file."""
        by_default = conf.getboolean("operators", "default_deferrable", fallback=False)
        if self.deferrable and not self._waits and not by_default:
            self.log.info(
                "deferrable=True does not wait for the video without wait_for_completion=True or a path: it "
                "only frees the worker slot if kie.ai's limits require a pause before the submission."
            )
        ti: Any = context["ti"]
        with self._reporting(context):
            return self._run(context, paying.Attempts(time.time()), may_begin=ti.try_number == 1)

    def submit_again(
        self,
        context: Context,
        event: Any = None,
        *,
        first_tried_at: float,
        refusals: int,
        unknown: int = 0,
    ) -> str:
        """
        Continue after a pause in the triggerer that kie.ai's rate limit or maintenance required.

        :param context: The Airflow context.
        :param event: The trigger's event, which carries no information.
        :param first_tried_at: When the first attempt was made, in epoch seconds.
        :param refusals: How many attempts have been refused since.
        :param unknown: How many attempts since then have an unknown fate.
        """
        with self._reporting(context):
            return self._run(context, paying.Attempts(first_tried_at, refusals, unknown))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """
        Take the trigger's event.

        :param context: The Airflow context.
        :param event: The payload of the trigger's event.
        :raises RunwayError: there will be no video; the class says why.
        """
        from airflow_provider_runway.waiting.ending import WaitEnd

        end = WaitEnd.from_event(event)
        with self._reporting(context):
            if isinstance(end.error, RunwayTimeoutError) and end.error.runway_task_id:
                # The trigger's own last poll may have failed, or have had no turn.
                task = deferral.last_look(self, self.runway_conn_id, end.error.runway_task_id, self.model)
                end = end if task is None else WaitEnd(task=task)
            return self._finish(context, end.result())

    def answer_awaited(
        self,
        context: Context,
        event: Any = None,
        *,
        submission: dict[str, Any],
        unknown: int,
        request: dict[str, Any] | None = None,
    ) -> str:
        """
        Continue with a submission whose response was lost, once kie.ai has called back or no longer will.

        :param context: The Airflow context.
        :param event: The trigger's event, of which nothing is trusted that kie.ai is not asked for.
        :param submission: The submission.
        :param unknown: How many attempts so far have an unknown fate.
        :param request: What was submitted; ``None`` if that is no longer known.
        """
        from airflow_provider_runway.hooks.runway import RunwayHook
        from airflow_provider_runway.submissions.record import Submission

        with self._reporting(context):
            lost, attempts = Submission(**submission), paying.Attempts(time.time(), unknown=unknown)
            asked = request_from_dict(request) if request else self.build_request()
            hook = RunwayHook(self.runway_conn_id)
            journal = paying.journal_of(self, context, asked)
            given = paying.recover(self, journal, hook, context, asked, lost, attempts)
            if given is None:
                return self._run(context, attempts, given_up=lost)
            ti: Any = context["ti"]
            if not journal.is_for(given) and given.try_number != ti.try_number:
                # The request of this try is another one.
                return self._run(context, attempts)
            return self._go_on(context, hook, journal, asked, given)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the deferral; if its trigger failed or vanished, poll once more before giving up."""
        if next_method == deferral.TRIGGER_FAILED:
            ti: Any = context["ti"]
            runway_task_id = ti.xcom_pull(
                task_ids=self.task_id, map_indexes=ti.map_index, key=results.TASK_ID_KEY
            )
            if runway_task_id:
                with self._reporting(context):
                    task = deferral.last_look(self, self.runway_conn_id, runway_task_id, self.model)
                    if task is not None:
                        return self._finish(context, task)
                    try:
                        return super().resume_execution(next_method, next_kwargs, context)
                    except AirflowException as error:
                        raise deferral.trigger_failed(error, runway_task_id) from error
            left = ti.xcom_pull(task_ids=self.task_id, map_indexes=ti.map_index, key=results.UNANSWERED_KEY)
            if left:
                self.log.warning("The wait for kie.ai's callback failed in the triggerer; continuing here.")
                self.deferrable = False
                return self.answer_awaited(context, **left)
        kwargs = dict(next_kwargs or {})
        if next_method == "execute_complete":
            # A class of one's own may have one that takes what every Airflow gives, and no more.
            wait = kwargs.pop("wait", None) or {}
            if deferral.called(kwargs.get("event")):
                kwargs["event"] = self._event_after_call(context, wait)
        return super().resume_execution(next_method, kwargs, context)

    def on_kill(self) -> None:
        """Log that the generation cannot be cancelled, and how to get its video."""
        runway_task_id = getattr(self, "_runway_task_id", None)
        if runway_task_id:
            from airflow_provider_runway.waiting.ending import cannot_be_cancelled

            self.log.warning(cannot_be_cancelled(runway_task_id))

    def _run(
        self,
        context: Context,
        attempts: paying.Attempts,
        *,
        may_begin: bool = False,
        given_up: Submission | None = None,
    ) -> str:
        """
        Take up what is paid for, or submit, and go on from there.

        :param context: The Airflow context.
        :param attempts: What became of the attempts to submit so far.
        :param may_begin: Whether the task instance surely has no record yet.
        :param given_up: A submission that nobody can know the fate of, and after which another is to be sent.
        """
        from airflow_provider_runway.hooks.runway import RunwayHook

        request = self.build_request()
        self.check_arguments()
        hook = RunwayHook(self.runway_conn_id)
        journal = paying.journal_of(self, context, request, may_begin=may_begin)
        submission, finished = None, None
        if given_up is None:
            submission, finished = paying.take_up(self, journal, hook, context, request)
        else:
            journal.resume(given_up)
        if submission is None:
            self._check_place(request)
            submission = paying.submit(self, journal, hook, request, attempts, context)
        return self._go_on(context, hook, journal, request, submission, finished)

    def _go_on(
        self,
        context: Context,
        hook: RunwayHook,
        journal: SubmissionJournal,
        request: RunwayRequest,
        submission: Submission,
        task: RunwayTask | None = None,
    ) -> str:
        """
        Go on with what is paid for: to the video, where that is waited for.

        :param context: The Airflow context.
        :param hook: The hook.
        :param journal: The record of the submission.
        :param request: What the journal is about.
        :param submission: The submission, with its Runway task ID.
        :param task: The Runway task, where it has ended.
        """
        asked = request if journal.is_for(submission) else None
        runway_task_id = self._runway_task_id = submission.runway_task_id or ""
        self._push_submission(context, asked, runway_task_id)
        if not self._waits:
            return runway_task_id
        if task is not None:
            return self._finish(context, task)
        # An earlier try has waited, or a callback was waited for: the deadline may have passed.
        submission = journal.extend(submission, self.timeout_seconds)
        kind = asked.kind if asked is not None else None
        poll_interval = seconds("poll_interval", self.poll_interval, at_least=SHORTEST_INTERVAL)
        if self.deferrable:
            recipient = submission.recipient
            if recipient and arrivals.arrival_for(context, journal.store, recipient) == runway_task_id:
                # It came before there was anybody to wake.
                task = deferral.look(self, self.runway_conn_id, runway_task_id, self.model)
                if task is not None:
                    return self._finish(context, task)
                recipient = None
            deferral.defer(
                self,
                runway_task_id=runway_task_id,
                model=self.model,
                runway_conn_id=self.runway_conn_id,
                poll_interval=poll_interval,
                started_at=submission.submitted_at,
                end_time=submission.end_time,
                returns=None if self._stores else "task_id",
                kind=kind,
                recipient=recipient,
                was_seen=True,
            )
        task = hook.wait_for_task(
            runway_task_id,
            model=self.model,
            poll_interval=poll_interval,
            timeout=submission.end_time - submission.submitted_at,
            started_at=submission.submitted_at,
            kind=kind,
        )
        return self._finish(context, task)

    def _event_after_call(self, context: Context, wait: dict[str, Any]) -> dict[str, Any]:
        """
        Poll, because kie.ai has called, and return the event of the wait's end; what it said is not believed.

        :param context: The Airflow context.
        :param wait: How to wait on, where nothing has ended.
        """
        from airflow_provider_runway.waiting.ending import WaitEnd

        ti: Any = context["ti"]
        runway_task_id = wait.get("runway_task_id") or ti.xcom_pull(
            task_ids=self.task_id, map_indexes=ti.map_index, key=results.TASK_ID_KEY
        )
        self._runway_task_id = runway_task_id
        try:
            task = deferral.look(self, self.runway_conn_id, runway_task_id, self.model)
        except RunwayError as error:
            return WaitEnd(error=error).to_event()
        if task is not None:
            return WaitEnd(task=task).to_event()
        now = time.time()
        return deferral.defer(
            self,
            runway_task_id=runway_task_id,
            model=self.model,
            runway_conn_id=self.runway_conn_id,
            poll_interval=wait.get("poll_interval"),
            started_at=wait.get("started_at", now),
            end_time=wait.get("end_time", now + self.timeout_seconds),
            returns=wait.get("returns"),
            kind=wait.get("kind"),
            was_seen=True,
        )

    @contextmanager
    def _reporting(self, context: Context) -> Iterator[None]:
        with results.reporting(context), failing.bounded(self, context), failing.naming_paid(self, context):
            yield

    @property
    def _waits(self) -> bool:
        return self.wait_for_completion or self._stores

    def _check_place(self, request: RunwayRequest) -> None:
        """
        Find out before anything is paid for that the video could not be stored.

        :param request: What is to be created.
        """
        paths = [self.path] if self._stores else []
        if "later_path" in self.template_fields:
            paths.append(self.later_path)
        for path in paths:
            check_place(
                path,
                overwrite=self.overwrite,
                manifest=self.manifest,
                thumbnail=self.thumbnail,
                inputs=inputs.files_of(request),
            )

    def check_arguments(self) -> None:
        """See :class:`PayingOperator`."""
        super().check_arguments()
        if self._stores:
            from airflow_provider_runway.files.naming import check_path

            check_path(self.path)

    def _push_submission(self, context: Context, request: RunwayRequest | None, runway_task_id: str) -> None:
        ti: Any = context["ti"]
        told: dict[str, Any] = {results.TASK_ID_KEY: runway_task_id}
        if request is not None:
            told = results.submission_of(request, runway_task_id)
        try:
            for key, value in told.items():
                ti.xcom_push(key=key, value=inputs.described(value) if isinstance(value, dict) else value)
        except Exception:
            # It is paid for, and the ID is noted: failing the try would not help.
            self.log.exception("Runway task %s: keep this ID; it cannot be pushed as an XCom", runway_task_id)

    def _finish(self, context: Context, task: RunwayTask) -> str:
        results.push_result(context, task)
        if not self._stores:
            return task.task_id
        from airflow_provider_runway.files.naming import check_path
        from airflow_provider_runway.hooks.runway import RunwayHook

        ti: Any = context["ti"]
        # What was submitted: by now, the arguments may render to something else.
        asked = ti.xcom_pull(task_ids=self.task_id, map_indexes=ti.map_index, key=results.REQUEST_KEY)
        try:
            kept = RunwayHook(self.runway_conn_id).keep_video(
                check_path(self.path),
                task=task,
                request=asked if isinstance(asked, dict) else None,
                overwrite=self.overwrite,
                manifest=self.manifest,
                thumbnail=self.thumbnail,
            )
        except RunwayValidationError as error:
            raise failing.charged(error, task.task_id) from None
        return self.announce(context, kept)

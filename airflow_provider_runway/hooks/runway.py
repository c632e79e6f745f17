"""The only place that talks HTTP to kie.ai: a hook for workers, and one for the triggerer's event loop."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import tenacity
from requests import Request, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL
from urllib3.exceptions import LocationValueError

from airflow_provider_runway.api import answers, values
from airflow_provider_runway.api.requests import NOTHING_SENT, RunwayRequest, check_url
from airflow_provider_runway.api.tasks import TaskState
from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayAuthenticationError,
    RunwayError,
    RunwayNotConnectedError,
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayUnreadableAnswerError,
    RunwayValidationError,
)
from airflow_provider_runway.files import storage
from airflow_provider_runway.hooks import bodies, transport
from airflow_provider_runway.hooks.asynchronous import RunwayAsyncHook
from airflow_provider_runway.hooks.connection import (
    DEFAULT_CONN_ID,
    READ_AGAIN_AFTER,
    USER_AGENT,
    RunwaySettings,
    load_settings,
)
from airflow_provider_runway.hooks.connection_form import form_behaviour, form_widgets
from airflow_provider_runway.hooks.keeping import KeepingHook
from airflow_provider_runway.hooks.repeating import PATIENCE, policy
from airflow_provider_runway.waiting.arguments import SHORTEST_INTERVAL, seconds
from airflow_provider_runway.waiting.poller import Poller

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.compat import Connection
    from airflow_provider_runway.files.kinds import Kind

__all__ = ["RunwayAsyncHook", "RunwayHook", "load_settings"]

T = TypeVar("T")

#: Seconds until a parent that is unknown is looked up again: a new task may be unknown for a moment.
_PARENT_AGAIN = 5.0

_NOUNS = {"runway": "a Runway video", "aleph": "an Aleph video"}


class RunwayHook(KeepingHook):
    """
    Call kie.ai from a worker.

    A status request is repeated on rate limits, server errors and broken responses; a submission only if it
    was certainly not accepted (no connection could be established, 429, 455). Both with exponential backoff
    and jitter, and never before the server's ``Retry-After``.

    :param runway_conn_id: The :ref:`connection <howto/connection:runway>` with the API key.
    :param patience: Seconds for which a request is repeated, if it may be; 0 sends each only once.
    """

    conn_name_attr = "runway_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "runway"
    hook_name = "Runway (kie.ai)"
    default_headers = {
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Accept-Encoding": bodies.ACCEPTED,
    }
    # Airflow before 3.2 asks the hook class for its connection form.
    get_ui_field_behaviour = staticmethod(form_behaviour)
    get_connection_form_widgets = staticmethod(form_widgets)

    def __init__(
        self, runway_conn_id: str = DEFAULT_CONN_ID, *, patience: float = PATIENCE, **kwargs: Any
    ) -> None:
        super().__init__(
            http_conn_id=runway_conn_id, auth_type=lambda: transport.BearerAuth(self.settings), **kwargs
        )
        self.runway_conn_id = runway_conn_id
        self.patience = patience
        #: The generation of the API in which each task was found, by Runway task ID.
        self.found_in: dict[str, str] = {}
        self._read_again_at = 0.0

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """
        Return the connection as the HTTP provider's hook is to see it: without the key and without extras of
        ours.

        :param conn_id: The connection's ID.
        """
        return load_settings(conn_id).http_connection()

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> Session:
        """
        Return a new session, which follows no redirect.

        :param headers: Further headers of each request.
        :param extra_options: Options of the HTTP provider's hook.
        """
        session = super().get_conn(headers, extra_options)
        # Also one that it is not to follow, `requests` would read to its end, however long that is unpacked.
        session.get_redirect_target = lambda response: None  # type: ignore[assignment]
        return session

    @cached_property
    def settings(self) -> RunwaySettings:
        """What the connection says, read and checked once."""
        return load_settings(self.runway_conn_id)

    @cached_property
    def _session(self) -> Session:
        return self.get_conn()

    def submit(
        self, request: RunwayRequest, *, callback_url: str | None = None, patience: float | None = None
    ) -> str:
        """
        Submit a request and return the Runway task ID. It costs credits and cannot be cancelled.

        :param request: What to make.
        :param callback_url: Where kie.ai reports the end.
        :param patience: Seconds for which it is repeated while it is certainly not accepted; ``None`` means
            the hook's own.
        :raises RunwaySubmissionUnknownError: there was no readable response: it may or may not have been
            accepted and charged.
        :raises RunwayError: it was refused; the class says why.
        """
        if callback_url:
            check_url("callback_url", callback_url)
        path, body = answers.DIALECTS[self._generation_for(request)].creation(request, callback_url or None)

        def create() -> str:
            # A connection of its own: one kept alive may be closed by the server just as the request is sent,
            # and nobody could tell whether it was taken. All sessions of a hook share its adapter, which
            # keeps the connections.
            try:
                session = self.get_conn()
            except RunwayError:
                raise
            except Exception as error:
                raise RunwayServerError(f"a session cannot be opened: {error}") from error
            with session:
                if self.adapter is None:
                    session.mount("http://", HTTPAdapter())
                    session.mount("https://", HTTPAdapter())
                return answers.read_created(*self._send("POST", path, session=session, json=body))

        asked = f"Creating {_NOUNS[request.model]} ({_shortened(request.prompt)!r})"
        try:
            return self._repeat(create, lambda error: error.repeat_creation, patience)
        except RunwayError as error:
            if not error.creation_unknown:
                # A generation that failed says itself what it cost.
                failed = isinstance(error, RunwayTaskFailedError)
                charged = "" if failed else " Nothing was charged, as far as kie.ai says."
                raise error.explain(after=f"{asked} has failed.{charged}") from None
            moment = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            raise RunwaySubmissionUnknownError(
                f"Nobody can tell whether kie.ai accepted the request and charged for it: {error.message}. "
                f"{asked} at {moment} had no clear answer, so it is not sent again. Look for it at "
                f"{LOGS_URL}: if it is there, give its task ID to a RunwayTaskSensor or a "
                "RunwayDownloadOperator; if not, clear this task to submit it again.",
                code=error.code,
            ) from error

    def prepare(self, request: RunwayRequest) -> None:
        """
        Find out, free of charge, what can be known of a request before it is sent: whether kie.ai can fetch
        the video to restyle, and whether there is a video to extend, and which generation of the API has made
        it.

        :param request: What is to be created.
        :raises RunwayValidationError: Aleph's source is no https URL (kie.ai's documentation wants one) and
            not on a host of this connection, such as a simulator's; or the parent has failed, or its video is
            deleted.
        :raises RunwayTaskNotFoundError: kie.ai does not know the parent, even when asked again.
        :raises RunwayError: kie.ai does not say now which generation has made the parent. The other one would
            take the extension, charge it and fail.
        """
        self._check_source(request)
        parent = getattr(request, "parent_task_id", None)
        if parent is None or parent in self.found_in:
            return
        try:
            task = self._look_up_parent(parent, request.model)
        except RunwayError as error:
            if isinstance(error, RunwayTaskNotFoundError):
                raise error.explain(after=f"parent_task_id={parent!r}: {NOTHING_SENT}") from None
            if error.repeat_lookup:
                raise error.explain(after="Nothing was submitted, and nothing was charged.") from None
            # kie.ai says itself what is wrong with the parent, if anything is; it is not asked for again.
            self.found_in[parent] = self.settings.api
            self.log.info("The status of the video to extend cannot be read: %s", error)
            return
        why = ""
        if task.state is TaskState.FAILED:
            code = "" if task.error_code is None else f" (code {task.error_code})"
            why = f"its generation failed: {values.one_line(task.error_message or 'no reason given')}{code}"
        elif task.expired:
            why = "kie.ai has deleted its video, as it does after 14 days"
        if why:
            # Who asks again is to be told again.
            self.found_in.pop(parent, None)
            raise RunwayValidationError(
                f"parent_task_id={parent!r}: there is no video to extend, since {why}. {NOTHING_SENT}"
            )

    def _look_up_parent(self, parent: str, model: str) -> RunwayTask:
        try:
            return self.get_task(parent, model=model)
        except RunwayTaskNotFoundError:
            tenacity.nap.sleep(_PARENT_AGAIN / self.settings.speed)
            return self.get_task(parent, model=model)

    def _check_source(self, request: RunwayRequest) -> None:
        source = urlsplit(getattr(request, "video_url", ""))
        own = (self.settings.base_url, self.settings.upload_host)
        if source.scheme == "http" and source.hostname not in {urlsplit(url).hostname for url in own}:
            raise RunwayValidationError(
                f"video_url={source._replace(query='').geturl()!r}: must be a public https URL, since kie.ai "
                "fetches no other. Nothing was sent."
            )

    def get_task(self, runway_task_id: str, *, model: str = "runway") -> RunwayTask:
        """
        Return the status of a task, without waiting for it.

        :param runway_task_id: The Runway task ID.
        :param model: ``runway`` (generate, extend) or ``aleph``.
        :raises RunwayTaskNotFoundError: kie.ai does not know the ID; for a new one, this may last about 90 s.
        :raises RunwayError: the status request failed; the class says why.
        """
        return self._repeat(lambda: self._look_up(runway_task_id, model), lambda error: error.repeat_lookup)

    def wait_for_task(
        self,
        runway_task_id: str,
        *,
        model: str = "runway",
        poll_interval: float | None = None,
        timeout: float = 3600.0,
        started_at: float | None = None,
        kind: str | None = None,
    ) -> RunwayTask:
        """
        Wait in this process until a task has its video, and return it.

        :param runway_task_id: The Runway task ID.
        :param model: ``runway`` (generate, extend) or ``aleph``.
        :param poll_interval: Seconds between two polls, at least 1; ``None`` adapts to the kind of task.
        :param timeout: Seconds from ``started_at`` until the video is ready.
        :param started_at: When the task was submitted or the wait began, epoch seconds; ``None`` means now.
        :param kind: The request's ``kind``, if ``started_at`` is the time of the submission.
        :raises RunwayValidationError: a value is invalid.
        :raises RunwayTimeoutError: the deadline passed; the generation continues and is charged.
        :raises RunwayError: there will be no video; the class says why.
        """
        answers.check_lookup(runway_task_id, model)
        poll_interval = seconds("poll_interval", poll_interval, at_least=SHORTEST_INTERVAL)
        longest = seconds("timeout", timeout)
        if longest is None:
            raise RunwayValidationError("timeout=None: must be a positive number of seconds, or a timedelta.")
        started_at = time.time() if started_at is None else started_at
        poller = Poller(
            runway_task_id=runway_task_id,
            model=model,
            end_time=started_at + longest,
            started_at=started_at,
            poll_interval=poll_interval,
            kind=kind,
            speed=self.settings.speed,
        )
        while True:
            delay = poller.next_delay(time.time())
            if plan := poller.plan(delay, time.time()):
                self.log.info(plan)
            time.sleep(delay)
            try:
                task = self._look_up(runway_task_id, model)
            except RunwayError as error:
                end = poller.on_error(error, time.time())
                if end is None and self._is_outdated(failing=True):
                    poller.speed = self.settings.speed
            else:
                end = poller.on_task(task, time.time())
            if poller.news:
                self.log.info(poller.news)
            if end is None:
                continue
            # The key may have been changed while this waited, even to another account's.
            of_the_key = isinstance(end.error, RunwayAuthenticationError | RunwayTaskNotFoundError)
            if not (of_the_key and self._is_outdated()):
                return end.result()
            poller.begin_anew()

    def get_credits(self) -> float:
        """
        Return the account's remaining credits (1 credit is $0.005). This is free.

        :raises RunwayError: the status request failed; the class says why.
        """
        return self._repeat(
            lambda: answers.read_credits(*self._send("GET", answers.CREDITS_PATH)),
            lambda error: error.repeat_lookup,
        )

    def get_download_url(self, video_url: str) -> str:
        """
        Return a URL, valid for 20 minutes, from which a browser can download a result.

        :param video_url: The URL of a result from kie.ai; any other is refused.
        :raises RunwayError: it was refused; the class says why.
        """
        body = {"url": check_url("video_url", video_url)}
        try:
            return self._repeat(
                lambda: answers.read_download_url(*self._send("POST", answers.DOWNLOAD_URL_PATH, json=body)),
                lambda error: error.repeat_lookup,
            )
        except RunwayError as error:
            of = video_url.partition("?")[0]
            raise error.explain(after=f"That was asked for a download URL of {of}.") from None

    def upload_file(self, path: str | os.PathLike[str]) -> str:
        """
        Upload a picture or a video, streamed, and return its public URL, which is valid for 3 days.

        :param path: A local path, or a URI like ``s3://connection@bucket/key.png``: a JPEG, PNG, WebP or
            MP4 of at most 10 MB.
        :raises FileNotFoundError: there is no such file.
        :raises RunwayValidationError: it is of another kind, or too large; nothing was sent.
        :raises RunwayError: it was refused; the class says why.
        """
        from requests_toolbelt import MultipartEncoder

        def send() -> str:
            with storage.Upload(str(path)) as upload:
                upload.check()
                kind = cast("Kind", upload.kind)
                # The same name would overwrite another upload.
                name = f"{uuid.uuid4().hex}{kind.ending}"
                form = MultipartEncoder(
                    {"uploadPath": "airflow", "fileName": name, "file": (name, upload, kind.media_type)}
                )
                answer = self._send(
                    "POST",
                    answers.UPLOAD_PATH,
                    base_url=self.settings.upload_host,
                    data=form,
                    headers={"Content-Type": form.content_type},
                )
            return answers.read_upload(*answer)

        try:
            # An upload costs nothing and its name is its own: it can be repeated like a status request.
            return self._repeat(send, lambda error: error.repeat_lookup)
        except RunwayError as error:
            raise error.explain(after=f"Uploading {path} has failed.") from None

    def test_connection(self) -> tuple[bool, str]:
        """
        Read the remaining credits, which is free, and return whether the connection works. It counts as not
        working if it has an unknown extra.
        """
        patience, self.patience = self.patience, 0.0
        try:
            works = f"The API key works: {self.get_credits():g} credits left."
            strange = self.settings.strange_extras()
            return (False, f"{strange} {works}") if strange else (True, works)
        except Exception as error:
            return False, str(error)
        finally:
            self.patience = patience

    def _is_outdated(self, *, failing: bool = False) -> bool:
        """
        Return whether the connection has changed; if so, it is read anew from here on.

        :param failing: Polls fail, but the key is not rejected: then a new key alone is no change, and the
            connection is read at most once a minute.
        """
        if failing:
            if time.monotonic() < self._read_again_at:
                return False
            self._read_again_at = time.monotonic() + READ_AGAIN_AFTER
        try:
            settings = load_settings(self.runway_conn_id)
        except RunwayError:
            return False
        if settings == self.settings or (failing and not self.settings.is_mended(settings)):
            return False
        self.settings = settings
        if session := self.__dict__.pop("_session", None):
            session.close()
        return True

    def _look_up(self, runway_task_id: str, model: str) -> RunwayTask:
        answers.check_lookup(runway_task_id, model)
        search = answers.Search(self.settings.api, self.found_in.pop(runway_task_id, None))
        try:
            for api in search:
                try:
                    task = answers.read_task(
                        answers.DIALECTS[api],
                        *self._send(
                            "GET", answers.DIALECTS[api].lookup(model), params={"taskId": runway_task_id}
                        ),
                        runway_task_id=runway_task_id,
                        model=model,
                    )
                except RunwayError as error:
                    search.failed(error)
                else:
                    self.found_in[runway_task_id] = api
                    return task
            raise search.result()
        except RunwayError as error:
            raise answers.explain_lookup(error, runway_task_id) from None

    def _generation_for(self, request: RunwayRequest) -> str:
        self.prepare(request)
        return self.found_in.get(getattr(request, "parent_task_id", ""), self.settings.api)

    def _send(
        self,
        method: str,
        path: str,
        *,
        base_url: str | None = None,
        session: Session | None = None,
        **kwargs: Any,
    ) -> tuple[int, bytes, str | None]:
        session = session or self._session
        url = f"{base_url}{path}" if base_url else self.url_from_endpoint(path)
        try:
            request = session.prepare_request(Request(method, url, **kwargs))
            options = session.merge_environment_settings(
                request.url, stream=True, **transport.connection_first(session)
            )
        except Exception as error:
            raise self._not_sent(error) from error
        try:
            # A redirect is no answer of kie.ai, and following one could carry the key elsewhere.
            with session.send(
                request, timeout=self.settings.timeout, allow_redirects=False, **options
            ) as response:
                body = self.settings.redact(transport.bounded_body(response))
                return response.status_code, body, response.headers.get("Retry-After")
        except RunwayError:
            raise
        except (InvalidURL, InvalidSchema, LocationValueError) as error:
            # requests itself finds fault with a URL or a proxy's, before it sends anything.
            raise self._not_sent(error) from error
        # Whatever it is, such as the ValueError of a redirect to nowhere: it may have been carried out.
        except Exception as error:
            said = transport.without_passwords(str(error)) + transport.hint(error)
            if transport.was_never_connected(error):
                raise RunwayNotConnectedError(
                    f"no connection to {base_url or self.base_url}: {said}"
                ) from error
            raise RunwayUnreadableAnswerError(
                f"no answer from {base_url or self.base_url}: {said}"
            ) from error

    def _not_sent(self, error: Exception) -> RunwayValidationError:
        said = transport.without_passwords(str(error))
        return RunwayValidationError(f"Connection {self.runway_conn_id!r}: {said}. Nothing was sent.")

    def _repeat(
        self,
        attempt: Callable[[], T],
        may_repeat: Callable[[RunwayError], bool],
        patience: float | None = None,
    ) -> T:
        patience = self.patience if patience is None else patience
        # A connection that is not there is not waited for.
        _ = self.settings
        retrying = tenacity.Retrying(**policy(may_repeat, patience, self.log.warning))
        return retrying(attempt)


def _shortened(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"

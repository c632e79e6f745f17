"""The hook of the triggerer's event loop: status requests, and nothing else."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NoReturn

import tenacity
from airflow.providers.http.hooks.http import HttpAsyncHook

from airflow_provider_runway.api import answers
from airflow_provider_runway.hooks.connection import DEFAULT_CONN_ID, load_settings
from airflow_provider_runway.hooks.repeating import PATIENCE, policy

if TYPE_CHECKING:
    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.hooks.sessions import RunwaySession


class RunwayAsyncHook(HttpAsyncHook):
    """
    Get the status of tasks from an event loop. All hooks of one loop and connection share one session.

    :param runway_conn_id: The :ref:`connection <howto/connection:runway>` with the API key.
    :param patience: Seconds for which a status request is repeated on rate limits, server errors and broken
        responses; 0 sends it once.
    """

    conn_name_attr = "runway_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "runway"
    hook_name = "Runway (kie.ai)"

    def __init__(self, runway_conn_id: str = DEFAULT_CONN_ID, *, patience: float = PATIENCE) -> None:
        super().__init__(method="GET", http_conn_id=runway_conn_id)
        self.runway_conn_id = runway_conn_id
        self.patience = patience

    def shared_session(self) -> AbstractAsyncContextManager[RunwaySession]:
        """Return an asynchronous context manager that yields the shared session."""
        from airflow_provider_runway.hooks.sessions import shared_session

        return shared_session(self.runway_conn_id, load_settings)

    async def is_outdated(self, session: RunwaySession, *, failing: bool = False) -> bool:
        """
        Return whether the connection has changed since a session was opened, so that a new one may do better.

        :param session: The session.
        :param failing: Polls fail, but the key is not rejected: then a new key alone is no change, and the
            connection is read at most once a minute for all who share the session.
        """
        from airflow_provider_runway.hooks import sessions

        return await sessions.is_outdated(session, load_settings, failing=failing)

    async def config(self) -> NoReturn:
        """Refuse: the HTTP provider's hook would send the connection's extras as headers."""
        raise NotImplementedError("RunwayAsyncHook sends only status requests: await its get_task().")

    async def run(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: the HTTP provider's hook would send the connection's extras as headers."""
        await self.config()

    def session(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: the HTTP provider's hook would send the connection's extras as headers."""
        raise NotImplementedError("RunwayAsyncHook sends only status requests: use its shared_session().")

    async def get_task(self, runway_task_id: str, *, model: str = "runway") -> RunwayTask:
        """
        Return the status of a task, without waiting for it.

        :param runway_task_id: The Runway task ID.
        :param model: ``runway`` (generate, extend) or ``aleph``.
        :raises RunwayTaskNotFoundError: kie.ai does not know the ID; for a new one, this may last about 90 s.
        :raises RunwayError: the status request failed; the class says why.
        """
        answers.check_lookup(runway_task_id, model)
        async with self.shared_session() as session:
            retrying = tenacity.AsyncRetrying(
                **policy(lambda error: error.repeat_lookup, self.patience, self.log.warning)
            )
            return await retrying(session.look_up, runway_task_id, model)

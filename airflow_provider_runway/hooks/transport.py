"""What the worker's hook adds to ``requests``: the key, and whether a request was ever sent."""

from __future__ import annotations

import ssl
from typing import Any

from requests import PreparedRequest, Session
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ConnectTimeout
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, SSLError

from airflow_provider_runway.hooks.connection import RunwaySettings


class BearerAuth:
    """Adds the API key to a request; its ``repr`` does not show it."""

    def __init__(self, settings: RunwaySettings) -> None:
        self._settings = settings

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._settings.api_key}"
        return request


def connection_first(session: Session) -> dict[str, Any]:
    """
    Return what to give to each request so that the connection's settings come before the environment's.

    :param session: The session, as the connection configured it.
    """
    # A session's own proxies and certificates yield to the environment's; a request's own do not.
    return {"proxies": dict(session.proxies), "verify": session.verify}


def was_never_connected(error: Exception) -> bool:
    """
    Return whether a request surely was not sent, because no connection came about.

    :param error: What ``requests`` raised.
    """
    if isinstance(error, ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, ProxyError):
        # That alone says little: it also stands for an answer that was lost on its way through the proxy.
        reason = reason.original_error
        if isinstance(reason, OSError) and str(reason).startswith("Tunnel connection failed"):
            return True
    if isinstance(reason, SSLError):
        # Nothing is sent before the certificate is found good; other troubles of TLS can come later.
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(error, RequestsConnectionError) and isinstance(
        reason, ConnectTimeoutError | NewConnectionError
    )

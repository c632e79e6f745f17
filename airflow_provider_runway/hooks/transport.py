"""What the worker's hook adds to ``requests``: the key, bounded answers, whether a request was ever sent."""

from __future__ import annotations

import re
import ssl
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ConnectTimeout
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, SSLError

from airflow_provider_runway.hooks import bodies
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
    cert: Any = session.cert
    # A session's own proxies and certificates yield to the environment's; a request's own do not. The pair of
    # a client certificate went through JSON, and `requests` takes no list for it.
    return {
        "proxies": dict(session.proxies),
        "verify": session.verify,
        "cert": tuple(cert) if isinstance(cert, list) else cert,
    }


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


def bounded_body(response: Response) -> bytes:
    """
    Return the body of an answer.

    :param response: A streamed answer, of which nothing was read yet.
    :raises RunwayUnreadableAnswerError: it is too long, or cannot be unpacked.
    """
    body = b""
    # A redirect is no answer of kie.ai, whatever its body says.
    if response.is_redirect:
        return body
    # To its end, so that the connection can be used again and a short body is noticed.
    while piece := response.raw.read(bodies.LONGEST + 1 - len(body), decode_content=False):
        body += piece
        if len(body) > bodies.LONGEST:
            raise bodies.too_long()
    return bodies.unpacked(body, response.headers.get("Content-Encoding"))


def hint(error: Exception) -> str:
    """
    Return what to do about a server that does not speak TLS; empty where that is not the trouble.

    :param error: Why there is no answer.
    """
    # OpenSSL's words for an answer in plain HTTP, in its versions.
    plain = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "UNKNOWN_PROTOCOL")
    if any(words in str(error) for words in plain):
        return ". The server does not speak TLS: the address may want http:// instead of https://"
    return ""


def without_passwords(text: str) -> str:
    """
    Return a text without the users and passwords in its URLs.

    :param text: What a library says of a request.
    """
    return re.sub(r"//[^/\s]*@", "//***@", text)

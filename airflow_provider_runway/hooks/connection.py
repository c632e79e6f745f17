"""What a connection of type ``runway`` says: the key, the hosts, the time-outs, and how to speak TLS."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from airflow_provider_runway import __version__
from airflow_provider_runway.api import values
from airflow_provider_runway.api.answers import DIALECTS
from airflow_provider_runway.compat import AirflowNotFoundException, Connection, get_connection, mask_secret
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayConnectionNotFoundError,
    RunwayServerError,
    RunwayValidationError,
)

if TYPE_CHECKING:
    import ssl

DEFAULT_CONN_ID = "runway_default"
DEFAULT_HOST = "https://api.kie.ai"
DEFAULT_UPLOAD_HOST = "https://kieai.redpandaai.co"
USER_AGENT = f"airflow-provider-runway/{__version__}"
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
MAX_LOOKUPS_PER_SECOND = 500.0

#: Seconds between two readings of a connection while polls fail: it may have been mended meanwhile.
READ_AGAIN_AFTER = 60.0


@dataclass(frozen=True)
class RunwaySettings:
    """
    A connection, read and checked.

    :param conn_id: The connection's ID.
    :param api_key: The API key.
    :param base_url: Scheme and host of the API, without a slash at the end.
    :param api: ``dedicated`` or ``market``.
    :param upload_host: Scheme and host of the upload service.
    :param timeout: Seconds to connect, seconds to wait for data.
    :param max_lookups_per_second: At most this many polls per second from one triggerer; 0 means no limit.
    :param speed: How many times as fast as kie.ai the service is that the host leads to, a simulator.
    :param allow_private_hosts: Whether videos may come from private addresses, besides the hosts named here.
    :param callback_base_url: Where kie.ai reaches Airflow's API server; if set, callbacks are requested.
    :param webhook_hmac_key: The account's webhook key, with which kie.ai signs callbacks.
    :param callback_wake: What ends a wait when a callback arrives: a ``worker``, or the ``trigger``.
    :param http_extras: The extras meant for the HTTP provider's hooks.
    :param unknown_extras: The names of unknown extras.
    """

    conn_id: str
    api_key: str = field(repr=False)
    base_url: str = DEFAULT_HOST
    api: str = "dedicated"
    upload_host: str = DEFAULT_UPLOAD_HOST
    timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)
    max_lookups_per_second: float = MAX_LOOKUPS_PER_SECOND
    speed: float = 1.0
    allow_private_hosts: bool = False
    callback_base_url: str | None = None
    webhook_hmac_key: str | None = field(default=None, repr=False)
    callback_wake: str = "worker"
    http_extras: dict[str, Any] = field(default_factory=dict, repr=False)
    unknown_extras: tuple[str, ...] = ()

    @classmethod
    def from_connection(cls, connection: Any) -> RunwaySettings:
        """
        Read a connection.

        :param connection: The Airflow connection.
        :raises RunwayAuthenticationError: there is no key, or it contains characters that no key has.
        :raises RunwayValidationError: another field has an invalid value.
        """
        conn_id = connection.conn_id
        extras = connection.extra_dejson
        if not isinstance(extras, dict):
            # Not shown: it may hold the webhook key.
            raise RunwayValidationError(f"Connection {conn_id!r}, extra: must be a JSON object.")
        webhook_hmac_key = extras.get("webhook_hmac_key") or None
        if webhook_hmac_key is not None and not isinstance(webhook_hmac_key, str):
            # Not shown.
            raise RunwayValidationError(
                f"Connection {conn_id!r}, extra 'webhook_hmac_key': must be a text; it is a "
                f"{type(webhook_hmac_key).__name__}."
            )
        if webhook_hmac_key:
            mask_secret(webhook_hmac_key)
        callback_base_url = extras.get("callback_base_url") or None
        callback_wake = extras.get("callback_wake") or "worker"
        if callback_wake not in ("worker", "trigger"):
            raise RunwayValidationError(
                _wrong(conn_id, "extra 'callback_wake'", callback_wake, "must be 'worker' or 'trigger'")
            )
        api = extras.get("api") or "dedicated"
        if not isinstance(api, str) or api not in DIALECTS:
            raise RunwayValidationError(
                _wrong(conn_id, "extra 'api'", api, "must be 'dedicated' or 'market'")
            )
        return cls(
            conn_id=conn_id,
            api_key=_api_key(conn_id, connection.password),
            base_url=_base_url(conn_id, connection),
            api=api,
            upload_host=_http_url(
                conn_id, "extra 'upload_host'", extras.get("upload_host") or DEFAULT_UPLOAD_HOST
            ),
            timeout=_timeout(conn_id, extras.get("timeout")),
            max_lookups_per_second=_rate(conn_id, extras.get("max_lookups_per_second")),
            speed=_speed(conn_id, extras.get("speed")),
            allow_private_hosts=_allowance(conn_id, extras.get("allow_private_hosts")),
            callback_base_url=callback_base_url
            and _http_url(conn_id, "extra 'callback_base_url'", callback_base_url),
            webhook_hmac_key=webhook_hmac_key,
            callback_wake=callback_wake,
            http_extras=_http_extras(conn_id, extras),
            unknown_extras=tuple(sorted(map(str, extras.keys() - _EXTRAS))),
        )

    @property
    def verify(self) -> bool | str:
        """Whether to check certificates, or the path of the authorities' file."""
        value: bool | str = self.http_extras.get("verify", self.http_extras.get("verify_ssl", True))
        return value

    def is_mended(self, found: RunwaySettings) -> bool:
        """
        Return whether the connection has changed in more than its key.

        A new key may be another account's, which does not know the tasks of this one: it is taken up where
        kie.ai rejects the old one.

        :param found: What the connection says now.
        """
        return replace(found, api_key=self.api_key) != self

    def redact(self, body: bytes) -> bytes:
        """
        Return an answer without the API key, should the server have repeated it.

        :param body: The answer as it came.
        """
        for form in self._key_in_answers:
            body = body.replace(form, b"***")
        return body

    @cached_property
    def _key_in_answers(self) -> tuple[bytes, ...]:
        # A test's key can be a common word; replacing it everywhere would spoil the answer's URLs.
        if len(self.api_key) < 8 or self.api_key in self.base_url:
            return ()
        # As it is, and escaped where JSON needs that; usually they are the same.
        return tuple({self.api_key.encode(), json.dumps(self.api_key)[1:-1].encode()})

    def proxy_for(self, url: str) -> str | None:
        """
        Return the proxy for a URL, from the extras or (unless ``trust_env`` is off) the environment; ``None``
        means none.

        :param url: The URL that is to be asked for.
        """
        from requests.utils import get_environ_proxies, select_proxy

        proxies = dict(self.http_extras.get("proxies", self.http_extras.get("proxy")) or {})
        if self.http_extras.get("trust_env", True):
            # As `requests` does in a worker: what the connection does not name comes from the environment.
            environment = get_environ_proxies(url, no_proxy=proxies.get("no_proxy"))
            proxies = {**environment, **proxies}
        proxy = select_proxy(url, proxies)
        if not proxy:
            return None
        # One without a scheme is common, and means http.
        return proxy if "://" in proxy else f"http://{proxy}"

    def ssl_context(self) -> ssl.SSLContext:
        """Return what to speak TLS with: the synchronous hook's trust and certificate. Reads files."""
        import ssl

        if self.verify is False:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            _, trusted = self._authorities()
            if trusted is None:
                import certifi

                trusted = certifi.where()
            is_folder = os.path.isdir(trusted)
            context = ssl.create_default_context(
                cafile=None if is_folder else trusted, capath=trusted if is_folder else None
            )
        cert = self.http_extras.get("cert")
        if cert:
            context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
        return context

    def _authorities(self) -> tuple[str, str | None]:
        """Return where the file of trusted authorities is set, and its path if there is one of the user's."""
        if self.verify is False:
            return "", None
        if isinstance(self.verify, str):
            name = "verify" if "verify" in self.http_extras else "verify_ssl"
            return f"connection {self.conn_id!r}, extra {name!r}", self.verify
        if self.http_extras.get("trust_env", True):
            for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                if path := os.environ.get(name):
                    return f"environment variable {name}", path
        return "", None

    def check_certificates(self) -> None:
        """
        Read the certificates, where they are not the usual ones, before any request needs them.

        :raises RunwayValidationError: a file cannot be used.
        """
        where, trusted = self._authorities()
        cert = self.http_extras.get("cert")
        if not (trusted or cert):
            return
        import ssl

        try:
            self.ssl_context()
        except (OSError, ssl.SSLError) as error:
            named = [f"{where}: {trusted!r}"] if trusted else []
            named += [f"connection {self.conn_id!r}, extra 'cert': {cert!r}"] if cert else []
            raise RunwayValidationError(
                f"{', or '.join(named)}: must be a readable file of certificates ({error}). Nothing was sent."
            ) from None

    def check_proxies(self) -> None:
        """
        Read the proxies that the connection or the environment names, before any request needs them.

        :raises RunwayValidationError: one that is no http or https proxy; its password is not shown.
        """
        by_extra = next((name for name in ("proxies", "proxy") if self.http_extras.get(name)), None)
        what = f"extra {by_extra!r}" if by_extra else "proxy of the environment"
        for url in (self.base_url, self.upload_host):
            proxy = self.proxy_for(url)
            if proxy is None:
                continue
            try:
                parts = urlsplit(proxy)
                good = _is_host(parts.hostname) and parts.port != 0 and not any(map(str.isspace, proxy))
            except ValueError:
                good = False
            if not good:
                raise RunwayValidationError(_wrong(self.conn_id, what, proxy, _PROXY_RULE))
            if parts.scheme not in ("http", "https"):
                # A worker might speak SOCKS; the triggerer does not.
                rule = "must be an http or https proxy; those of other kinds, such as SOCKS, cannot be used"
                raise RunwayValidationError(_wrong(self.conn_id, what, proxy, rule))

    def strange_extras(self) -> str:
        """Return what to say of extras that nobody knows; empty where there are none."""
        said = []
        for name in self.unknown_extras:
            near = get_close_matches(name, _EXTRAS, n=1)
            meant = f"; {near[0]!r} may be meant" if near else ""
            said.append(f"Connection {self.conn_id!r} has the extra {name!r}, which nobody knows{meant}.")
        return " ".join(said)

    def http_connection(self) -> Connection:
        """Return a connection for the HTTP provider's hook, without what it would send as a header."""
        return Connection(
            conn_id=self.conn_id,
            conn_type="http",
            host=self.base_url,
            extra=json.dumps({**self.http_extras, "allow_redirects": False, "check_response": False}),
        )


def load_settings(conn_id: str) -> RunwaySettings:
    """
    Read a connection. Blocks: not for an event loop.

    :param conn_id: The connection's ID.
    :raises RunwayError: it cannot be used; the text says which field is wrong.
    """
    settings = read_settings(conn_id)
    settings.check_certificates()
    settings.check_proxies()
    return settings


def read_settings(conn_id: str) -> RunwaySettings:
    """
    Read a connection for somebody who sends nothing with it, and may be on a machine without the files that
    it names. Blocks: not for an event loop.

    :param conn_id: The connection's ID.
    :raises RunwayError: it cannot be used; the text says which field is wrong.
    """
    try:
        connection = get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise RunwayConnectionNotFoundError(
            f"runway_conn_id={conn_id!r}: {error}. Define it, or check whether Airflow's API server and the "
            "secrets backend can be reached from here. Nothing was sent."
        ) from None
    except Exception as error:
        # Where connections are kept may be out of reach for a while: no reason to give a paid video up.
        raise RunwayServerError(f"Connection {conn_id!r} cannot be read now: {error}") from error
    return RunwaySettings.from_connection(connection)


def _wrong(conn_id: str, what: str, value: Any, rule: str) -> str:
    return f"Connection {conn_id!r}, {what}: {_without_passwords(value)!r} {rule}."


def _without_passwords(value: Any) -> Any:
    """Return a value without what is before an ``@``: the password of a URL is nobody's business."""
    if isinstance(value, dict):
        return {name: _without_passwords(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_passwords(inner) for inner in value]
    if not isinstance(value, str) or "@" not in value:
        return value
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value)
    return f"{scheme[0] if scheme else ''}***@{value.rpartition('@')[2]}"


def _api_key(conn_id: str, password: str | None) -> str:
    key = (password or "").strip()
    if not key:
        raise RunwayAuthenticationError(
            f"Connection {conn_id!r} has no API key: put the key from https://kie.ai/api-key into its "
            "password. Nothing was sent."
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise RunwayAuthenticationError(
            f"The password of connection {conn_id!r} is no API key: it must be ASCII without spaces or line "
            f"breaks ({len(key)} characters were given). Nothing was sent."
        )
    return key


def _base_url(conn_id: str, connection: Any) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_HOST
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    url = _http_url(conn_id, "host", host)
    parts = urlsplit(url)
    if not connection.port or parts.port is not None:
        return url
    netloc = f"{parts.netloc.rstrip(':')}:{connection.port}"
    return _http_url(conn_id, "host with its port", urlunsplit(parts._replace(netloc=netloc)))


def _http_url(conn_id: str, what: str, value: Any) -> str:
    rule = "must be a host, or an http(s) URL of one, without user, query and fragment"
    if not isinstance(value, str):
        raise RunwayValidationError(_wrong(conn_id, what, value, rule))
    url = value.strip()
    url = (url if "://" in url else f"https://{url}").rstrip("/")
    good = values.url(url) == url and not any(sign in url for sign in "?#")
    # Even a name without a user may have a password before its "@".
    if not good or "@" in urlsplit(url).netloc or not _is_host(urlsplit(url).hostname):
        raise RunwayValidationError(_wrong(conn_id, what, value, rule))
    return url


def _is_host(name: str | None) -> bool:
    """Whether a name can be looked up at all: not with an empty label, as in ``a..b``, or one too long."""
    try:
        return bool(name and name.encode("idna"))
    except UnicodeError:
        return False


def _timeout(conn_id: str, value: Any) -> tuple[float, float]:
    if value in (None, ""):
        return CONNECT_TIMEOUT, READ_TIMEOUT
    try:
        if isinstance(value, list | tuple):
            connect, read = (float(part) for part in value)
        else:
            read = float(value)
            connect = min(CONNECT_TIMEOUT, read)
        good = 0 < connect < float("inf") and 0 < read < float("inf")
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        rule = "must be a number of seconds, or two: to connect and to wait for data"
        raise RunwayValidationError(_wrong(conn_id, "extra 'timeout'", value, rule))
    return connect, read


def _http_extras(conn_id: str, extras: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (read, rule) in _HTTP_EXTRAS.items():
        value = extras.get(name)
        if value in (None, ""):
            continue
        found[name] = read(value)
        if found[name] is None:
            raise RunwayValidationError(_wrong(conn_id, f"extra {name!r}", value, rule))
    return found


def _rate(conn_id: str, value: Any) -> float:
    if value in (None, ""):
        return MAX_LOOKUPS_PER_SECOND
    rate = _number(value)
    if rate is None or rate < 0:
        rule = "must be a number of requests, or 0 for no cap"
        raise RunwayValidationError(_wrong(conn_id, "extra 'max_lookups_per_second'", value, rule))
    return rate


def _allowance(conn_id: str, value: Any) -> bool:
    if value in (None, ""):
        return False
    allowed = _switch(value)
    if allowed is None:
        raise RunwayValidationError(_wrong(conn_id, "extra 'allow_private_hosts'", value, _SWITCH_RULE))
    return bool(allowed)


def _speed(conn_id: str, value: Any) -> float:
    if value in (None, ""):
        return 1.0
    speed = _number(value)
    if speed is None or speed <= 0:
        rule = "must be a positive number, as many times as a simulator is faster than the real service"
        raise RunwayValidationError(_wrong(conn_id, "extra 'speed'", value, rule))
    return speed


def _number(value: Any) -> float | None:
    """Return a finite number, given as such or as text."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _switch(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _switch_or_path(value: Any) -> bool | str | None:
    switch = _switch(value)
    return value if switch is None and isinstance(value, str) else switch


def _certificate(value: Any) -> Any:
    is_pair = isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)
    return tuple(value) if is_pair else value if isinstance(value, str) else None


def _proxies(value: Any) -> dict[str, str] | None:
    if isinstance(value, str):
        return {"http": value, "https": value}
    is_map = isinstance(value, dict) and all(isinstance(proxy, str) for proxy in value.values())
    return value if is_map else None


def _count(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdecimal() else None


_PROXY_RULE = "must be the URL of a proxy, or an object of such URLs by scheme"
_SWITCH_RULE = "must be true or false"

#: Extras that the HTTP provider's hooks understand: how each is read (``None`` for a wrong value), and its
#: rule. Those hooks send any other extra as a header, so no other reaches them.
_HTTP_EXTRAS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "cert": (_certificate, "must be the path of a client certificate, or a list of two: certificate and key"),
    "proxies": (_proxies, _PROXY_RULE),
    "proxy": (_proxies, _PROXY_RULE),
    "verify": (_switch_or_path, "must be true, false or the path of a file of authorities"),
    "verify_ssl": (_switch_or_path, "must be true, false or the path of a file of authorities"),
    "max_redirects": (_count, "must be a whole number"),
    "trust_env": (_switch, _SWITCH_RULE),
}

#: All extras that mean something.
_EXTRAS = {
    *("api", "timeout", "max_lookups_per_second", "speed", "upload_host", "allow_private_hosts"),
    *("callback_base_url", "webhook_hmac_key", "callback_wake"),
    *_HTTP_EXTRAS,
}

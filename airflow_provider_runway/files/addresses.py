"""Keeps downloads off private addresses: an answer must not make a worker read what only it can reach."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_runway.exceptions import RunwayValidationError

_PORTS = {"http": 80, "https": 443}
#: A name, or an address of IPv6; what else a URL may have in this place, each program reads in its own way.
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*(%[a-z0-9._-]+)?")
#: Where a network of IPv6 alone reaches IPv4 (RFC 6052).
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
#: All that is handed out of IPv6 for the internet (RFC 4291, 2.4); the rest is for special ends.
_HANDED_OUT = ipaddress.ip_network("2000::/3")


def check_public(url: str, *, allowed: tuple[str, ...] = ()) -> None:
    """
    Refuse a URL on a private address: loopback, link-local, RFC 1918 and whatever else is not public.

    A name is looked up, and is private where one of its addresses is. Behind a proxy this is all that can be
    done, for the proxy looks names up itself; what cannot be looked up here is left to it.

    :param url: An ``http`` or ``https`` URL.
    :param allowed: URLs whose scheme, host and port are allowed wherever they are.
    :raises RunwayValidationError: it is private, or no such URL.
    """
    place = _origin(url)
    if place is None:
        raise RunwayValidationError(f"{url.partition('?')[0][:200]!r} is no http or https URL.")
    if place in map(_origin, allowed):
        return
    _, host, port = place
    try:
        found = [_numeric(host)]
    except ValueError:
        is_local = host == "localhost" or host.endswith(".localhost")
        found = [ipaddress.ip_address("127.0.0.1")] if is_local else _resolved(host, port)
    for address in found:
        if not is_public(address):
            raise private(url, address)


class PublicOnly(HTTPAdapter):
    """
    Connects to public addresses alone, whatever a name stood for when it was looked at: nothing is sent
    before the address is known. What goes through a proxy is the proxy's business.

    :param allowed: As for :func:`check_public`.
    """

    def __init__(self, *, allowed: tuple[str, ...] = ()) -> None:
        self._allowed = allowed
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools open connections that look at their peer first."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _guarded(HTTPConnectionPool, self._allowed),
            "https": _guarded(HTTPSConnectionPool, self._allowed),
        }


def _guarded(pool: Any, allowed: tuple[str, ...]) -> Any:
    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            sock = super()._new_conn()
            host = f"[{self.host}]" if ":" in self.host else self.host
            try:
                check_peer(f"{pool.scheme}://{host}:{self.port}", sock.getpeername(), allowed=allowed)
            except BaseException:
                sock.close()
                raise
            return sock

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def is_http(url: str) -> bool:
    """
    Return whether it is a URL that can be asked for.

    :param url: What may be one.
    """
    return _origin(url) is not None


def check_peer(url: str, peer: Any, *, allowed: tuple[str, ...] = ()) -> None:
    """
    Refuse a connection to a private address.

    :param url: What it is for.
    :param peer: What the socket's ``getpeername()`` says.
    :param allowed: As for :func:`check_public`.
    :raises RunwayValidationError: it is private.
    """
    place = _origin(url)
    if place is not None and place in map(_origin, allowed):
        return
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    if not is_public(address):
        raise private(url, address)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """
    Return whether an address can be reached from everywhere.

    :param address: The address; one of IPv4 in an IPv6 address counts as what it is.
    """
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or address
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif inner is address and address not in _HANDED_OUT:
            return False
    return bool(inner.is_global and not inner.is_multicast)


def private(url: str, address: object) -> RunwayValidationError:
    """
    Return the error for a URL on a private address.

    :param url: The URL; its query is not shown.
    :param address: The address.
    """
    return RunwayValidationError(
        f"{url.partition('?')[0][:200]!r} is on a private address ({address}), from where no video is "
        "fetched. Where that is right, set the connection's extra 'allow_private_hosts' to true."
    )


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return what a request for a URL goes to: a URL can be read in two ways, and only that one counts."""
    request = PreparedRequest()
    try:
        request.prepare_url(url, None)
        parts = urlsplit(request.url or "")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or port is None:
        return None
    return parts.scheme, host.rstrip("."), port


def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that a host is, in any form that the system takes: ``2130706433``, ``0x7f.1``."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if not host[:1].isdigit() or not host.replace(".", "").isalnum():
            raise
        try:
            return ipaddress.ip_address(socket.inet_aton(host))
        except OSError:
            raise ValueError(host) from None


def _resolved(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        # Then the request will say so itself.
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]

"""Which addresses a download may go to: public ones, whatever they are written as."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.files import addresses

PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a00:1]",
    "[2002:7f00:1::]",
    "[64:ff9b::10.0.0.1]",
    # A network's own translation, what once stood for IPv4, and what once was private.
    "[64:ff9b:1::a9fe:a9fe]",
    "[::7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:7f00:1]",
    "[fec0::1]",
    "[5f00::1]",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
]
PUBLIC = ["1.1.1.1", "172.32.0.1", "[2606:4700::1111]", "[::ffff:1.1.1.1]", "[64:ff9b::1.1.1.1]"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names stand for; all others are unknown."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host in known:
            return [entry for found in known[host] for entry in real(found, port, *args, **kwargs)]
        if host.replace(".", "").isdigit() or ":" in host:
            return real(host, port, *args, **kwargs)
        raise socket.gaierror(f"{host} is unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_private_address_is_refused(scheme: str, host: str, names: Any) -> None:
    with pytest.raises(RunwayValidationError, match="allow_private_hosts"):
        addresses.check_public(f"{scheme}://{host}/video.mp4?signature=secret")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254\\@1.1.1.1/v.mp4",
        "http://1.1.1.1@169.254.169.254/v.mp4",
        "http://1.1.1.1:x@169.254.169.254/v.mp4",
        "http://169.254.169%2E254/v.mp4",
        "HTTP://169.254.169.254/v.mp4",
        " http://169.254.169.254/v.mp4",
    ],
)
def test_what_counts_is_where_the_request_goes(url: str, names: Any) -> None:
    with pytest.raises(RunwayValidationError, match=r"169\.254\.169\.254"):
        addresses.check_public(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254;.example/v.mp4",
        "http://169.254.169.254%00.example/v.mp4",
        "http://files.example|10.0.0.1/v.mp4",
        "http://[/v.mp4",
        "http:///v.mp4",
        "file:///etc/passwd",
        "gopher://10.0.0.1/",
        "",
    ],
)
def test_what_can_be_read_in_more_than_one_way_is_asked_for_in_none(url: str, names: Any) -> None:
    assert not addresses.is_http(url)
    with pytest.raises(RunwayValidationError):
        addresses.check_public(url)


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_is_not(host: str, names: Any) -> None:
    addresses.check_public(f"https://{host}/video.mp4")


@pytest.mark.parametrize("found", [["10.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::1"]])
def test_a_name_is_private_where_one_of_its_addresses_is(names: dict[str, list[str]], found: Any) -> None:
    names["files.example"] = found
    with pytest.raises(RunwayValidationError, match=r"files\.example"):
        addresses.check_public("https://files.example/video.mp4")


def test_a_name_that_only_a_proxy_knows_is_left_to_it(names: dict[str, list[str]]) -> None:
    addresses.check_public("https://files.example/video.mp4")
    names["files.example"] = ["1.1.1.1"]
    addresses.check_public("https://files.example/video.mp4")


def test_the_hosts_that_the_connection_names_are_allowed_by_scheme_host_and_port(names: Any) -> None:
    allowed = ("http://127.0.0.1:8089",)
    addresses.check_public("http://127.0.0.1:8089/video.mp4", allowed=allowed)
    for url in ("http://127.0.0.1/v", "https://127.0.0.1:8089/v", "http://127.0.0.2:8089/v"):
        with pytest.raises(RunwayValidationError):
            addresses.check_public(url, allowed=allowed)


def test_the_error_does_not_show_a_signature(names: Any) -> None:
    with pytest.raises(RunwayValidationError) as caught:
        addresses.check_public("https://10.0.0.1/video.mp4?signature=secret")
    assert "secret" not in str(caught.value)

"""The relay of the chaos run: it stands for a load balancer, and for a network that fails for a while."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.processes import free_port
from tests.harness.relay import Relay


@contextmanager
def echo(name: bytes) -> Iterator[int]:
    """Serve on a port: answer what comes with a name before it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(client,), daemon=True).start()

        def answer(client: socket.socket) -> None:
            with client:
                while data := client.recv(1000):
                    client.sendall(name + data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def ask(client: socket.socket, text: bytes = b"?") -> bytes:
    client.sendall(text)
    return client.recv(1000)


def connect(relay: Relay, timeout: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=timeout)


def test_connections_go_to_each_server_in_turn() -> None:
    with echo(b"a") as first, echo(b"b") as second, Relay([first, second]) as relay:
        answers = set()
        for _ in range(2):
            with connect(relay) as client:
                answers.add(ask(client))
        assert answers == {b"a?", b"b?"}


def test_a_server_that_is_gone_is_passed_over() -> None:
    with echo(b"a") as first, Relay([first, free_port()]) as relay:
        for _ in range(4):
            with connect(relay) as client:
                assert ask(client) == b"a?"


def test_without_any_server_a_connection_ends() -> None:
    with Relay([free_port()]) as relay, connect(relay) as client:
        assert client.recv(1) == b""


def test_a_cut_network_keeps_its_connections_and_passes_on_what_it_kept_once_it_is_healed() -> None:
    with echo(b"a") as server, Relay([server]) as relay, connect(relay) as before:
        assert ask(before) == b"a?"
        relay.cut()
        while not relay.is_cut:
            pass
        with connect(relay) as during:
            for client in (before, during):
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    ask(client, b"!")
                client.settimeout(10)
            relay.heal()
            assert {before.recv(10), during.recv(10)} == {b"a!"}

"""The TCP proxy of the fault tests, between plain sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.process import free_ports, wait_until
from tests.harness.proxy import TcpProxy


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()
            except OSError:
                return

        def answer(connection: socket.socket) -> None:
            with connection:
                while piece := connection.recv(65536):
                    connection.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def line() -> Iterator[tuple[TcpProxy, socket.socket]]:
    """A proxy before the echo, and a connection through it."""
    (port,) = free_ports(1)
    with (
        echo() as target,
        TcpProxy({port: target}) as proxy,
        socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
    ):
        yield proxy, connection


def ask(connection: socket.socket, text: bytes) -> bytes:
    """What comes back of it."""
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        got += connection.recv(65536)
    return got


def passes(connection: socket.socket, text: bytes) -> bool:
    """Whether it comes back within the connection's timeout."""
    try:
        return ask(connection, text) == text
    except TimeoutError:
        return False


def test_everything_passes_both_ways() -> None:
    """A megabyte comes back as it was sent."""
    text = bytes(range(256)) * 4096
    with line() as (proxy, connection):
        threading.Thread(target=connection.sendall, args=(text,), daemon=True).start()
        got = b""
        while len(got) < len(text):
            got += connection.recv(65536)
        assert got == text
        assert proxy.forwarded_bytes == 2 * len(text)


def test_nothing_passes_while_it_is_cut_and_nothing_is_lost() -> None:
    """What is sent into a cut line arrives after it is healed, on the same connection."""
    with line() as (proxy, connection):
        assert ask(connection, b"one") == b"one"
        proxy.cut()
        connection.settimeout(0.2)
        # Until the cut has reached the proxy's loop a piece may still pass.
        wait_until(lambda: not passes(connection, b"two"), 5, "the cut")
        connection.settimeout(5)
        proxy.heal()
        assert connection.recv(3) == b"two"


def test_a_slow_line_takes_its_time() -> None:
    """Every piece waits on its way there and on its way back."""
    with line() as (proxy, connection):
        proxy.slow(0.05)
        connection.settimeout(0.06)
        with pytest.raises(TimeoutError):
            ask(connection, b"slow")
        connection.settimeout(5)
        assert connection.recv(4) == b"slow"


def test_a_connection_ends_when_the_other_side_is_gone() -> None:
    """The end of the server is seen through the proxy."""
    (port, nobody) = free_ports(2)
    with TcpProxy({port: nobody}), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        assert connection.recv(1) == b""


def test_no_thread_is_left() -> None:
    """After the block the proxy's thread has ended, also with connections open."""
    before = threading.active_count()
    with line() as (_, connection):
        assert ask(connection, b"x") == b"x"
    wait_until(lambda: threading.active_count() <= before, 5, "the end of the proxy's thread")

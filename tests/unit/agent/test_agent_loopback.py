"""Where the agent listens when it is told `localhost`."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from sampler.agent.http_listener import HttpListener


def has_ipv6() -> bool:
    """Whether this machine has ::1."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


LOOPBACK = ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",)


async def nobody(_: Any) -> Any:
    """No request is sent here."""
    raise AssertionError


async def test_localhost_is_every_loopback_address(open_agent: Any) -> None:
    """Both receivers take connections on 127.0.0.1 and, where there is one, on ::1, at one port."""
    async with open_agent(wait=False, grpc_listen="localhost:0", http_listen="localhost:0") as running:
        for port in (running.agent.grpc_port, running.agent.http_port):
            for address in LOOPBACK:
                _, writer = await asyncio.open_connection(address, port)
                writer.close()
                await writer.wait_closed()
    for address in LOOPBACK:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address, running.agent.http_port)


async def test_an_address_is_only_itself(open_agent: Any) -> None:
    """127.0.0.1 in the configuration does not open ::1."""
    async with open_agent(wait=False, http_listen="127.0.0.1:0") as running:
        with pytest.raises(OSError, match=r"::1"):
            await asyncio.open_connection("::1", running.agent.http_port)


@pytest.mark.parametrize("address", LOOPBACK)
async def test_half_of_localhost_taken_is_an_error(address: str) -> None:
    """Else another program would get what is meant for the agent."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        taken.bind((address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        listener = HttpListener(f"localhost:{port}", nobody)
        with pytest.raises(OSError, match=f"cannot listen for OTLP/HTTP on localhost:{port}"):
            await listener.start()
    again = HttpListener(f"localhost:{port}", nobody)
    await again.start()
    assert again.port == port
    await again.stop(0)

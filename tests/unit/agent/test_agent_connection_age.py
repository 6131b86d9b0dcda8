"""gRPC connections that have an age, so that agents which are added get a part of the load."""

from __future__ import annotations

from typing import Any

import grpc

from sampler.agent.grpc_server import EXPORT_TRACES


async def test_an_old_connection_ends_and_its_sender_connects_again(open_agent: Any, make_request: Any) -> None:
    """The connection is closed once it has its age; the next request opens another one, and none fails."""
    request = make_request(traces=3).SerializeToString()
    async with (
        open_agent(max_connection_age_ms=300) as running,
        grpc.aio.insecure_channel(running.grpc) as channel,
    ):
        export = channel.unary_unary(EXPORT_TRACES)
        assert await export(request, timeout=20) == b""
        state = channel.get_state()
        while state == grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
        assert await export(request, timeout=20, wait_for_ready=True) == b""
        assert running.metric("requests_total", transport="grpc", outcome="ok") == 2

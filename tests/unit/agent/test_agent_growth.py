"""A small request that cutting by trace would make huge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.agent.grpc_server import EXPORT_TRACES

PROTOBUF = "application/x-protobuf"
REASON = "its traces share headers so large that cutting it by trace would take "


async def test_a_request_that_would_grow_too_much_is_refused_for_good(
    open_agent: Any, make_request: Callable[..., ExportTraceServiceRequest]
) -> None:
    """400 over HTTP and INVALID_ARGUMENT over gRPC, with the reason; nothing of it waits for Kafka."""
    request = make_request(traces=1000, spans=1)
    request.resource_spans[0].resource.attributes.add(key="k").value.string_value = "x" * 500_000
    body = request.SerializeToString()
    async with open_agent() as running:
        async with (
            aiohttp.ClientSession() as session,
            session.post(running.http + "/v1/traces", data=body, headers={"Content-Type": PROTOBUF}) as response,
        ):
            assert response.status == 400
            assert REASON in Status.FromString(await response.read()).message
        async with grpc.aio.insecure_channel(running.grpc) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(EXPORT_TRACES)(body, timeout=20)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert REASON in caught.value.details()
        for transport in ("http", "grpc"):
            assert running.metric("requests_total", transport=transport, outcome="invalid") == 1
        assert running.metric("buffered_bytes") == 0

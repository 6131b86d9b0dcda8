"""OTLP/gRPC with the real SDK exporter and with raw calls, before the embedded broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sampler.agent.grpc_server import EXPORT_TRACES, WRONG_SIGNALS, GrpcServer
from sampler.embedded.broker import EmbeddedBroker

Make = Callable[..., ExportTraceServiceRequest]


async def call(target: str, request: bytes, method: str = EXPORT_TRACES, **options: Any) -> bytes:
    """One call with raw bytes."""
    async with grpc.aio.insecure_channel(target, options=[("grpc.max_send_message_length", -1)]) as channel:
        response: bytes = await channel.unary_unary(method)(request, timeout=20, **options)
        return response


def export_with_sdk(endpoint: str, compression: grpc.Compression) -> None:
    """Three spans of one trace through a BatchSpanProcessor."""
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=compression, timeout=20)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("order"), tracer.start_as_current_span("pay") as span:
        span.set_attribute("amount", 12.5)
        with tracer.start_as_current_span("charge"):
            pass
    provider.shutdown()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_the_sdk_exporter_delivers(open_agent: Any, read_records: Any, compression: grpc.Compression) -> None:
    """Spans of the OpenTelemetry SDK arrive, compressed or not, in one partition."""
    async with open_agent() as running:
        await asyncio.to_thread(export_with_sdk, running.grpc, compression)
        assert running.metric("requests_total", transport="grpc", outcome="ok") == 1
        assert running.metric("spans_accepted_total") == 3
    records = await asyncio.to_thread(read_records)
    assert [sorted(span.name for span in record.spans()) for record in records] == [["charge", "order", "pay"]]


async def test_full_success_is_an_empty_response(open_agent: Any, make_request: Make) -> None:
    """The response of a full success leaves partial_success unset."""
    async with open_agent() as running:
        assert await call(running.grpc, make_request().SerializeToString()) == b""
        assert await call(running.grpc, b"") == b""


async def test_invalid_ids_are_a_partial_success(open_agent: Any, make_request: Make) -> None:
    """Spans without a valid id are counted in partial_success with the reason."""
    request = make_request(traces=1, spans=2)
    request.resource_spans[0].scope_spans[0].spans[0].span_id = bytes(8)
    async with open_agent() as running:
        response = ExportTraceServiceResponse.FromString(await call(running.grpc, request.SerializeToString()))
        assert running.metric("requests_total", transport="grpc", outcome="partial") == 1
    assert response.partial_success.rejected_spans == 1
    assert "span id" in response.partial_success.error_message


async def test_malformed_bytes_are_invalid_argument(open_agent: Any, make_request: Make) -> None:
    """What is no protobuf is INVALID_ARGUMENT with the byte offset."""
    async with open_agent() as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(running.grpc, make_request().SerializeToString() + b"\x0a\x7f")
        assert running.metric("requests_total", transport="grpc", outcome="invalid") == 1
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "at byte " in caught.value.details()


async def test_an_oversize_request_is_refused(open_agent: Any, make_request: Make) -> None:
    """A request beyond the limit is RESOURCE_EXHAUSTED, plain and when only gzip hides its size."""
    request = make_request(traces=1, spans=1)
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="k").value.string_value = "x" * 300_000
    async with open_agent(max_request_bytes=100_000) as running:
        for compression in (None, grpc.Compression.Gzip):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(running.grpc, request.SerializeToString(), compression=compression)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "larger than max" in caught.value.details()


@pytest.mark.parametrize("method", list(WRONG_SIGNALS))
async def test_other_signals_are_unimplemented(open_agent: Any, method: str) -> None:
    """Metrics, logs and profiles are UNIMPLEMENTED with a sentence that names the variable to set."""
    async with open_agent(wait=False) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(running.grpc, b"", method)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert f"OTEL_EXPORTER_OTLP_{WRONG_SIGNALS[method].upper()}_ENDPOINT" in caught.value.details()


async def test_a_full_buffer_is_unavailable_with_retry_info(
    open_agent: Any, broker: EmbeddedBroker, make_request: Make, eventually: Any
) -> None:
    """Beyond the buffer a call is UNAVAILABLE at once, with RetryInfo where Go and where Python clients look for it."""
    request = make_request(padding=1000).SerializeToString()
    limits = {"max_request_bytes": len(request), "publisher": {"max_buffer_bytes": 2 * len(request)}}
    async with open_agent(**limits) as running:
        await call(running.grpc, make_request().SerializeToString())
        broker.set_rtt_ms(500)
        first = asyncio.create_task(call(running.grpc, request))
        await eventually(lambda: running.metric("buffered_bytes"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(running.grpc, request)
        await first
        broker.set_rtt_ms(0)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    metadata = dict(caught.value.trailing_metadata())
    status = Status.FromString(metadata["grpc-status-details-bin"])
    assert (status.code, status.message) == (14, caught.value.details())
    retry_info = RetryInfo()
    assert status.details[0].Unpack(retry_info)
    assert retry_info.retry_delay.seconds == 1
    assert RetryInfo.FromString(metadata["google.rpc.retryinfo-bin"]) == retry_info


async def test_the_sdk_comes_again_until_kafka_is_back(
    open_agent: Any, broker: EmbeddedBroker, read_records: Any, eventually: Any
) -> None:
    """Through an outage of Kafka the SDK's own retries deliver every span in the end."""
    broker.broker_down()
    async with open_agent(wait=False) as running:
        exporting = asyncio.create_task(
            asyncio.to_thread(export_with_sdk, running.grpc, grpc.Compression.NoCompression)
        )
        await eventually(lambda: running.metric("requests_total", transport="grpc", outcome="kafka_unavailable"))
        broker.broker_up()
        await exporting
        assert running.metric("spans_accepted_total") == 3
    assert sum(len(record.spans()) for record in await asyncio.to_thread(read_records)) == 3


async def test_a_taken_port_is_an_error(open_agent: Any) -> None:
    """A second agent on the same port does not start, and says on which address."""
    async with open_agent(wait=False) as running:
        second = GrpcServer(running.grpc, 1000, running.agent.publisher, None)  # type: ignore[arg-type]
        with pytest.raises(OSError, match=r"cannot listen for OTLP/gRPC on 127\.0\.0\.1"):
            await second.start()
        await second.stop(0)

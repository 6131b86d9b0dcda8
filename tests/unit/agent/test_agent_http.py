"""OTLP/HTTP with the real SDK exporter and with raw requests, before the embedded broker."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sampler.embedded.broker import EmbeddedBroker

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
Make = Callable[..., ExportTraceServiceRequest]


async def post(
    running: Any, body: bytes, content_type: str | None = PROTOBUF, path: str = "/v1/traces", **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """One POST; header names with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        sent["Content-Type"] = content_type
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.post(running.http + path, data=body, headers=sent) as response,
    ):
        return response, await response.read()


def otlp_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """The OTLP JSON form: protobuf's, with hexadecimal ids."""
    document: dict[str, Any] = json_format.MessageToDict(request)
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId"):
            span[name] = base64.b64decode(span[name]).hex()
    return document


@pytest.mark.parametrize("compression", list(Compression))
async def test_the_sdk_exporter_delivers(open_agent: Any, read_records: Any, compression: Compression) -> None:
    """Spans of the OpenTelemetry SDK arrive, compressed or not."""

    def export(url: str) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=url + "/v1/traces", compression=compression)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("shop").start_as_current_span("order"):
            pass
        provider.shutdown()

    async with open_agent() as running:
        await asyncio.to_thread(export, running.http)
        assert running.metric("requests_total", transport="http", outcome="ok") == 1
    records = await asyncio.to_thread(read_records)
    assert [span.name for record in records for span in record.spans()] == ["order"]


async def test_json_arrives_as_protobuf(open_agent: Any, read_records: Any, make_request: Make) -> None:
    """OTLP JSON with hexadecimal ids, upper case too, and unknown fields becomes the same spans as protobuf."""
    request = make_request(traces=3, spans=2)
    document = otlp_json(request)
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["traceId"] = span["traceId"].upper()
    span["notAField"] = {"x": 1}
    span["links"] = [{"traceId": "ab" * 16, "spanId": "cd" * 8}]
    async with open_agent() as running:
        response, body = await post(running, json.dumps(document).encode(), JSON + "; charset=utf-8")
        assert (response.status, response.headers["Content-Type"], body) == (200, JSON, b"{}")
    sent = {span.span_id: span for span in request.resource_spans[0].scope_spans[0].spans}
    next(iter(sent.values())).links.add(trace_id=b"\xab" * 16, span_id=b"\xcd" * 8)
    got = {span.span_id: span for record in await asyncio.to_thread(read_records) for span in record.spans()}
    assert got == sent


async def test_partial_success_speaks_the_encoding_of_the_request(open_agent: Any, make_request: Make) -> None:
    """Rejected spans are reported with 200, in protobuf to protobuf and in JSON to JSON."""
    request = make_request(traces=1, spans=2)
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = b"\x01" * 8
    async with open_agent() as running:
        response, body = await post(running, request.SerializeToString())
        assert response.status == 200
        assert response.headers["Content-Type"] == PROTOBUF
        decoded = ExportTraceServiceResponse.FromString(body)
        assert decoded.partial_success.rejected_spans == 1
        response, body = await post(running, json.dumps(otlp_json(request)).encode(), JSON)
        assert response.status == 200
        assert json_format.Parse(body, ExportTraceServiceResponse()) == decoded


async def test_full_success_in_protobuf_is_empty(open_agent: Any, make_request: Make) -> None:
    """A full success has an empty body and the request's content type; an empty request is one."""
    async with open_agent() as running:
        for body in (make_request().SerializeToString(), b""):
            for encoding in ("gzip", "identity", "none"):
                sent = gzip.compress(body) if encoding == "gzip" else body
                response, answer = await post(running, sent, Content_Encoding=encoding)
                assert (response.status, response.headers["Content-Type"], answer) == (200, PROTOBUF, b"")


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "says"),
    [
        (b"\x0a\x7f", PROTOBUF, {}, "at byte "),
        (b"{", JSON, {}, "not OTLP JSON"),
        (b"[]", JSON, {}, "a list"),
        (b'{"resourceSpans": 5}', JSON, {}, "not OTLP JSON"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}', JSON, {}, "not hexadecimal"),
        (b'{"a":' * 100_000, JSON, {}, "not OTLP JSON"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"status":{"code":1e400}}]}]}]}', JSON, {}, "not OTLP JSON"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"\\ud800"}]}]}]}', JSON, {}, "not OTLP JSON"),
        (b'{"resourceSpans":[{"resource":{"attributes":"\\ud800"}}]}', JSON, {}, "not OTLP JSON"),
        (b"plain", PROTOBUF, {"Content_Encoding": "gzip"}, "not gzip"),
        (gzip.compress(b"x" * 1000)[:-4], PROTOBUF, {"Content_Encoding": "gzip"}, "cut off"),
    ],
)
async def test_what_cannot_be_decoded_is_400(
    open_agent: Any, body: bytes, content_type: str, headers: dict[str, str], says: str
) -> None:
    """Undecodable bodies are 400 with a google.rpc.Status in the request's encoding that says why."""
    async with open_agent() as running:
        response, answer = await post(running, body, content_type, **headers)
        assert running.metric("requests_total", transport="http", outcome="invalid") == 1
    assert response.status == 400
    assert response.headers["Content-Type"] == content_type
    status = Status.FromString(answer) if content_type == PROTOBUF else json_format.Parse(answer, Status())
    assert status.code == 3
    assert says in status.message


async def test_too_large_is_413(open_agent: Any) -> None:
    """Beyond the limit, announced, chunked or only after inflating, a request is 413 that names the setting."""

    async def chunked() -> Any:
        for _ in range(30):
            yield b"x" * 1000

    bomb = gzip.compress(b"\0" * 50_000_000)
    async with open_agent(max_request_bytes=10_000) as running:
        bodies = [(b"x" * 10_001, {}), (chunked(), {}), (bomb[:9000], {"Content_Encoding": "gzip"})]
        for body, headers in bodies:
            response, answer = await post(running, body, **headers)
            assert response.status == 413
            assert "max_request_bytes" in Status.FromString(answer).message
        assert running.metric("requests_total", transport="http", outcome="too_large") == 3


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("text/plain", {}),
        (None, {}),
        (PROTOBUF, {"Content_Encoding": "zstd"}),
        (PROTOBUF, {"Content_Encoding": "gzip, gzip"}),
    ],
)
async def test_unsupported_forms_are_415(open_agent: Any, content_type: str | None, headers: dict[str, str]) -> None:
    """Another Content-Type or Content-Encoding is 415 with a sentence that says which are read."""
    async with open_agent() as running:
        response, answer = await post(running, b"x", content_type, **headers)
    assert response.status == 415
    assert b"send " in answer
    assert response.headers["Accept-Encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs", "/v1development/profiles", "/", "/v1/traces/"])
async def test_other_paths_are_404(open_agent: Any, path: str) -> None:
    """Other signals and unknown paths are 404 with a sentence."""
    async with open_agent(wait=False) as running:
        response, answer = await post(running, b"", JSON, path=path)
    assert response.status == 404
    wrong_signal = path.endswith(("metrics", "logs", "profiles"))
    expected = "traces only" if wrong_signal else "POST traces to /v1/traces"
    assert expected in json.loads(answer)["message"]


async def test_other_methods_are_405(open_agent: Any) -> None:
    """GET on the traces path is 405 and says that POST is taken."""
    async with (
        open_agent(wait=False) as running,
        aiohttp.ClientSession() as session,
        session.get(running.http + "/v1/traces") as response,
    ):
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert "takes POST" in (await response.json())["message"]


async def test_a_full_buffer_is_429(
    open_agent: Any, broker: EmbeddedBroker, make_request: Make, eventually: Any
) -> None:
    """Beyond the buffer a request is 429 with Retry-After, at once; the ones before it succeed."""
    request = make_request(padding=1000).SerializeToString()
    limits = {"max_request_bytes": len(request), "publisher": {"max_buffer_bytes": 2 * len(request)}}
    async with open_agent(**limits) as running:
        await post(running, make_request().SerializeToString())
        broker.set_rtt_ms(500)
        first = asyncio.create_task(post(running, request))
        await eventually(lambda: running.metric("buffered_bytes"))
        response, answer = await post(running, request)
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert Status.FromString(answer).details[0].type_url.endswith(error_details_pb2.RetryInfo.DESCRIPTOR.full_name)
        assert (await first)[0].status == 200
        broker.set_rtt_ms(0)


async def test_without_kafka_is_503(open_agent: Any, make_request: Make) -> None:
    """While Kafka is not reachable a request is 503 with Retry-After and the reason, in JSON too."""
    async with open_agent(wait=False, publisher={"librdkafka": {"bootstrap.servers": "127.0.0.1:1"}}) as running:
        body = json.dumps(otlp_json(make_request())).encode()
        response, answer = await post(running, body, JSON)
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert (
            json_format.Parse(answer, Status())
            .details[0]
            .type_url.endswith(error_details_pb2.RetryInfo.DESCRIPTOR.full_name)
        )

"""Spans of the SDK as OTLP: the same as OpenTelemetry's own exporter makes of them."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from sampler.sdk.encode import encode_spans


def finished() -> list[ReadableSpan]:
    """Spans of every kind, with all that the SDK can put into one."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop", "n": 3}, "https://example.org/schema"))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    remote = SpanContext(0x1234, 0x5678, True, TraceFlags(1), TraceState([("vendor", "x"), ("ot", "th:8")]))
    parent = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    for scope in (("lib", "1.2", "https://example.org/scope", {"a": 1}), ("other",)):
        tracer = provider.get_tracer(*scope[:1], *scope[1:])  # type: ignore[arg-type]
        for kind in SpanKind:
            attributes: dict[str, Any] = {
                "text": "é", "flag": True, "number": -5, "float": 0.5, "list": ["a", "b"], "numbers": (1, 2), "": "x",
            }  # fmt: skip
            span = tracer.start_span(
                kind.name, parent, kind, attributes, links=[Link(SpanContext(1, 2, False), {"why": "retry"})]
            )
            span.add_event("happened", {"k": 1})
            span.set_status(Status(StatusCode.ERROR, "broke"))
            child = tracer.start_span("child", trace.set_span_in_context(span))
            child.end()
            span.end()
    return list(memory.get_finished_spans())


def test_spans_are_as_the_official_exporter_writes_them() -> None:
    """Field by field the same; flags hold the trace flags of W3C too."""
    spans = finished()
    body, refused = encode_spans(spans)
    ours, theirs = ExportTraceServiceRequest.FromString(body), official(spans)
    assert refused == 0
    for section in (*ours.resource_spans,):
        for scope in section.scope_spans:
            for span in scope.spans:
                assert span.flags & 0xFF == 1
                span.flags &= ~0xFF
                for link in span.links:
                    link.flags &= ~0xFF
    assert ours == theirs


def test_values_that_otlp_cannot_say_cost_nothing_else() -> None:
    """An attribute of more than 64 bits is left out and counts as dropped; the span and its others are there."""
    span = finished()[0]
    span._attributes = {"huge": 2**70, "odd": object(), "text": "here", "nested": {"a": [1, None]}}  # type: ignore[assignment,dict-item]
    body, refused = encode_spans([span])
    message = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0]
    assert [each.key for each in message.attributes] == ["text", "nested"]
    assert message.dropped_attributes_count == 2
    assert refused == 0

"""Spans to OTLP, one resource a service, as an SDK in each service would send them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from sampler.generate.model import AttributeValue, Span, Trace
from sampler.generate.shop import LANGUAGES

SCHEMA_URL = "https://opentelemetry.io/schemas/1.38.0"


def requests_of(trace: Trace, start_unix_nano: int) -> Iterator[ExportTraceServiceRequest]:
    """The trace as its services send it when it is over: a request for each, in order of first appearance."""
    for service in dict.fromkeys(span.service for span in trace.spans):
        spans = [(trace.trace_id, start_unix_nano, span) for span in trace.spans if span.service == service]
        yield encode_request(service, spans)


def encode_request(service: str, spans: Iterable[tuple[bytes, int, Span]]) -> ExportTraceServiceRequest:
    """One export of one service: (trace id, start of the trace in ns since the epoch, span) each."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(resource=resource_of(service), schema_url=SCHEMA_URL)
    scopes: dict[str, ScopeSpans] = {}
    for trace_id, start_unix_nano, span in spans:
        scope = scopes.get(span.scope)
        if scope is None:
            scope = scopes[span.scope] = resource_spans.scope_spans.add()
            if span.scope:
                scope.scope.name = span.scope
        _fill(scope.spans.add(), trace_id, start_unix_nano, span)
    return request


@lru_cache(maxsize=256)
def resource_of(service: str) -> Resource:
    """The resource of a service; services of the recording are named and nothing more."""
    attributes: dict[str, AttributeValue] = {"service.name": service}
    if service in LANGUAGES:
        attributes |= {
            "service.namespace": "shop",
            "service.version": "2.4.1",
            "service.instance.id": f"{service}-7d9c6b8f54-x2k4q",
            "deployment.environment.name": "production",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": LANGUAGES[service],
            "telemetry.sdk.version": "1.38.0",
        }
    return Resource(attributes=[attribute(key, value) for key, value in attributes.items()])


@lru_cache(maxsize=4096, typed=True)
def attribute(key: str, value: AttributeValue) -> KeyValue:
    """One attribute, its type that of the Python value."""
    match value:
        case bool():
            return KeyValue(key=key, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(string_value=value))


def _fill(target: ProtoSpan, trace_id: bytes, start_unix_nano: int, span: Span) -> None:
    target.trace_id = trace_id
    target.span_id = span.span_id
    target.name = span.name
    target.start_time_unix_nano = start_unix_nano + span.start_ns
    target.end_time_unix_nano = start_unix_nano + span.end_ns
    if span.parent_id:
        target.parent_span_id = span.parent_id
    if span.kind:
        target.kind = span.kind  # type: ignore[assignment]  # a number of the enum
    if span.status:
        target.status.code = span.status  # type: ignore[assignment]  # a number of the enum
        target.status.message = span.status_message
    if span.attributes:
        target.attributes.extend([attribute(key, value) for key, value in span.attributes.items()])
    for event in span.events:
        target.events.add(
            name=event.name,
            time_unix_nano=start_unix_nano + event.at_ns,
            attributes=[attribute(key, value) for key, value in event.attributes.items()],
        )

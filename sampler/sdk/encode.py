"""Spans of the OpenTelemetry SDK as OTLP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

# SpanFlags of opentelemetry.proto.trace.v1
_KNOWS_REMOTE, _IS_REMOTE = 0x100, 0x200


def encode_spans(spans: Iterable[ReadableSpan]) -> tuple[bytes, int]:
    """A serialized ExportTraceServiceRequest, and the number of spans that are not in it, because OTLP cannot say them.

    Attributes that it cannot say, values of unknown kinds or integers of more than 64 bits, count as dropped.
    """
    request = ExportTraceServiceRequest()
    sections: dict[int, Any] = {}
    scopes: dict[tuple[int, Any], Any] = {}
    refused = 0
    for span in spans:
        resource, scope = span.resource, span.instrumentation_scope
        key = (id(resource), scope)
        target = scopes.get(key)
        if target is None:
            section = sections.get(id(resource))
            if section is None:
                section = sections[id(resource)] = request.resource_spans.add(schema_url=resource.schema_url)
                _attributes(section.resource.attributes, resource.attributes)
            target = scopes[key] = section.scope_spans.add()
            if scope is not None:
                target.schema_url = scope.schema_url or ""
                target.scope.name, target.scope.version = scope.name, scope.version or ""
                _attributes(target.scope.attributes, scope.attributes)
        message = target.spans.add()
        try:
            _fill(message, span)
        except (TypeError, ValueError):
            del target.spans[-1]
            refused += 1
    return request.SerializeToString(), refused


def _fill(message: Span, span: ReadableSpan) -> None:
    context, parent, status = span.get_span_context(), span.parent, span.status
    if context is None:
        raise ValueError("a span without a context has no trace")
    message.trace_id = context.trace_id.to_bytes(16, "big")
    message.span_id = context.span_id.to_bytes(8, "big")
    if context.trace_state:
        message.trace_state = context.trace_state.to_header()
    if parent is not None:
        message.parent_span_id = parent.span_id.to_bytes(8, "big")
    message.flags = context.trace_flags | _remote(parent)
    message.name = span.name
    message.kind = span.kind.value + 1  # type: ignore[assignment]  # protobuf's enumeration has "unspecified" first
    message.start_time_unix_nano = span.start_time or 0
    message.end_time_unix_nano = span.end_time or 0
    unfit = _attributes(message.attributes, span.attributes)
    message.dropped_attributes_count = span.dropped_attributes + unfit
    message.dropped_events_count = span.dropped_events
    message.dropped_links_count = span.dropped_links
    for event in span.events:
        added = message.events.add(name=event.name, time_unix_nano=event.timestamp)
        unfit = _attributes(added.attributes, event.attributes)
        added.dropped_attributes_count = event.dropped_attributes + unfit
    for link in span.links:
        other = link.context
        linked = message.links.add(
            trace_id=other.trace_id.to_bytes(16, "big"),
            span_id=other.span_id.to_bytes(8, "big"),
            trace_state=other.trace_state.to_header() if other.trace_state else "",
            flags=other.trace_flags | _remote(other),
        )
        unfit = _attributes(linked.attributes, link.attributes)
        linked.dropped_attributes_count = link.dropped_attributes + unfit
    message.status.code = status.status_code.value  # type: ignore[assignment]  # the numbers are the same
    if status.description:
        message.status.message = status.description


def _remote(context: SpanContext | None) -> int:
    return _KNOWS_REMOTE | (_IS_REMOTE if context is not None and context.is_remote else 0)


def _attributes(target: Any, attributes: Mapping[str, Any] | None) -> int:
    """Add the attributes; returns how many could not be."""
    unfit = 0
    for key, value in (attributes or {}).items():
        before = len(target)
        try:
            _set(target.add(key=key).value, value)
        except (TypeError, ValueError):
            del target[before:]
            unfit += 1
    return unfit


def _set(target: AnyValue, value: Any) -> None:
    match value:
        case bool():
            target.bool_value = value
        case str():
            target.string_value = value
        case int():
            target.int_value = value
        case float():
            target.double_value = value
        case bytes():
            target.bytes_value = value
        case Mapping():
            held = target.kvlist_value
            held.SetInParent()
            for key, inner in value.items():
                _set(held.values.add(key=str(key)).value, inner)
        case Sequence():
            items = target.array_value
            items.SetInParent()
            for inner in value:
                _set(items.values.add(), inner)
        case None:
            pass
        case _:
            raise TypeError(f"OTLP has no value for {type(value).__name__}")

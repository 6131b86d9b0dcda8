"""W3C Trace Context as headers of a Kafka record that holds spans of one trace."""

from __future__ import annotations

from sampler.otlp.walk import Field, fields

Headers = list[tuple[str, str | bytes | None]]

# Tags of opentelemetry.proto.trace.v1: field number << 3 | length-delimited
_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 0x0A, 0x12, 0x12
_TRACE_ID, _SPAN_ID, _TRACE_STATE = 0x0A, 0x12, 0x1A


def trace_context_of(record: bytes) -> Headers | None:
    """`traceparent`, of the record's first span, and `tracestate` where it has one; None unless it is of one trace.

    Every ResourceSpans is taken for that of one trace, as all are that agent and worker write; only the first span of
    each is looked at. ScanError where the record is no valid TracesData.
    """
    first: tuple[bytes, bytes, bytes] | None = None
    for section in fields(record, 0, len(record)):
        if section.tag != _RESOURCE_SPANS:
            continue
        found = _first_span(record, section)
        if found is None:
            continue
        if first is None:
            first = found
        elif found[0] != first[0]:
            return None
    if first is None:
        return None
    trace_id, span_id, state = first
    # A span that is here was recorded: the flag `sampled`.
    headers: Headers = [("traceparent", f"00-{trace_id.hex()}-{span_id.hex()}-01".encode())]
    return [*headers, ("tracestate", state)] if state else headers


def _first_span(record: bytes, section: Field) -> tuple[bytes, bytes, bytes] | None:
    """(trace id, span id, tracestate)"""
    for scope in fields(record, section.value, section.end):
        if scope.tag != _SCOPE_SPANS:
            continue
        for span in fields(record, scope.value, scope.end):
            if span.tag != _SPANS:
                continue
            held = {_TRACE_ID: b"", _SPAN_ID: b"", _TRACE_STATE: b""}
            for field in fields(record, span.value, span.end):
                if field.tag in held:
                    held[field.tag] = record[field.value : field.end]
                elif field.tag > _TRACE_STATE and held[_SPAN_ID]:
                    break  # encoders write fields in the order of their numbers
            return held[_TRACE_ID], held[_SPAN_ID], held[_TRACE_STATE]
    return None

"""Records of one span, and the policies that tell them apart."""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
RED = {"name": "red", "type": "string_attribute", "string_attribute": {"key": "color", "values": ["red"]}}
ALL = {"name": "all", "type": "always_sample"}


def span(trace: int, number: int, *, error: bool = False, color: str = "") -> bytes:
    """A record with one span."""
    data = TracesData()
    part = data.resource_spans.add()
    out = part.scope_spans.add().spans.add(
        trace_id=trace.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), parent_span_id=b"parentid"
    )
    if error:
        out.status.code = 2
    if color:
        part.resource.attributes.add(key="color").value.string_value = color
    return data.SerializeToString()

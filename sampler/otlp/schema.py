"""A slim OTLP schema for upb: only what the scanner asks for, everything else stays an unknown field.

Proto2 optional fields keep empty values apart from absent ones. Text is declared as bytes, so UTF-8 is not judged.
`CheckedTracesData` declares every message that is ever looked into, to judge a record in one go. The others cut one
level and leave the bytes below as they came, repeated singular ones included: resources, scopes, attributes and events
are seldom new or not looked at. Arrays and maps are walked one level deep, whatever their depth.
"""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as _Type

from sampler.otlp.messages import Fields, message_classes

_BYTES, _BOOL, _INT32, _INT64 = _Type.TYPE_BYTES, _Type.TYPE_BOOL, _Type.TYPE_INT32, _Type.TYPE_INT64
_DOUBLE, _FIXED32, _FIXED64 = _Type.TYPE_DOUBLE, _Type.TYPE_FIXED32, _Type.TYPE_FIXED64

_MESSAGES: dict[str, Fields] = {
    # One field is declared because upb is lax about field number 0 in messages that have none.
    "Opaque": {"values": (1, _BYTES, True)},
    "AnyValue": {
        "text": (1, _BYTES, False),
        "boolean": (2, _BOOL, False),
        "integer": (3, _INT64, False),
        "number": (4, _DOUBLE, False),
        "array": (5, "Opaque", False),
        "map": (6, "Opaque", False),
        "raw": (7, _BYTES, False),
    },
    "KeyValue": {"key": (1, _BYTES, False), "value": (2, "AnyValue", False)},
    "Resource": {"attributes": (1, "KeyValue", True)},
    "Scope": {"attributes": (3, "KeyValue", True)},
    "Event": {"name": (2, _BYTES, False), "attributes": (3, "KeyValue", True)},
    "Link": {"attributes": (4, "KeyValue", True)},
    "Status": {"code": (3, _INT32, False)},
    # What a record must be: every message that is ever looked into, declared as such, and no other field.
    "CheckedSpan": {
        "attributes": (9, "KeyValue", True),
        "events": (11, "Event", True),
        "links": (13, "Link", True),
        "status": (15, "Status", False),
    },
    "CheckedScopeSpans": {"scope": (1, "Scope", True), "spans": (2, "CheckedSpan", True)},
    "CheckedResourceSpans": {"resource": (1, "Resource", True), "scope_spans": (2, "CheckedScopeSpans", True)},
    "CheckedTracesData": {"resource_spans": (1, "CheckedResourceSpans", True)},
    "Span": {
        "trace_id": (1, _BYTES, False),
        "span_id": (2, _BYTES, False),
        "trace_state": (3, _BYTES, False),
        "parent_span_id": (4, _BYTES, False),
        "name": (5, _BYTES, False),
        "kind": (6, _INT32, False),
        "start": (7, _FIXED64, False),
        "end": (8, _FIXED64, False),
        "attributes": (9, _BYTES, True),
        "events": (11, _BYTES, True),
        "status": (15, "Status", False),
        "flags": (16, _FIXED32, False),
    },
    # Spans are shown, all else of a section is its header, which stays unknown and is read apart.
    "TracesData": {"resource_spans": (1, _BYTES, True)},
    "ResourceSpans": {"scope_spans": (2, _BYTES, True)},
    "ScopeSpans": {"spans": (2, "Span", True)},
    "RawScopeSpans": {"spans": (2, _BYTES, True)},
    "SectionHeader": {"parts": (1, _BYTES, True), "schema_url": (3, _BYTES, False)},
    "RawResource": {"attributes": (1, _BYTES, True)},
    "RawScope": {"attributes": (3, _BYTES, True)},
    "RawEvent": {"name": (2, _BYTES, False), "attributes": (3, _BYTES, True)},
    # The values of one attribute are joined, as protobuf merges them.
    "RawKeyValue": {"key": (1, _BYTES, False), "value": (2, _BYTES, True)},
    # A span as it is looked at before it leaves.
    "Named": {"key": (1, _BYTES, False)},
    "LeavingSpan": {"trace_state": (3, _BYTES, False), "attributes": (9, "Named", True)},
}


SLIM = message_classes("tailsampler.slim", _MESSAGES)
"""Message classes by name, in a descriptor pool of their own."""

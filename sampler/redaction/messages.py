"""The messages that are decoded to change something in them.

Only what can be changed is declared, and a span's ids, so that they stay at its beginning; all else stays an unknown
field and is written back as it came, behind the known ones. Texts are declared as bytes, so that a text that is no
UTF-8 is neither refused nor altered. The outer messages hold the inner ones as bytes, so that a span nothing applies to
is never decoded.
"""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as _Type

from sampler.otlp.messages import Fields, message_classes

_BYTES, _BOOL, _UINT32 = _Type.TYPE_BYTES, _Type.TYPE_BOOL, _Type.TYPE_UINT32
_INT64, _DOUBLE = _Type.TYPE_INT64, _Type.TYPE_DOUBLE

_MESSAGES: dict[str, Fields] = {
    "AnyValue": {
        "text": (1, _BYTES, False),
        "boolean": (2, _BOOL, False),
        "integer": (3, _INT64, False),
        "number": (4, _DOUBLE, False),
        "array": (5, "ArrayValue", False),
        "map": (6, "KeyValueList", False),
        "raw": (7, _BYTES, False),
    },
    "ArrayValue": {"values": (1, "AnyValue", True)},
    "KeyValueList": {"values": (1, "KeyValue", True)},
    "KeyValue": {"key": (1, _BYTES, False), "value": (2, "AnyValue", False)},
    "Resource": {"attributes": (1, "KeyValue", True), "dropped": (2, _UINT32, False)},
    "Scope": {"attributes": (3, "KeyValue", True), "dropped": (4, _UINT32, False)},
    "Event": {"name": (2, _BYTES, False), "attributes": (3, "KeyValue", True), "dropped": (4, _UINT32, False)},
    "Link": {"attributes": (4, "KeyValue", True), "dropped": (5, _UINT32, False)},
    "Status": {"message": (2, _BYTES, False)},
    "Span": {
        "trace_id": (1, _BYTES, False),
        "span_id": (2, _BYTES, False),
        "trace_state": (3, _BYTES, False),
        "parent_span_id": (4, _BYTES, False),
        "name": (5, _BYTES, False),
        "attributes": (9, "KeyValue", True),
        "dropped": (10, _UINT32, False),
        "events": (11, "Event", True),
        "links": (13, "Link", True),
        "status": (15, "Status", False),
    },
    "TracesData": {"resource_spans": (1, _BYTES, True)},
    "ResourceSpans": {"resource": (1, "Resource", False), "scope_spans": (2, _BYTES, True)},
    "ScopeSpans": {"scope": (1, "Scope", False), "spans": (2, _BYTES, True)},
}


MESSAGES = message_classes("tailsampler.redaction", _MESSAGES)
"""Message classes by name."""

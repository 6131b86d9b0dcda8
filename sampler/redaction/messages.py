"""The messages that are decoded to change something in them.

Only what can be changed is declared, and a span's ids, so that they stay at its beginning; all else stays an unknown
field and is written back as it came, behind the known ones. Texts are declared as bytes, so that a text that is no
UTF-8 is neither refused nor altered. The outer messages hold the inner ones as bytes, so that a span nothing applies to
is never decoded.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tailsampler.redaction"
_Type = descriptor_pb2.FieldDescriptorProto
_BYTES, _BOOL, _UINT32 = _Type.TYPE_BYTES, _Type.TYPE_BOOL, _Type.TYPE_UINT32
_INT64, _DOUBLE = _Type.TYPE_INT64, _Type.TYPE_DOUBLE

# message -> field -> (number of opentelemetry.proto, type, repeated); a type in words is another message.
_MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
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


def _file() -> descriptor_pb2.FileDescriptorProto:
    # proto2: what is there but empty stays there.
    file = descriptor_pb2.FileDescriptorProto(name="tailsampler/redaction.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        if message_name == "AnyValue":
            message.oneof_decl.add(name="value")
        for name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=name, number=number)
            field.label = _Type.LABEL_REPEATED if repeated else _Type.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Type.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
            if message_name == "AnyValue":
                field.oneof_index = 0
    return file


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


MESSAGES = _classes()
"""Message classes by name."""

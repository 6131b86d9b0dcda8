"""Message classes of protobuf made at run time: forms of OTLP that declare only what a reader needs.

They are proto2, so that what is there but empty is told apart from what is absent, and lie in a descriptor pool of
their own, so that they meet no other form of OTLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Fields: TypeAlias = dict[str, tuple[int, Any, bool]]
"""By name of the field: its number, its type (one of FieldDescriptorProto, or in words another message), repeated."""
UNION = "AnyValue"
"""The message whose fields are alternatives, the oneof `value`."""
_Type = descriptor_pb2.FieldDescriptorProto


def message_classes(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """The classes by name of message."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file(package, messages).SerializeToString())
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"{package}.{name}")) for name in messages}


def _file(package: str, messages: Mapping[str, Fields]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        if message_name == UNION:
            message.oneof_decl.add(name="value")
        for name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=name, number=number)
            field.label = _Type.LABEL_REPEATED if repeated else _Type.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Type.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = kind
            if message_name == UNION:
                field.oneof_index = 0
    return file

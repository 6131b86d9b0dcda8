"""From the wire bytes of fields (`policies.conditions.Part`) to OTTL values, read as tolerantly as by a Collector.

Texts that are no UTF-8 are kept; of a field that stands there twice the last counts. Bytes that are no protobuf, and
values nested deeper than 64 levels, raise EvaluationError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from policies.conditions import Part
from policies.ottl.errors import EvaluationError
from policies.ottl.kinds import PMap, PSlice, text_of, wrapped

MAX_DEPTH = 64
_VARINT, _FIXED64, _LENGTH, _GROUP, _END_GROUP, _FIXED32 = range(6)


def fields_of(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a message: an int for varints and fixed ones, else bytes."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _varint(content, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if kind == _LENGTH:
            length, at = _varint(content, at)
        elif kind == _FIXED64:
            length = 8
        elif kind == _FIXED32:
            length = 4
        else:
            raise EvaluationError("not a message of OTLP")
        stop = at + length
        if stop > end:
            raise EvaluationError("a message that is cut off")
        part = content[at:stop]
        yield number, part if kind == _LENGTH else int.from_bytes(part, "little")
        at = stop


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise EvaluationError("a message that is cut off")
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (2**64 - 1), at
        shift += 7


def value_of(content: bytes, depth: int = 0) -> Any:
    """The value of an AnyValue."""
    if depth > MAX_DEPTH:
        raise EvaluationError(f"a value nested deeper than {MAX_DEPTH} levels")
    value: Any = None
    for number, part in fields_of(content):
        match number, part:
            case 1, bytes():
                value = text_of(part)
            case 2, int():
                value = bool(part)
            case 3, int():
                value = wrapped(part)
            case 4, int():
                value = struct.unpack("<d", part.to_bytes(8, "little"))[0]
            case 5, bytes():
                value = PSlice([value_of(item, depth + 1) for item in _parts(part, 1)])
            case 6, bytes():
                value = attributes_of(part, 1, depth + 1)
            case 7, bytes():
                value = part
    return value


def _parts(content: bytes, field: int) -> Iterator[bytes]:
    """The messages that stand in a field of a message."""
    return (part for number, part in fields_of(content) if number == field and isinstance(part, bytes))


def attributes_of(content: bytes, field: int, depth: int = 0) -> PMap:
    """The KeyValues that stand in a field of a message."""
    return PMap([_pair(part, depth) for part in _parts(content, field)])


def _pair(content: bytes, depth: int) -> tuple[str, Any]:
    key, value = b"", b""
    for number, part in fields_of(content):
        if isinstance(part, bytes):
            if number == 1:
                key = part
            elif number == 2:
                value = part
    return text_of(key), value_of(value, depth)


class Message:
    """A message whose fields are looked at when they are asked for."""

    __slots__ = ("_fields", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._fields: dict[int, list[int | bytes]] | None = None

    def all(self, number: int) -> list[int | bytes]:
        """The values of a field in order."""
        if self._fields is None:
            self._fields = {}
            for key, value in fields_of(self.content):
                self._fields.setdefault(key, []).append(value)
        return self._fields.get(number, [])

    def number(self, number: int) -> int:
        """The last value of a number field, 0 where it is not set; unsigned."""
        values = self.all(number)
        last = values[-1] if values else 0
        return last if isinstance(last, int) else 0

    def bytes(self, number: int) -> bytes:
        """The last value of a bytes field, empty where it is not set."""
        values = self.all(number)
        last = values[-1] if values else b""
        return last if isinstance(last, bytes) else b""

    def text(self, number: int) -> str:
        """The last value of a text field, empty where it is not set."""
        return text_of(self.bytes(number))


def _attribute(content: bytes | None) -> Any:
    return None if content is None else value_of(content)


def _text(content: bytes | None) -> str:
    return text_of(content or b"")


def _number(content: bytes | None) -> int:
    return int.from_bytes(content or b"", "little", signed=True)


def _message(content: bytes | None) -> Message:
    return Message(content or b"")


DECODERS: dict[Part, Callable[[bytes | None], Any]] = {
    Part.RESOURCE_ATTRIBUTE: _attribute,
    Part.SCOPE_ATTRIBUTE: _attribute,
    Part.SPAN_ATTRIBUTE: _attribute,
    Part.EVENT_ATTRIBUTE: _attribute,
    Part.SPAN_NAME: _text,
    Part.EVENT_NAME: _text,
    Part.TRACE_STATE: _text,
    Part.RESOURCE_SCHEMA_URL: _text,
    Part.SCOPE_SCHEMA_URL: _text,
    Part.STATUS_CODE: _number,
    Part.KIND: _number,
    Part.START_TIME: _number,
    Part.END_TIME: _number,
    Part.RESOURCE: _message,
    Part.SCOPE: _message,
    Part.SPAN: _message,
    Part.EVENT: _message,
}
"""What the bytes of each part become."""

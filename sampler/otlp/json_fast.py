"""OTLP JSON to protobuf in a fraction of the time that protobuf's own JSON reader takes.

Only the form that exporters write is read here: lowerCamelCase names, values of the expected type, arrays and maps a
few levels deep. Whatever else stands in a request is left to `sampler.otlp.json_reader`, which knows every form that is
allowed and says what is wrong with the others; so both always agree.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from sampler.otlp.wire import varint

# Together they bound what is remembered to a few MiB, whatever a sender puts into attributes.
_MAX_REMEMBERED = 1 << 14
_MAX_REMEMBERED_BYTES = 256
_NESTED_VALUES = 4  # arrays and maps within one another
_Writer: TypeAlias = Callable[[Any], bytes]


class _UnusualError(Exception):
    """A form for the thorough reader."""


def write_usual_form(document: Any) -> bytes | None:
    """A serialized ExportTraceServiceRequest from its parsed OTLP JSON; None where it has not the usual form."""
    try:
        return _message(document, _REQUEST)
    except (_UnusualError, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        return None


def _message(value: Any, fields: dict[str, _Writer]) -> bytes:
    """The fields of a JSON object as wire bytes, each with its tag."""
    if type(value) is not dict:
        raise _UnusualError
    return b"".join([fields[name](content) for name, content in value.items()])


def _object(fields: dict[str, _Writer]) -> _Writer:
    return lambda value: _message(value, fields)


def _many(tag: bytes, write: _Writer) -> _Writer:
    """A repeated message: the JSON list's items, each behind the tag and its length."""

    def field(values: Any) -> bytes:
        if type(values) is not list:
            raise _UnusualError
        parts: list[bytes] = []
        for value in values:
            content = write(value)
            parts += (tag, _length(content), content)
        return b"".join(parts)

    return field


def _one(tag: bytes, write: _Writer) -> _Writer:
    def field(value: Any) -> bytes:
        content = write(value)
        return tag + _length(content) + content

    return field


def _length(content: bytes) -> bytes:
    size = len(content)
    return _LENGTHS[size] if size < 1024 else varint(size)


_LENGTHS = [varint(size) for size in range(1024)]


def _text(tag: bytes) -> _Writer:
    def field(value: Any) -> bytes:
        if type(value) is not str:
            raise _UnusualError
        content = value.encode()
        return tag + _length(content) + content if content else b""

    return field


def _hexadecimal(tag: bytes) -> _Writer:
    def field(value: Any) -> bytes:
        content = bytes.fromhex(value)
        return tag + _length(content) + content if content else b""

    return field


def _integer(value: Any, low: int, high: int) -> int:
    """A whole number, or its decimal form in a string."""
    if type(value) is str and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if type(value) is not int or not low <= value < high:
        raise _UnusualError
    return value


def _time(tag: bytes) -> _Writer:
    def field(value: Any) -> bytes:
        number = _integer(value, 0, 1 << 64)
        return tag + number.to_bytes(8, "little") if number else b""

    return field


def _count(tag: bytes) -> _Writer:
    def field(value: Any) -> bytes:
        number = _integer(value, 0, 1 << 32)
        return tag + varint(number) if number else b""

    return field


def _flags(value: Any) -> bytes:
    number = _integer(value, 0, 1 << 32)
    return b"\x85\x01" + number.to_bytes(4, "little") if number else b""


def _enumeration(tag: bytes, names: tuple[str, ...]) -> _Writer:
    """An enum by number, as exporters write it, or by name."""
    values: dict[Any, bytes] = {}
    for number, name in enumerate(names):
        values[number] = values[name] = tag + varint(number) if number else b""

    def field(value: Any) -> bytes:
        if type(value) not in (int, str):
            raise _UnusualError
        return values[value]

    return field


_remembered: dict[tuple[str, str, type, Any], bytes] = {}


def _key_value(any_value: _Writer) -> _Writer:
    """A KeyValue. Equal ones with a plain value are remembered: most attributes come again and again."""
    write_key, write_value = _text(b"\x0a"), _one(b"\x12", any_value)

    def field(attribute: Any) -> bytes:
        key, value = attribute["key"], attribute["value"]
        if len(attribute) != 2 or len(value) != 1 or type(key) is not str:
            raise _UnusualError
        ((kind, content),) = value.items()
        plain = type(content) in (str, int, bool)
        if plain:
            known = _remembered.get((key, kind, type(content), content))
            if known is not None:
                return known
        written = write_key(key) + write_value(value)
        if plain and len(written) <= _MAX_REMEMBERED_BYTES:
            if len(_remembered) >= _MAX_REMEMBERED:
                _remembered.clear()
            _remembered[key, kind, type(content), content] = written
        return written

    return field


def _any_value(nested: int) -> _Writer:
    """An AnyValue with at most `nested` levels of arrays and maps."""
    writers = dict(_PLAIN_VALUES)
    if nested:
        inner = _any_value(nested - 1)
        writers["arrayValue"] = _one(b"\x2a", _object({"values": _many(b"\x0a", inner)}))
        writers["kvlistValue"] = _one(b"\x32", _object({"values": _many(b"\x0a", _key_value(inner))}))

    def field(value: Any) -> bytes:
        if type(value) is not dict or len(value) != 1:
            raise _UnusualError
        ((kind, content),) = value.items()
        return writers[kind](content)

    return field


def _string_value(value: Any) -> bytes:
    if type(value) is not str:
        raise _UnusualError
    content = value.encode()
    return b"\x0a" + _length(content) + content


def _bool_value(value: Any) -> bytes:
    if type(value) is not bool:
        raise _UnusualError
    return b"\x10\x01" if value else b"\x10\x00"


def _int_value(value: Any) -> bytes:
    return b"\x18" + varint(_integer(value, -(1 << 63), 1 << 63) & (1 << 64) - 1)


def _double_value(value: Any) -> bytes:
    if type(value) not in (float, int) or not math.isfinite(value):
        raise _UnusualError
    return b"\x21" + struct.pack("<d", value)


_PLAIN_VALUES: dict[str, _Writer] = {
    "stringValue": _string_value,
    "boolValue": _bool_value,
    "intValue": _int_value,
    "doubleValue": _double_value,
}
_attribute = _key_value(_any_value(_NESTED_VALUES))
_EVENT: dict[str, _Writer] = {
    "timeUnixNano": _time(b"\x09"),
    "name": _text(b"\x12"),
    "attributes": _many(b"\x1a", _attribute),
    "droppedAttributesCount": _count(b"\x20"),
}
_STATUS: dict[str, _Writer] = {
    "message": _text(b"\x12"),
    "code": _enumeration(b"\x18", ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")),
}
_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_SPAN: dict[str, _Writer] = {
    "traceId": _hexadecimal(b"\x0a"),
    "spanId": _hexadecimal(b"\x12"),
    "traceState": _text(b"\x1a"),
    "parentSpanId": _hexadecimal(b"\x22"),
    "name": _text(b"\x2a"),
    "kind": _enumeration(b"\x30", tuple(f"SPAN_KIND_{name}" for name in _KINDS)),
    "startTimeUnixNano": _time(b"\x39"),
    "endTimeUnixNano": _time(b"\x41"),
    "attributes": _many(b"\x4a", _attribute),
    "droppedAttributesCount": _count(b"\x50"),
    "events": _many(b"\x5a", _object(_EVENT)),
    "droppedEventsCount": _count(b"\x60"),
    "droppedLinksCount": _count(b"\x70"),
    "status": _one(b"\x7a", _object(_STATUS)),
    "flags": _flags,
}
_SCOPE: dict[str, _Writer] = {
    "name": _text(b"\x0a"),
    "version": _text(b"\x12"),
    "attributes": _many(b"\x1a", _attribute),
    "droppedAttributesCount": _count(b"\x20"),
}
_SCOPE_SPANS: dict[str, _Writer] = {
    "scope": _one(b"\x0a", _object(_SCOPE)),
    "spans": _many(b"\x12", _object(_SPAN)),
    "schemaUrl": _text(b"\x1a"),
}
_RESOURCE: dict[str, _Writer] = {
    "attributes": _many(b"\x0a", _attribute),
    "droppedAttributesCount": _count(b"\x10"),
}
_RESOURCE_SPANS: dict[str, _Writer] = {
    "resource": _one(b"\x0a", _object(_RESOURCE)),
    "scopeSpans": _many(b"\x12", _object(_SCOPE_SPANS)),
    "schemaUrl": _text(b"\x1a"),
}
_REQUEST: dict[str, _Writer] = {"resourceSpans": _many(b"\x0a", _object(_RESOURCE_SPANS))}

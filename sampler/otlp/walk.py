"""A protobuf reader in plain Python: finds where malformed input goes wrong, and cuts kept spans without a compiler.

The rules are those of the compiled readers (and of upb): tags and lengths of at most 5 bytes, varints of at most 10,
groups and messages nested to a depth of 100.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sampler.otlp.errors import CODES, ScanError

MAX_DEPTH = 100

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)

_SHORT_MASK = 0x87
"""Of a tag of one byte: its wire type, and that no byte follows."""


class Field(NamedTuple):
    """One field: `tag` is number << 3 | wire type; the content of a length-delimited one is data[value:end]."""

    tag: int
    start: int
    value: int
    end: int


def _fail(offset: int, code: int) -> ScanError:
    return ScanError(offset, CODES[code])


def read_varint(data: bytes, at: int, end: int, limit: int, code: int) -> tuple[int, int]:
    """(value, offset behind it) of a varint of at most `limit` bytes; else ScanError with `code`."""
    value = shift = 0
    for position in range(at, min(end, at + limit)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise _fail(at, code)


def _read_tag(data: bytes, at: int, end: int, *, in_group: bool = False) -> tuple[int, int]:
    """(tag, offset behind it); in a group of unknown fields the number 0 is let pass, as protobuf does."""
    tag, after = read_varint(data, at, end, 5, 1)
    if tag >= 2**32:
        raise _fail(at, 1)
    if not tag >> 3 and not in_group:
        raise _fail(at, 2)
    if tag & 7 > FIXED32:
        raise _fail(at, 3)
    return tag, after


def _skip_value(data: bytes, tag: int, at: int, end: int) -> tuple[int, int]:
    """(start, end) of the content of a field that is no group."""
    wire = tag & 7
    if wire == BYTES:
        length, value = read_varint(data, at, end, 5, 5)
        if length >= 2**31:
            raise _fail(at, 5)
        if length > end - value:
            raise _fail(at, 6)
        return value, value + length
    if wire == VARINT:
        return at, read_varint(data, at, end, 10, 4)[1]
    size = 8 if wire == FIXED64 else 4
    if size > end - at:
        raise _fail(at, 7)
    return at, at + size


def _skip_group(data: bytes, start: int, tag: int, at: int, end: int, depth: int) -> int:
    """The offset behind the group whose start tag lies at `start`."""
    open_groups = [(tag >> 3, start)]
    while open_groups:
        if len(open_groups) > depth:
            raise _fail(open_groups[-1][1], 10)
        if at >= end:
            raise _fail(open_groups[-1][1], 8)
        position = at
        tag, at = _read_tag(data, at, end, in_group=True)
        if tag & 7 == START_GROUP:
            open_groups.append((tag >> 3, position))
        elif tag & 7 == END_GROUP:
            if open_groups.pop()[0] != tag >> 3:
                raise _fail(position, 9)
        else:
            at = _skip_value(data, tag, at, end)[1]
    return at


def fields(data: bytes, at: int, end: int, depth: int = MAX_DEPTH) -> Iterator[Field]:
    """The fields of the message data[at:end]; ScanError at the first that cannot be read."""
    while at < end:
        tag = data[at]
        # Nearly all fields are short text or messages: tag and length of a byte each.
        if tag & _SHORT_MASK == BYTES and tag > BYTES and at + 1 < end and data[at + 1] <= min(0x7F, end - at - 2):
            value = at + 2
            after = value + data[at + 1]
            yield Field(tag, at, value, after)
            at = after
            continue
        tag, value = _read_tag(data, at, end)
        if tag & 7 == START_GROUP:
            after = _skip_group(data, at, tag, value, end, depth)
        elif tag & 7 == END_GROUP:
            raise _fail(at, 9)
        else:
            value, after = _skip_value(data, tag, value, end)
        yield Field(tag, at, value, after)
        at = after


def find_fault(record: bytes) -> ScanError | None:
    """The first fault in a `TracesData`, in the order in which the compiled scanner reads; None where there is none."""
    try:
        for field in fields(record, 0, len(record)):
            if field.tag == 0x0A:
                _check_resource_spans(record, field.value, field.end)
    except ScanError as error:
        return error
    return None


def find_span_fault(chunk: bytes) -> ScanError | None:
    """The same where no more is read than what `annotate` reads: the sections, the spans, their attributes' keys."""
    try:
        for resource_spans in fields(chunk, 0, len(chunk)):
            if resource_spans.tag == 0x0A:
                for scope_spans in _inner(chunk, resource_spans):
                    for span in _inner(chunk, scope_spans):
                        _check_keys(chunk, span)
    except ScanError as error:
        return error
    return None


def _inner(data: bytes, section: Field) -> list[Field]:
    """The scopes or spans of a section, all of which is read first."""
    return [field for field in fields(data, section.value, section.end) if field.tag == 0x12]


def _check_keys(data: bytes, span: Field) -> None:
    for field in fields(data, span.value, span.end):
        if field.tag == 0x4A:
            for _ in fields(data, field.value, field.end):
                pass


def _check_resource_spans(data: bytes, at: int, end: int) -> None:
    parts = list(fields(data, at, end, MAX_DEPTH - 1))
    for field in parts:
        if field.tag == 0x0A:
            _check_attributes(data, field, MAX_DEPTH - 2, 0x0A)
    for field in parts:
        if field.tag == 0x12:
            _check_scope_spans(data, field.value, field.end)


def _check_scope_spans(data: bytes, at: int, end: int) -> None:
    parts = list(fields(data, at, end, MAX_DEPTH - 2))
    for field in parts:
        if field.tag == 0x0A:
            _check_attributes(data, field, MAX_DEPTH - 3, 0x1A)
    for field in parts:
        if field.tag == 0x12:
            _check_span(data, field.value, field.end)


def _check_span(data: bytes, at: int, end: int) -> None:
    for field in fields(data, at, end, MAX_DEPTH - 3):
        if field.tag == 0x4A:
            _check_key_value(data, field.value, field.end, MAX_DEPTH - 4)
        elif field.tag == 0x5A:
            _check_attributes(data, field, MAX_DEPTH - 4, 0x1A)
        elif field.tag == 0x6A:
            _check_attributes(data, field, MAX_DEPTH - 4, 0x22)
        elif field.tag == 0x7A:
            for _ in fields(data, field.value, field.end, MAX_DEPTH - 4):
                pass


def _check_attributes(data: bytes, message: Field, depth: int, attribute_tag: int) -> None:
    """Check a message that holds attributes in the field `attribute_tag`."""
    for field in fields(data, message.value, message.end, depth):
        if field.tag == attribute_tag:
            _check_key_value(data, field.value, field.end, depth - 1)


def _check_key_value(data: bytes, at: int, end: int, depth: int) -> None:
    for field in fields(data, at, end, depth):
        if field.tag == 0x12:
            for part in fields(data, field.value, field.end, depth - 1):
                if part.tag in {0x2A, 0x32}:
                    for _ in fields(data, part.value, part.end, depth - 2):
                        pass

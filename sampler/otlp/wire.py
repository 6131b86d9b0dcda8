"""Writes protobuf's wire format."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A non-negative number as a protobuf varint."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(tag: bytes, content: bytes) -> bytes:
    """A length-delimited field; `tag` is its encoded number and wire type."""
    return tag + varint(len(content)) + content


def field_size(content_size: int) -> int:
    """The size in bytes of a length-delimited field with a tag of one byte."""
    return 1 + max(1, (content_size.bit_length() + 6) // 7) + content_size

"""MurmurHash3 with seed 0, as published by Austin Appleby: x86 32 bits and x64 128 bits."""

from __future__ import annotations

_M32 = 2**32 - 1
_M64 = 2**64 - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def murmur3_32(data: bytes) -> int:
    """The 32-bit hash."""
    length = len(data)
    number = 0
    for at in range(0, length - length % 4, 4):
        number ^= _mixed32(int.from_bytes(data[at : at + 4], "little"))
        number = (_rotated(number, 13, 32) * 5 + 0xE6546B64) & _M32
    number ^= _mixed32(int.from_bytes(data[length - length % 4 :], "little"))
    number ^= length
    number = (number ^ number >> 16) * 0x85EBCA6B & _M32
    number = (number ^ number >> 13) * 0xC2B2AE35 & _M32
    return number ^ number >> 16


def murmur3_128(data: bytes) -> tuple[int, int]:
    """The two halves of the 128-bit hash."""
    length = len(data)
    first = second = 0
    whole = length - length % 16
    for at in range(0, whole, 16):
        first ^= _low(int.from_bytes(data[at : at + 8], "little"))
        first = ((_rotated(first, 27, 64) + second) * 5 + 0x52DCE729) & _M64
        second ^= _high(int.from_bytes(data[at + 8 : at + 16], "little"))
        second = ((_rotated(second, 31, 64) + first) * 5 + 0x38495AB5) & _M64
    second ^= _high(int.from_bytes(data[whole + 8 :], "little"))
    first ^= _low(int.from_bytes(data[whole : whole + 8], "little"))
    first, second = first ^ length, second ^ length
    first = (first + second) & _M64
    second = (second + first) & _M64
    first, second = _finished(first), _finished(second)
    first = (first + second) & _M64
    return first, (second + first) & _M64


def _rotated(number: int, by: int, bits: int) -> int:
    return (number << by | number >> (bits - by)) & ((1 << bits) - 1)


def _mixed32(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & _M32, 15, 32) * 0x1B873593 & _M32


def _low(block: int) -> int:
    return _rotated(block * _C1 & _M64, 31, 64) * _C2 & _M64


def _high(block: int) -> int:
    return _rotated(block * _C2 & _M64, 33, 64) * _C1 & _M64


def _finished(number: int) -> int:
    number = (number ^ number >> 33) * 0xFF51AFD7ED558CCD & _M64
    number = (number ^ number >> 33) * 0xC4CEB9FE1A85EC53 & _M64
    return number ^ number >> 33

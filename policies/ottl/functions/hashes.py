"""Converters that make hashes and ids."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import UNKNOWN, converter, prepared
from policies.ottl.functions.murmur3 import murmur3_32, murmur3_128
from policies.ottl.getters import BYTES_LIKE, STRING
from policies.ottl.gotext import short
from policies.ottl.kinds import Identifier, raw, wrapped

_HEX = re.compile(rb"[0-9a-fA-F]*")


@converter(target=STRING)
def MD5(target: str) -> str:
    """The MD5 of a string, in hexadecimal."""
    return hashlib.md5(raw(target), usedforsecurity=False).hexdigest()


@converter(target=STRING)
def SHA1(target: str) -> str:
    """The SHA-1 of a string, in hexadecimal."""
    return hashlib.sha1(raw(target), usedforsecurity=False).hexdigest()


@converter(target=STRING)
def SHA256(target: str) -> str:
    """The SHA-256 of a string, in hexadecimal."""
    return hashlib.sha256(raw(target)).hexdigest()


@converter(target=STRING)
def SHA512(target: str) -> str:
    """The SHA-512 of a string, in hexadecimal."""
    return hashlib.sha512(raw(target)).hexdigest()


@converter(target=STRING)
def FNV(target: str) -> int:
    """The FNV-1a hash of a string, 64 bits, as a signed integer."""
    number = 0xCBF29CE484222325
    for byte in raw(short(target)):
        number = (number ^ byte) * 0x100000001B3 & (2**64 - 1)
    return wrapped(number)


@converter(target=STRING)
def Murmur3Hash(target: str) -> str:
    """The 32-bit MurmurHash3 of a string, in hexadecimal, lowest byte first."""
    return murmur3_32(raw(short(target))).to_bytes(4, "little").hex()


@converter(target=STRING)
def Murmur3Hash128(target: str) -> str:
    """The 128-bit MurmurHash3 of a string, in hexadecimal, lowest byte of each half first."""
    first, second = murmur3_128(raw(short(target)))
    return (first.to_bytes(8, "little") + second.to_bytes(8, "little")).hex()


@converter(target=BYTES_LIKE)
def Hex(target: bytes | None) -> str:
    """The bytes of a value in hexadecimal: strings and bytes as they are, numbers as 8 bytes, highest first."""
    return (target or b"").hex()


@prepared(target=BYTES_LIKE)
def TraceID(known: Sequence[Any]) -> Callable[[bytes | None], Identifier]:
    """A trace id from 16 bytes or 32 hexadecimal digits."""
    return _identifier("trace", 16, known[0])


@prepared(target=BYTES_LIKE)
def SpanID(known: Sequence[Any]) -> Callable[[bytes | None], Identifier]:
    """A span id from 8 bytes or 16 hexadecimal digits."""
    return _identifier("span", 8, known[0])


@prepared(target=BYTES_LIKE)
def ProfileID(known: Sequence[Any]) -> Callable[[bytes | None], Identifier]:
    """A profile id from 16 bytes or 32 hexadecimal digits."""
    return _identifier("profile", 16, known[0])


def _identifier(kind: str, length: int, known: Any) -> Callable[[bytes | None], Identifier]:
    def make(target: bytes | None) -> Identifier:
        content = target or b""
        if len(content) == length:
            return Identifier(kind, content)
        if len(content) == 2 * length and _HEX.fullmatch(content):
            return Identifier(kind, bytes.fromhex(content.decode()))
        raise EvaluationError(f"a {kind} id has {length} bytes or {2 * length} hexadecimal digits")

    if known is not UNKNOWN:
        try:
            make(known)
        except EvaluationError as error:
            raise ValueError(str(error)) from error
    return make

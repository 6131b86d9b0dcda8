"""The conversions between a value and what a function asks for: the Collector's typed getters.

A *strict* one takes values of its type only. A *like* one converts: nil stays nil, and what cannot be converted is an
error.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.gotext import text_like
from policies.ottl.kinds import INT64_MAX, INT64_MIN, Duration, PlainInt, PMap, PSlice, Strings, Time, raw, type_name

_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEX_FLOAT = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_SPECIAL = re.compile(r"[+-]?(inf|infinity)|nan", re.IGNORECASE)
_MISPLACED = re.compile(r"_(?![0-9])|(?<![0-9])_")
_MISPLACED_HEX = re.compile(r"_(?![0-9a-fA-F])|(?<![0-9a-fA-FxX])_")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True, slots=True)
class Form:
    """What a function takes for an argument: its name in messages, and the conversion of a value."""

    name: str
    convert: Callable[[Any], Any]


def _strict(name: str, kind: type) -> Form:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise EvaluationError(f"expected {name}, got {type_name(value)}")
        return value

    return Form(name, convert)


def _as_is(value: Any) -> Any:
    return value


def _map(value: Any) -> PMap:
    if isinstance(value, PMap):
        return value
    if isinstance(value, dict):
        return PMap([(key, data_of(item)) for key, item in value.items()])
    raise EvaluationError(f"expected map, got {type_name(value)}")


def _slice(value: Any) -> PSlice:
    if isinstance(value, PSlice):
        return value
    if isinstance(value, Strings):
        return PSlice(list(value.items))
    if isinstance(value, list):
        return PSlice([data_of(item) for item in value])
    raise EvaluationError(f"expected list, got {type_name(value)}")


def data_of(value: Any) -> Any:
    """A value that an expression made as one of the data; EvaluationError where data has no such type."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, list):
        return PSlice([data_of(item) for item in value])
    if isinstance(value, dict):
        return PMap([(key, data_of(item)) for key, item in value.items()])
    if isinstance(value, PlainInt):
        return value.number
    raise EvaluationError(f"{type_name(value)} cannot stand in a list or map")


def _string_like(value: Any) -> str | None:
    return None if value is None else text_like(value)


def _int_like(value: Any) -> int | None:
    match value:
        case None:
            return None
        case bool():
            return int(value)
        case int():
            return value
        case float():
            return truncated(value)
        case str():
            return parse_int(value)
        case _:
            raise EvaluationError(f"{type_name(value)} cannot become an integer")


def truncated(number: float) -> int:
    """A float without its fraction; what does not fit 64 bits is the smallest integer, as on amd64."""
    if math.isnan(number) or not -(2.0**63) <= number < 2.0**63:
        return INT64_MIN
    return int(number)


def parse_int(text: str) -> int | None:
    """A decimal integer of 64 bits, None where the text is none."""
    if not _INT.fullmatch(text):
        return None
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > 19:
        return None
    number = -int(digits) if text[0] == "-" else int(digits)
    return number if INT64_MIN <= number <= INT64_MAX else None


def _float_like(value: Any) -> float | None:
    match value:
        case None:
            return None
        case bool() | int() | float():
            return float(value)
        case str():
            return parse_float(value)
        case _:
            raise EvaluationError(f"{type_name(value)} cannot become a float")


def parse_float(text: str) -> float:
    """A float as Go reads it: decimal or hexadecimal, underscores between digits, inf and nan; else EvaluationError."""
    digits = text
    if "_" in text:
        misplaced = _MISPLACED_HEX if "x" in text.lower() else _MISPLACED
        if misplaced.search(text):
            raise EvaluationError("a string that is no number")
        digits = text.replace("_", "")
    if _FLOAT.fullmatch(digits):
        number = float(digits)
    elif _HEX_FLOAT.fullmatch(digits):
        number = _hex_float(digits)
    elif digits is text and _SPECIAL.fullmatch(text):
        return float(text)
    else:
        raise EvaluationError("a string that is no number")
    if math.isinf(number):
        raise EvaluationError("a number out of range")
    return number


def _hex_float(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return math.inf


def _bool_like(value: Any) -> bool | None:
    match value:
        case None:
            return None
        case bool():
            return value
        case int() | float():
            return value != 0
        case PlainInt():
            return value.number != 0
        case str():
            if value in _TRUE or value in _FALSE:
                return value in _TRUE
            raise EvaluationError("a string that is no boolean")
        case _:
            raise EvaluationError(f"{type_name(value)} cannot become a boolean")


def _bytes_like(value: Any) -> bytes | None:
    match value:
        case None:
            return None
        case bool():
            return bytes([value])
        case int():
            return value.to_bytes(8, "big", signed=True)
        case float():
            return struct.pack(">d", value)
        case str():
            return raw(value)
        case bytes():
            return value
        case _:
            raise EvaluationError(f"{type_name(value)} cannot become bytes")


ANY = Form("any value", _as_is)
STRING = _strict("string", str)
INT = _strict("int", int)
FLOAT = _strict("double", float)
BOOL = _strict("bool", bool)
TIME = _strict("time", Time)
DURATION = _strict("duration", Duration)
MAP = Form("map", _map)
SLICE = Form("list", _slice)
STRING_LIKE = Form("anything that becomes a string", _string_like)
INT_LIKE = Form("anything that becomes an integer", _int_like)
FLOAT_LIKE = Form("anything that becomes a float", _float_like)
BOOL_LIKE = Form("anything that becomes a boolean", _bool_like)
BYTES_LIKE = Form("anything that becomes bytes", _bytes_like)

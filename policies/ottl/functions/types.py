"""Converters that ask for a type or change it."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import converter, many, prepared
from policies.ottl.getters import (
    ANY,
    BOOL,
    BOOL_LIKE,
    FLOAT,
    FLOAT_LIKE,
    INT,
    INT_LIKE,
    MAP,
    STRING,
    STRING_LIKE,
)
from policies.ottl.kinds import Opaque, PMap, PSlice, Strings, raw, type_name


@converter(probe=True, target=STRING)
def IsString(target: Any) -> bool:
    """Whether a value is a string."""
    return type(target) is str


@converter(probe=True, target=INT)
def IsInt(target: Any) -> bool:
    """Whether a value is an integer."""
    return type(target) is int


@converter(probe=True, target=FLOAT)
def IsDouble(target: Any) -> bool:
    """Whether a value is a float."""
    return type(target) is float


@converter(probe=True, target=BOOL)
def IsBool(target: Any) -> bool:
    """Whether a value is a boolean."""
    return type(target) is bool


@converter(probe=True, target=MAP)
def IsMap(target: Any) -> bool:
    """Whether a value is a map."""
    return isinstance(target, PMap | dict)


@converter(probe=True, target=ANY)
def IsList(target: Any) -> bool:
    """Whether a value is a list; the events and links of a span are lists too."""
    if isinstance(target, Opaque):
        return target.length is not None
    return isinstance(target, PSlice | list | Strings)


@converter(target=STRING_LIKE)
def String(target: str | None) -> str | None:
    """A value as a string: numbers, lists and maps as JSON, bytes in hexadecimal; nil stays nil."""
    return target


@converter(target=INT_LIKE)
def Int(target: int | None) -> int | None:
    """A value as an integer: floats cut off, decimal strings, booleans as 1 and 0; nil where it is none."""
    return target


@converter(target=FLOAT_LIKE)
def Double(target: float | None) -> float | None:
    """A value as a float; a string that is no number is an error, nil stays nil."""
    return target


@converter(target=BOOL_LIKE)
def Bool(target: bool | None) -> bool | None:
    """A value as a boolean: numbers but 0, "true", "t", "1" and so on; another string is an error, nil stays nil."""
    return target


@converter(target=ANY)
def Len(target: Any) -> int:
    """The number of bytes of a string or bytes value, or of elements of a list or map; else an error."""
    match target:
        case str():
            return len(raw(target))
        case bytes() | list() | dict():
            return len(target)
        case PSlice() | Strings():
            return len(target.items)
        case PMap():
            return len(target.pairs)
        case Opaque(length=int() as length):
            return length
        case _:
            raise EvaluationError(f"{type_name(target)} has no length")


@converter(target=FLOAT_LIKE)
def Log(target: float | None) -> float:
    """The natural logarithm of a number above 0; else an error."""
    if target is None or target <= 0:
        raise EvaluationError("the logarithm of what is no number above 0")
    return math.inf if math.isinf(target) else math.log(target)


@prepared(lazy=True, values=many(ANY))
def Coalesce(known: Sequence[Any]) -> Callable[[list[Callable[[], Any]]], Any]:
    """The first value that is not nil; those after it are not looked at."""
    if known[0] == []:
        raise ValueError("the list is empty")

    def coalesce(values: list[Callable[[], Any]]) -> Any:
        return next((found for found in (value() for value in values) if found is not None), None)

    return coalesce

"""Comparison and arithmetic between OTTL values: what the Collector's `compare.go` and `math.go` answer.

Values of different types are never equal and never ordered, but for integers and floats, which compare as floats. nil
equals nil only (and the empty bytes value). Lists and maps can be equal, not ordered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.kinds import (
    INT64_MAX,
    INT64_MIN,
    Duration,
    Identifier,
    Opaque,
    PlainInt,
    PMap,
    PSlice,
    Strings,
    Time,
    plain,
    raw,
    type_name,
    wrapped,
)

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""The operator that says the same with the sides exchanged."""


def comparison(symbol: str) -> Callable[[Any, Any], bool]:
    """The comparison for an operator; it raises EvaluationError only for two results of Split."""
    order = _ORDERS[symbol]
    unequal = symbol == "!="
    nils_match = symbol in ("==", "<=", ">=")
    ordering = symbol not in ("==", "!=")

    def compare(left: Any, right: Any) -> bool:  # noqa: PLR0911 - one line a group of types
        kind, other = type(left), type(right)
        no_left = left is None or (kind is bytes and not left)
        no_right = right is None or (other is bytes and not right)
        if no_left or no_right:
            return nils_match if no_left and no_right else unequal
        if kind is str or kind is bytes or kind is bool or kind is Time or kind is Duration:
            if other is not kind:
                return unequal
            if kind is Time:
                return order(left.ns, right.ns)
            return order(raw(left), raw(right)) if ordering and kind is str else order(left, right)
        if kind is int or kind is float:
            if other is not int and other is not float:
                return unequal
            return order(left, right) if kind is other else order(float(left), float(right))
        if ordering:
            return False
        return equal_composites(left, right) is not unequal

    return compare


def equal_composites(left: Any, right: Any) -> bool:
    """Equality of lists, maps, ids and opaque values, or of one of them with something else."""
    kind, other = type(left), type(right)
    if kind in (PMap, PSlice) and kind is other:
        return same_data(left, right)
    if kind in (PMap, dict) and other in (PMap, dict):
        return deeply_equal(_outer_plain(left), _outer_plain(right))
    if kind in (PSlice, list) and other in (PSlice, list):
        return deeply_equal(_outer_plain(left), _outer_plain(right))
    if kind is Strings and other is Strings:
        raise EvaluationError("two lists of strings made by Split cannot be compared")
    return kind is other and kind in (Identifier, Opaque, PlainInt) and bool(left == right)


def _outer_plain(value: Any) -> Any:
    return plain(value) if isinstance(value, PMap | PSlice) else value


def same_data(left: Any, right: Any) -> bool:
    """Equality of two values of the data: the same type and content."""
    if type(left) is not type(right):
        return False
    if isinstance(left, PSlice):
        return len(left.items) == len(right.items) and all(map(same_data, left.items, right.items))
    if isinstance(left, PMap):
        others = right.first
        return len(left.pairs) == len(right.pairs) and all(
            key in others and same_data(value, others[key]) for key, value in left.pairs
        )
    return bool(left == right)


def deeply_equal(left: Any, right: Any) -> bool:
    """Equality of lists and dicts an expression makes: of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(deeply_equal, left, right))
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            key in right and deeply_equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, PMap | PSlice):
        return same_data(left, right)
    if isinstance(left, Strings):
        return bool(left.items == right.items)
    return bool(left == right)


equal = comparison("==")
"""Whether two values are equal."""


def calculate(symbol: str, left: Any, right: Any) -> Any:
    """The sum, difference, product or quotient of two values; EvaluationError where their types do not allow it."""
    kind, other = type(left), type(right)
    if kind is int and other is int:
        return _integers(symbol, left, right)
    if kind in (int, float) and other in (int, float):
        return _floats(symbol, float(left), float(right))
    if kind is Time and symbol in ("+", "-"):
        if other is Duration:
            change = right.ns if symbol == "+" else wrapped(-right.ns)
            return Time(left.ns + change, left.offset_s)
        if other is Time and symbol == "-":
            return Duration(min(max(left.ns - right.ns, INT64_MIN), INT64_MAX))
    if kind is Duration and symbol in ("+", "-"):
        if other is Duration:
            return Duration(wrapped(left.ns + right.ns if symbol == "+" else left.ns - right.ns))
        if other is Time and symbol == "+":
            return Time(right.ns + left.ns, right.offset_s)
    raise EvaluationError(f"{type_name(left)} {symbol} {type_name(right)} cannot be calculated")


def _integers(symbol: str, left: int, right: int) -> int:
    match symbol:
        case "+":
            return wrapped(left + right)
        case "-":
            return wrapped(left - right)
        case "*":
            return wrapped(left * right)
    if right == 0:
        raise EvaluationError("division by 0")
    quotient = abs(left) // abs(right)
    return wrapped(quotient if (left < 0) == (right < 0) else -quotient)


def _floats(symbol: str, left: float, right: float) -> float:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    if right == 0:
        raise EvaluationError("division by 0")
    return left / right


def negated(value: Any) -> Any:
    """-value of a number; raises EvaluationError for anything else."""
    if type(value) is int:
        return wrapped(-value)
    if type(value) is float:
        return -value
    raise EvaluationError(f"-{type_name(value)} cannot be calculated")

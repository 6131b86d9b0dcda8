"""Converters of lists and maps."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import TEXT, converter, optional, prepared
from policies.ottl.getters import ANY, MAP, SLICE, data_of
from policies.ottl.gotext import float_text
from policies.ottl.kinds import PMap, PSlice, Strings, plain, raw, type_name
from policies.ottl.values import equal


@converter(target=MAP)
def Keys(target: PMap) -> PSlice:
    """The keys of a map, as a list, in their order."""
    return PSlice([key for key, _ in target.pairs])


@converter(target=MAP)
def Values(target: PMap) -> PSlice:
    """The values of a map, as a list, in the order of the keys."""
    return PSlice([value for _, value in target.pairs])


@converter(target=SLICE, item=ANY)
def ContainsValue(target: PSlice, item: Any) -> bool:
    """Whether a list has an element that equals a value."""
    return any(equal(plain(element), item) for element in target.items)


def index_in_list(target: Any, value: Any) -> int:
    """The position of the first element of a list that equals a value, else -1."""
    for at, element in enumerate(SLICE.convert(target).items):
        if equal(plain(element), value):
            return at
    return -1


@prepared(target=ANY, order=optional(TEXT))
def Sort(known: Sequence[Any]) -> Callable[[Any, Any], Any]:
    """A list in order, "asc" (also where left out) or "desc": numbers as numbers, mixed with strings as strings."""
    order = known[1]
    if order not in (None, "asc", "desc"):
        raise ValueError(f'invalid order {order!r}: "asc" or "desc"')
    return lambda target, _: _sorted(target, descending=order == "desc")


def _sorted(target: Any, *, descending: bool) -> Any:
    if isinstance(target, Strings):
        return Strings(sorted(target.items, key=raw, reverse=descending))
    if not isinstance(target, PSlice | list):
        raise EvaluationError(f"{type_name(target)} is no list")
    data = target if isinstance(target, PSlice) else data_of(target)
    kinds = {type(item) for item in data.items}
    if not kinds or kinds - {int, float, str, bool, type(None)}:
        return data
    if kinds <= {int, float}:
        return sorted(data.items, key=_number_key if float in kinds else None, reverse=descending)
    return sorted(data.items, key=lambda item: raw(_scalar_text(item)), reverse=descending)


def _number_key(number: float) -> tuple[bool, float]:
    """NaN stands before all numbers."""
    value = float(number)
    return (False, 0.0) if math.isnan(value) else (True, value)


def _scalar_text(value: Any) -> str:
    """A simple value of the data as a string: nil is empty."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            if math.isnan(value):
                return "NaN"
            if math.isinf(value):
                return "Infinity" if value > 0 else "-Infinity"
            return float_text(value).replace("e-0", "e-")
        case _:
            return str(value)

"""Attribute values as text, as they stand in a key.

A number counts by its digits and not by its type: 1, 1.0 and "1" are the same value, because services that speak of the
same thing write it in different types.
"""

from __future__ import annotations

import json
from decimal import Decimal
from math import isfinite
from typing import Any


def text_of(value: Any) -> str:  # noqa: PLR0911 - one line a type
    """An AnyValue as text. Lists and maps are written so that different ones differ."""
    match value.WhichOneof("value"):
        case "string_value":
            return str(value.string_value)
        case "int_value":
            return str(value.int_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "double_value":
            return number(value.double_value)
        case "bytes_value":
            return str(value.bytes_value.hex())
        case "array_value":
            return f"[{','.join(map(_inside, value.array_value.values))}]"
        case "kvlist_value":
            members = (f"{json.dumps(each.key)}:{_inside(each.value)}" for each in value.kvlist_value.values)
            return f"{{{','.join(members)}}}"
        case _:
            return "null"


def number(value: float) -> str:
    """The shortest digits that mean this number, without exponent; 2.0 is 2."""
    if not isfinite(value):
        return str(value)
    digits = format(Decimal(repr(value)), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _inside(value: Any) -> str:
    text = text_of(value)
    return json.dumps(text) if value.WhichOneof("value") in {"string_value", "bytes_value"} else text

"""The converter Format: Go's fmt.Sprintf for the verbs %s, %d, %t, %v and %%, without flags and widths."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import TEXT, many, prepared
from policies.ottl.getters import ANY
from policies.ottl.gotext import MAX_TEXT, bounded
from policies.ottl.kinds import type_name

_VERB = re.compile("%(.?)", re.DOTALL)
_TYPES = {str: "string", int: "int64", float: "float64", bool: "bool"}
_FITTING = {"s": (str,), "d": (int,), "t": (bool,), "v": (str, int, float, bool)}


@prepared(format=TEXT, vals=many(ANY))
def Format(known: Sequence[Any]) -> Callable[[str, list[Any]], str]:
    """A text with values in place of `%s`, `%d`, `%t` or `%v`: strings, numbers, booleans and nil; others err."""
    pieces = _pieces(known[0])

    def fill(_: str, vals: list[Any]) -> str:
        out: list[str] = []
        used = 0
        for piece, verb in pieces:
            out.append(piece)
            if not verb:
                continue
            out.append(_shown(vals[used], verb) if used < len(vals) else f"%!{verb}(MISSING)")
            used += 1
        if used < len(vals):
            rest = ", ".join("<nil>" if value is None else f"{_type(value)}={_text(value)}" for value in vals[used:])
            out.append(f"%!(EXTRA {rest})")
        if sum(map(len, out)) > MAX_TEXT:
            raise EvaluationError(f"a string of more than {MAX_TEXT} characters")
        return bounded("".join(out))

    return fill


def _pieces(layout: str) -> list[tuple[str, str]]:
    """(text, the verb after it) of a format; ValueError where it says more than is supported."""
    pieces: list[tuple[str, str]] = []
    text, at = "", 0
    for found in _VERB.finditer(layout):
        text += layout[at : found.start()]
        at = found.end()
        if found[1] == "%":
            text += "%"
        elif found[1] and found[1] in _FITTING:
            pieces.append((text, found[1]))
            text = ""
        else:
            raise ValueError(f"%{found[1]} is not supported: %s, %d, %t, %v and %%, without flags and widths")
    return [*pieces, (text + layout[at:], "")]


def _shown(value: Any, verb: str) -> str:
    if value is None:
        return "<nil>" if verb == "v" else f"%!{verb}(<nil>)"
    if type(value) in _FITTING[verb]:
        return _text(value)
    return f"%!{verb}({_type(value)}={_text(value)})"


def _type(value: Any) -> str:
    if type(value) not in _TYPES:
        raise EvaluationError(f"{type_name(value)} in a format")
    return _TYPES[type(value)]


def _text(value: Any) -> str:
    _type(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


def _float(number: float) -> str:
    """A float as %v: in the shortest form, with an exponent below 1e-4 and from 1e6 on."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    if number and not 1e-4 <= abs(number) < 1e6:
        mantissa, _, exponent = f"{Decimal(repr(number)):e}".lower().partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

"""Bytes that must stand in wire data for a rule to apply: looking for them is far cheaper than decoding.

A key stands in wire data as it is written, and so does every text a pattern could be found in. Where nothing can be
told from an expression, its rule is tried on everything.
"""

from __future__ import annotations

import re

_SIGN = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:[^\]]*:\]|[^\]\\])*\]|\{[0-9,]*\}|.", re.DOTALL)
_LONG_ESCAPE = re.compile(r"\\[xpPQC0-9]")  # more than one sign belongs to it
_PLAIN_ESCAPE = re.compile(r"\\[^\w\s]")  # `\.` stands for the sign itself
_PLACES = frozenset({"^", "$", r"\A", r"\z", r"\Z", r"\b", r"\B"})
_MAY_BE_ABSENT = ("*", "?", "{")


def needle_of(pattern: str) -> bytes | None:
    """A text that stands in whatever the expression (RE2) matches, as long as can be told; None where none is known.

    Expressions with flags, quoting or signs given by number are not understood; of groups nothing is told.
    """
    if "(?" in pattern or _LONG_ESCAPE.search(pattern):
        return None
    runs = [""]
    depth = 0
    signs = _SIGN.findall(pattern)
    for number, sign in enumerate(signs):
        following = signs[number + 1] if number + 1 < len(signs) else ""
        if sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        if depth == 0 and sign == "|":
            return None
        literal = _literal(sign)
        if depth or literal is None or following.startswith(_MAY_BE_ABSENT):
            runs.append("")
            continue
        runs[-1] += literal
        if following == "+":
            runs.append("")
    longest = max(runs, key=len)
    return longest.encode() or None


def speaks_of_places(pattern: str) -> bool:
    """Whether an expression may ask where in its text a match stands: at its beginning, its end, or that of a word."""
    return r"\Q" in pattern or any(sign in _PLACES for sign in _SIGN.findall(pattern))


def _literal(sign: str) -> str | None:
    """The text a sign stands for, None where it stands for several or for a place."""
    if len(sign) == 1:
        return None if sign in r"\^$.|?*+()[]{}" else sign
    return sign[1:] if _PLAIN_ESCAPE.fullmatch(sign) else None

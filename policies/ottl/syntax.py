"""The tree of an OTTL condition, as the parser builds it.

`at` is the offset of a node in the expression; it takes no part in equality or in `repr`, so that two nodes that say
the same are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """nil, a string, a boolean, bytes, an integer or a float, a sign included."""

    value: str | bool | bytes | int | float | None
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Enum:
    """A name in capitals, e.g. STATUS_CODE_ERROR."""

    name: str
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """One name of a path, with the keys that index it."""

    name: str
    keys: tuple[Value, ...]
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """e.g. `resource.attributes["x"]`."""

    segments: tuple[Segment, ...]
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call, with its name where it is given."""

    name: str
    value: Value
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a converter, with the keys that index its result."""

    name: str
    arguments: tuple[Argument, ...]
    keys: tuple[Value, ...]
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Minus:
    """A sign before something that is no number literal."""

    term: Value
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """first (operator term)*, all operators of one precedence, from left to right."""

    first: Value
    rest: tuple[tuple[str, Value], ...]
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values."""

    items: tuple[Value, ...]
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map with literal keys."""

    items: tuple[tuple[str, Value], ...]
    at: int = field(repr=False, compare=False)


Value: TypeAlias = Literal | Enum | Path | Call | Minus | Arithmetic | ListOf | MapOf


@dataclass(frozen=True, slots=True)
class Comparison:
    """left operator right."""

    left: Value
    operator: str
    right: Value
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """true or false as a condition."""

    value: bool
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A converter as a condition: it must give a boolean."""

    call: Call
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """not term."""

    term: Condition
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """term and term …"""

    terms: tuple[Condition, ...]
    at: int = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """term or term …"""

    terms: tuple[Condition, ...]
    at: int = field(repr=False, compare=False)


Condition: TypeAlias = Comparison | Constant | Asked | Not | And | Or

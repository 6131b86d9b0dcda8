"""The values OTTL knows that Python has no type for.

nil, bool, int64, float64 and bytes are None, bool, int, float and bytes. A string is a str; bytes that are no UTF-8 are
kept in it by surrogate escapes, so that lengths and comparisons, which are those of bytes, stay exact. An empty bytes
value is nil for comparisons, as in the Collector. Lists and maps come in two forms that never compare equal inside one
another: those of the data (`PSlice`, `PMap`), and those that an expression makes (list, dict).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


def wrapped(number: int) -> int:
    """An integer cut to 64 bits, signed, as Go's arithmetic does."""
    return (number + 2**63) % 2**64 - 2**63


def raw(text: str) -> bytes:
    """The bytes of a string."""
    return text.encode("utf-8", "surrogateescape")


def text_of(content: bytes) -> str:
    """A string of bytes; those that are no UTF-8 are kept."""
    return content.decode("utf-8", "surrogateescape")


@final
@dataclass(frozen=True, slots=True, order=True)
class Time:
    """A point in time: nanoseconds since the Unix epoch. `offset_s` is that of its zone, seconds east of UTC."""

    ns: int
    offset_s: int = 0


@final
@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A duration in nanoseconds, int64."""

    ns: int


@final
@dataclass(frozen=True, slots=True)
class Identifier:
    """A trace, span or profile id: `kind` tells them apart."""

    kind: str
    content: bytes


@final
class PSlice:
    """A list of the data."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any]) -> None:
        self.items = items


@final
class PMap:
    """A map of the data: pairs in their order. Of a key that stands there twice the first counts."""

    __slots__ = ("_first", "pairs")

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs
        self._first: dict[str, Any] | None = None

    @property
    def first(self) -> dict[str, Any]:
        """Values by key."""
        if self._first is None:
            self._first = {}
            for key, value in self.pairs:
                self._first.setdefault(key, value)
        return self._first


@final
class Strings:
    """A list of strings made by Split: it can be indexed and measured, but equals nothing."""

    __slots__ = ("items",)

    def __init__(self, items: list[str]) -> None:
        self.items = items


@final
@dataclass(frozen=True, slots=True)
class PlainInt:
    """A number that is no int64 in the Collector, as the port of a URL: it equals no literal, but can be a string."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class Opaque:
    """Something of a span that has no value of its own: its status, its events, its links.

    `length` is the number of elements, None for what is no list. Equal `identity` means the same thing of a span.
    """

    identity: str
    length: int | None = None


def type_name(value: Any) -> str:
    """How a value's type is called in messages."""
    names = {
        type(None): "nil",
        bool: "bool",
        int: "int",
        float: "double",
        str: "string",
        bytes: "bytes",
        Time: "time",
        Duration: "duration",
        PSlice: "list",
        list: "list",
        Strings: "list of strings",
        PMap: "map",
        dict: "map",
        Identifier: "id",
    }
    return names.get(type(value), "opaque value")


def plain(value: Any) -> Any:
    """A value of the data as an expression would make it: lists and dicts all the way down (`AsRaw`)."""
    if isinstance(value, PSlice):
        return [plain(item) for item in value.items]
    if isinstance(value, PMap):
        return {key: plain(item) for key, item in value.pairs}
    return value

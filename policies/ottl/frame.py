"""What an expression is evaluated on: the fields it reads of one span or event, each decoded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from policies.conditions import Field
from policies.ottl.decode import DECODERS
from policies.ottl.errors import EvaluationError
from policies.ottl.kinds import PMap, PSlice, Strings

_COMPOSITE = frozenset({PMap, PSlice, Strings, list, dict})


MAX_WORK = 1 << 24
"""Bytes and characters that one evaluation may hand to converters and comparisons, all together."""


class Frame:
    """The values of the declared fields, and how much has been done with them."""

    __slots__ = ("_decoded", "_raw", "_size", "_work")

    def __init__(self, fields: Sequence[Field], values: Sequence[bytes | None]) -> None:
        self._raw = dict(zip(fields, values, strict=True))
        self._decoded: dict[Field, Any] = {}
        self._size = -1
        self._work = 0

    def spend(self, values: Sequence[Any]) -> None:
        """Counts what is done with values; EvaluationError where it is too much for one span.

        A string counts by its length, a list or map as all fields together, because it comes from them.
        """
        for value in values:
            kind = type(value)
            if kind is str or kind is bytes:
                self._work += len(value)
            elif kind in _COMPOSITE:
                if self._size < 0:
                    self._size = sum(len(content) for content in self._raw.values() if content)
                self._work += self._size
        if self._work > MAX_WORK:
            raise EvaluationError("too much work for one span")

    def has(self, field: Field) -> bool:
        """Whether an attribute is there at all; one without a value is."""
        return self._raw[field] is not None

    def read(self, field: Field) -> Any:
        """A declared field, decoded once."""
        decoded = self._decoded
        if field not in decoded:
            decoded[field] = DECODERS[field.part](self._raw[field])
        return decoded[field]


Get = Callable[[Frame], Any]
"""Gives the value of an expression, or raises EvaluationError."""


@dataclass(frozen=True, slots=True)
class Getter:
    """A value of an expression: how to get it, and what is known of it beforehand.

    `literal` values are the same for every span, by the Collector's notion of a literal, which calls are not. A `sure`
    one never raises.
    """

    get: Get
    fields: frozenset[Field] = frozenset()
    literal: bool = False
    sure: bool = False

    @property
    def value(self) -> Any:
        """That of a literal."""
        assert self.literal
        return self.get(_NOTHING)


_NOTHING = Frame((), ())


def literal(value: Any) -> Getter:
    """A value written in the expression."""
    return Getter(lambda _: value, literal=True, sure=True)

"""From the tree of a value to a function of the fields it reads.

Types are checked at load only where the Collector checks them: an argument that is a literal, and what must be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policies.conditions import Field, Part
from policies.errors import nearest
from policies.ottl.calls import bind
from policies.ottl.errors import EvaluationError, OttlError
from policies.ottl.frame import Frame, Get, Getter, literal
from policies.ottl.functions import CONVERTERS, LEFT_OUT
from policies.ottl.getters import data_of
from policies.ottl.index import in_result
from policies.ottl.kinds import PMap, PSlice
from policies.ottl.paths import KINDS, path_getter
from policies.ottl.syntax import Arithmetic, Call, Enum, ListOf, Literal, MapOf, Minus, Path, Segment, Value
from policies.ottl.values import calculate, negated

MAX_CALLS = 200
"""Calls of converters in one condition."""
ENUMS = {
    **{f"SPAN_KIND_{name.upper()}": number for number, name in enumerate(KINDS)},
    "STATUS_CODE_UNSET": 0,
    "STATUS_CODE_OK": 1,
    "STATUS_CODE_ERROR": 2,
}


class Builder:
    """Builds the values of one condition of the list `own` ("span" or "spanevent")."""

    def __init__(self, text: str, own: str) -> None:
        self.text = text
        self.own = own
        self._calls = 0

    def value(self, node: Value) -> Getter:  # noqa: PLR0911 - one line a kind of node
        """The getter of a value; raises OttlError."""
        match node:
            case Literal(value):
                return literal(value)
            case Enum():
                return literal(self._enum(node))
            case Path():
                return path_getter(node, self.own, self.text, self._keys_of)
            case Call():
                return self.call(node)
            case Minus(term):
                return self._minus(self.value(term))
            case Arithmetic():
                return self._arithmetic(node)
            case ListOf(items):
                return self._list([self.value(item) for item in items])
            case MapOf(items):
                return self._map(node, {key: self.value(item) for key, item in items})

    def call(self, node: Call) -> Getter:
        """The getter of a call; raises OttlError."""
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise OttlError(f"more than {MAX_CALLS} calls in one condition", self.text, node.at)
        if node.name == "IsRootSpan":
            getter = self._is_root(node)
        else:
            converter = CONVERTERS.get(node.name)
            if converter is None:
                raise self._unknown(node)
            getter = bind(converter, node, self.value, self.text)
        if not node.keys:
            return getter
        keys = [self.value(key) for key in node.keys]
        get = getter.get
        return Getter(lambda frame: in_result(get(frame), keys, frame), _fields([getter, *keys]))

    def _is_root(self, node: Call) -> Getter:
        if self.own != "span":
            raise OttlError("IsRootSpan() does not exist in conditions of events", self.text, node.at)
        if node.arguments:
            raise OttlError("IsRootSpan takes no arguments", self.text, node.arguments[0].at)
        field = Field(Part.SPAN)
        return Getter(lambda frame: not any(frame.read(field).bytes(4)), frozenset({field}), sure=True)

    def _unknown(self, node: Call) -> OttlError:
        if node.name in LEFT_OUT:
            return OttlError(f"{node.name} is not supported: {LEFT_OUT[node.name]}", self.text, node.at)
        known = [*CONVERTERS, "IsRootSpan"]
        folded = {name.lower(): name for name in known}
        suggestion = folded.get(node.name.lower()) or nearest(node.name, known)
        return OttlError(f"there is no converter {node.name}", self.text, node.at, suggestion)

    def _enum(self, node: Enum) -> int:
        if node.name not in ENUMS:
            suggestion = nearest(node.name, ENUMS)
            raise OttlError(f"there is no enum {node.name}", self.text, node.at, suggestion)
        return ENUMS[node.name]

    def _keys_of(self, segment: Segment) -> list[Getter]:
        return [self.value(key) for key in segment.keys]

    @staticmethod
    def _minus(term: Getter) -> Getter:
        get = term.get
        return Getter(lambda frame: negated(get(frame)), term.fields)

    def _arithmetic(self, node: Arithmetic) -> Getter:
        first = self.value(node.first)
        rest = [(symbol, self.value(term)) for symbol, term in node.rest]

        def get(frame: Frame) -> Any:
            value = first.get(frame)
            for symbol, term in rest:
                value = calculate(symbol, value, term.get(frame))
            return value

        return Getter(get, _fields([first, *(term for _, term in rest)]))

    @staticmethod
    def _list(items: Sequence[Getter]) -> Getter:
        if all(item.literal for item in items):
            values = [item.value for item in items]
            return literal(values)
        gets = [item.get for item in items]
        return Getter(lambda frame: [get(frame) for get in gets], _fields(items), sure=all(item.sure for item in items))

    def _map(self, node: MapOf, items: dict[str, Getter]) -> Getter:
        gets: dict[str, Get] = {key: item.get for key, item in items.items()}

        def get(frame: Frame) -> PMap:
            return PMap([(key, _entry(get_one(frame))) for key, get_one in gets.items()])

        if not all(item.literal for item in items.values()):
            return Getter(get, _fields(list(items.values())))
        try:
            return literal(get(Frame((), ())))
        except EvaluationError as error:
            raise OttlError(str(error), self.text, node.at) from error


def _entry(value: Any) -> Any:
    """A value as an entry of a map."""
    if isinstance(value, PMap):
        return value
    if isinstance(value, list):
        return PSlice([item if isinstance(item, PMap) else data_of(item) for item in value])
    return data_of(value)


def _fields(getters: Sequence[Getter]) -> frozenset[Field]:
    return frozenset[Field]().union(*(getter.fields for getter in getters))

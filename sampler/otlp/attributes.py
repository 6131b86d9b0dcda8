"""Asks the attribute leaves of a scan plan of encoded attributes: those of a resource, scope, span or event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeAlias

from sampler.otlp.leaves import Kind, Leaf
from sampler.otlp.memo import Memo
from sampler.otlp.schema import SLIM

_KNOWN_ATTRIBUTES = 65_536
_KNOWN_SIZE = 256
_KNOWN_LAYOUTS = 256
_PLACES_OF_A_LAYOUT = 8
_COUNTED_KEYS = 4
_MOST_TRUST, _LOST_TRUST = 64, 8

_key_value = SLIM["KeyValue"].FromString

ValueTest: TypeAlias = Callable[[str | None, Any], bool]
"""Asks a slim AnyValue; the text names the member that is set."""


class _Known(dict[bytes, int]):
    """Bits by encoded attribute; an unknown one is looked at, a short one remembered."""

    def __init__(self, bits_of: Callable[[Any], int]) -> None:
        self._bits_of = bits_of

    def __missing__(self, attribute: bytes) -> int:
        bits = self._bits_of(_key_value(attribute))
        if len(attribute) <= _KNOWN_SIZE:
            if len(self) >= _KNOWN_ATTRIBUTES:
                self.clear()
            self[attribute] = bits
        return bits


class Attributes:
    """The attribute leaves of one map, by key. Answers are bits, one a leaf, and one more that says that a key was
    there; those for at most 65,536 short attributes are remembered.
    """

    def __init__(self, numbered: Iterable[tuple[int, Leaf]], where: int) -> None:
        self._tests: dict[bytes, list[tuple[int, ValueTest]]] = {}
        self._there = 1
        for bit, leaf in numbered:
            self._there = max(self._there, bit << 1)
            if leaf.where & where:
                self._tests.setdefault(leaf.key, []).append((bit, _value_test(leaf)))
        # The empty key lies everywhere.
        self._counted = len(self._tests) <= _COUNTED_KEYS and b"" not in self._tests
        self._known = _Known(self._asked)
        self._layouts: dict[int, tuple[int, ...]] = {}
        """Where keys were found in spans with so many attributes."""
        self._trust = 0

    def bits_of(self, attributes: Iterable[bytes]) -> int:
        """The bits of encoded attributes."""
        # A dict's own look-up costs half of a loop in Python.
        return reduce(or_, map(self._known.__getitem__, attributes), 0) if self._tests else 0

    def mentions(self, parts: Iterable[bytes]) -> int:
        """How often these bytes hold one of the keys; 0 where that is not counted."""
        return sum(part.count(key) for part in parts for key in self._tests) if self._counted else 0

    def bits_of_each(self, spans: Sequence[Any], content: bytes, outside: int) -> list[int]:
        """The bits of each of these slim spans, all of a ResourceSpans `content`; `outside` are the `mentions` of its
        headers.

        Looking at every attribute costs more than all else that is done with a span. Spans with as many attributes
        often have the same ones in the same places: those are looked at first, and where the bytes hold the keys no
        more often than they were found, there is nothing else to find. While that fails often, and where counting
        many keys would cost more than it saves, every attribute is looked at.
        """
        if not self._counted:
            return [self.bits_of(span.attributes) for span in spans]
        if self._trust < 0:
            self._trust += 1
            return [self.bits_of(span.attributes) for span in spans]
        hidden = -outside
        for key in self._tests:
            hidden += content.count(key)
        if not hidden:
            return [0] * len(spans)
        bits = []
        layouts, known = self._layouts, self._known
        maps = [span.attributes for span in spans]
        for attributes in maps:
            own = 0
            for place in layouts.get(len(attributes), ()):
                found = known[attributes[place]]
                if found:
                    own |= found
                    hidden -= 1
            bits.append(own)
        if not hidden:
            self._trust = min(self._trust + 1, _MOST_TRUST)
            return bits
        self._trust -= _LOST_TRUST
        return [self._learned(attributes) for attributes in maps]

    def _learned(self, attributes: Sequence[bytes]) -> int:
        """The bits of a span's attributes; remembers where they were found."""
        found = list(map(self._known.__getitem__, attributes))
        layout = self._layouts.get(len(found), ())
        new = tuple(place for place, bits in enumerate(found) if bits and place not in layout)
        if new and (layout or len(self._layouts) < _KNOWN_LAYOUTS):
            self._layouts[len(found)] = (*new, *layout)[:_PLACES_OF_A_LAYOUT]
        return reduce(or_, found, 0)

    def _asked(self, attribute: Any) -> int:
        tests = self._tests.get(attribute.key)
        if tests is None:
            return 0
        value = attribute.value
        kind = value.WhichOneof("value")
        return self._there | sum(bit for bit, test in tests if test(kind, value))


def _value_test(leaf: Leaf) -> ValueTest:
    low, high = leaf.low, leaf.high
    match leaf.kind:
        case Kind.EXISTS:
            return lambda _, __: True
        case Kind.INT_RANGE:
            return lambda kind, value: kind == "integer" and low <= value.integer <= high
        case Kind.BOOL_IS:
            return lambda kind, value: kind == "boolean" and value.boolean == bool(low)
        case _:
            test = text_test(leaf)
            return lambda kind, value: kind == "text" and test(value.text)


def text_test(leaf: Leaf) -> Callable[[bytes], bool]:
    """The test of a leaf that asks a text."""
    return leaf.memo.ask if isinstance(leaf.memo, Memo) else leaf.values.__contains__

"""The fields that tests in Python get, read from messages of the slim schema: for the scanner without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policies.conditions import Field, Part, Where
from sampler.otlp.leaves import ATTRIBUTE_PARTS, MESSAGE_OF, Leaf
from sampler.otlp.schema import SLIM

_key_value = SLIM["RawKeyValue"].FromString
_HEADS: dict[Where, Callable[[bytes], Any]] = {
    Where.RESOURCE: SLIM["RawResource"].FromString,
    Where.SCOPE: SLIM["RawScope"].FromString,
}


class Place:
    """A resource, scope, span or event and, as `outer`, the place it is in; keeps what was read and answered of it.

    `content` are its bytes, `message` is the slim span or event. Resources and scopes have none: they are kept for
    long, and their attributes are read from the bytes.
    """

    __slots__ = ("_first", "answers", "content", "kind", "message", "outer", "schema_url")

    def __init__(
        self,
        kind: Where,
        outer: Place | None,
        content: bytes,
        message: Any = None,
        schema_url: bytes = b"",
    ) -> None:
        self.kind = kind
        self.outer = outer
        self.content = content
        self.message = message
        self.schema_url = schema_url
        self.answers: dict[int, bool] = {}
        self._first: dict[bytes, bytes | None] = {}

    def within(self, kind: Where) -> Place:
        """This place, or the one around it of that kind."""
        place: Place | None = self
        while place is not None and place.kind is not kind:
            place = place.outer
        assert place is not None, "asked only from places inside the wanted one"
        return place

    def attribute(self, key: bytes) -> bytes | None:
        """The value of the first attribute with a key, encoded; None where there is none."""
        if key not in self._first:
            self._first[key] = self._find(key)
        return self._first[key]

    def _find(self, key: bytes) -> bytes | None:
        # Searching the bytes for the key first spares most attributes the reading.
        if key not in self.content:
            return None
        message = self.message or _HEADS[self.kind](self.content)
        for encoded in message.attributes:
            if key in encoded:
                attribute = _key_value(encoded)
                if attribute.key == key:
                    return b"".join(attribute.value)
        return None


Asked = Callable[[Place], bool]
"""Asks the test of a leaf, from a place as deep as what it reads or deeper."""


def asked(number: int, leaf: Leaf) -> Asked:
    """The test of FIELDS leaf `number`, asked once per place."""
    assert leaf.memo is not None
    ask: Callable[[Any], bool] = leaf.memo.ask
    readers = [_reader(field) for field in leaf.fields]

    def answer(place: Place) -> bool:
        place = place.within(leaf.inmost)
        found = place.answers.get(number)
        if found is None:
            found = place.answers[number] = ask(tuple(read(place) for read in readers))
        return found

    return answer


_OWN: dict[Part, Callable[[Place], bytes]] = {
    Part.RESOURCE: lambda place: place.content,
    Part.SCOPE: lambda place: place.content,
    Part.SPAN: lambda place: place.content,
    Part.EVENT: lambda place: place.content,
    Part.RESOURCE_SCHEMA_URL: lambda place: place.schema_url,
    Part.SCOPE_SCHEMA_URL: lambda place: place.schema_url,
    Part.SPAN_NAME: lambda place: place.message.name,
    Part.EVENT_NAME: lambda place: place.message.name,
    Part.TRACE_STATE: lambda place: place.message.trace_state,
    Part.STATUS_CODE: lambda place: _number(place.message.status.code),
    Part.KIND: lambda place: _number(place.message.kind),
    Part.START_TIME: lambda place: _number(place.message.start),
    Part.END_TIME: lambda place: _number(place.message.end),
}


def _reader(field: Field) -> Callable[[Place], bytes | None]:
    kind = MESSAGE_OF.get(field.part, Where.SPAN)
    if field.part in ATTRIBUTE_PARTS:
        key = field.key.encode()
        return lambda place: place.within(kind).attribute(key)
    own = _OWN[field.part]
    return lambda place: own(place.within(kind))


def _number(value: int) -> bytes:
    return (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")

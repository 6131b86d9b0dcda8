"""How long values and how many attributes may be, and what every resource has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampler.redaction.messages import MESSAGES
from sampler.redaction.values import cut

_key_value = MESSAGES["KeyValue"]

# An attribute of a span begins with its field's tag, 9 << 3 | 2, or with that in more bytes than it needs.
_ATTRIBUTE_TAG, _LONG_TAG = b"\x4a", b"\xca"


class Limits:
    """`longest`: bytes of a text or byte string; `most`: attributes of a span; 0 is no limit.

    `upsert` are attributes of resources. Attributes in `spared` are never removed for being too many.
    """

    def __init__(
        self,
        longest: int = 0,
        most: int = 0,
        upsert: Mapping[str, str | bool | int | float] | None = None,
        spared: frozenset[str] = frozenset(),
    ) -> None:
        self.longest = longest
        self.most = most
        self.upsert = [_attribute(key, value) for key, value in (upsert or {}).items() if value != ""]
        self._upserted = frozenset(each.key for each in self.upsert)
        self._spared = frozenset(key.encode() for key in spared)

    def may_apply(self, data: bytes) -> bool:
        """False where certainly no value and no number of attributes in these bytes is beyond its limit."""
        if self.longest and len(data) > self.longest:
            return True
        return bool(self.most) and data.count(_ATTRIBUTE_TAG) + data.count(_LONG_TAG) > self.most

    def cut_values(self, attributes: Any) -> int:
        """Cut what is too long; returns in how many attributes."""
        longest = self.longest
        return sum([cut(attribute.value, longest) for attribute in attributes])

    def cut_span(self, span: Any) -> int:
        """The same in a span, its events and links."""
        if not self.longest:
            return 0
        count = self.cut_values(span.attributes)
        count += sum([self.cut_values(event.attributes) for event in span.events])
        return count + sum([self.cut_values(link.attributes) for link in span.links])

    def cap(self, span: Any) -> int:
        """Remove a span's attributes beyond the limit, the last first; returns how many."""
        attributes = span.attributes
        beyond = len(attributes) - self.most
        if not self.most or beyond <= 0:
            return 0
        doomed = [number for number in range(len(attributes) - 1, -1, -1) if attributes[number].key not in self._spared]
        for number in doomed[:beyond]:
            del attributes[number]
        removed = min(beyond, len(doomed))
        span.dropped = min(span.dropped + removed, 0xFFFFFFFF)
        return removed

    def complete(self, attributes: Any) -> int:
        """Give a resource what it should have; returns how many attributes are new or have another value."""
        held = [each for each in attributes if each.key in self._upserted]
        if len(held) == len(self.upsert) and all(each in held for each in self.upsert):
            return 0
        changed = len([each for each in self.upsert if each not in held])
        if held:
            for number in range(len(attributes) - 1, -1, -1):
                if attributes[number].key in self._upserted:
                    del attributes[number]
        attributes.extend(self.upsert)
        return max(changed, 1)


def _attribute(key: str, value: str | bool | float) -> Any:
    message = _key_value(key=key.encode())
    if isinstance(value, bool):
        message.value.boolean = value
    elif isinstance(value, int):
        message.value.integer = value
    elif isinstance(value, float):
        message.value.number = value
    else:
        message.value.text = value.encode()
    return message

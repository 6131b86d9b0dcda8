"""Spans that are dropped because of their name or their attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sampler.redaction.regexes import Expression
from sampler.redaction.values import text_of

_NUMBER = re.compile(rb"true|false|[-+0-9.einfa]+")
"""Texts that numbers and booleans are compared as; they do not stand as such in wire data."""


class Drop:
    """One condition: all that is given must hold."""

    def __init__(
        self,
        name: str,
        *,
        span_names: Iterable[str] = (),
        span_name_pattern: Expression | None = None,
        attributes: Mapping[str, Iterable[str]] | None = None,
        resource_attributes: Mapping[str, Iterable[str]] | None = None,
        whole_trace: bool = False,
    ) -> None:
        self.name = name
        self.whole_trace = whole_trace
        self._names = frozenset(each.encode() for each in span_names)
        self._pattern = span_name_pattern
        self._attributes = _encoded(attributes or {})
        self._texts = [
            (key, () if any(map(_NUMBER.fullmatch, texts)) else texts) for key, texts in self._attributes.items()
        ]
        self._resource = _encoded(resource_attributes or {})

    @property
    def asks_spans(self) -> bool:
        """Whether anything is asked of the span itself."""
        return bool(self._names or self._pattern is not None or self._attributes)

    def may_hold(self, data: bytes) -> bool:
        """False where the condition certainly holds for no span whose bytes are among these."""
        for key, texts in self._texts:
            if key not in data or (texts and not any(text in data for text in texts)):
                return False
        if self._pattern is not None and not self._pattern.may_stand_in(data):
            return False
        return not self._names or any(name in data for name in self._names)

    def may_hold_for_resource(self, data: bytes) -> bool:
        """The same for the bytes of a whole ResourceSpans, as far as the resource is concerned."""
        return all(key in data for key in self._resource)

    def holds_for_resource(self, resource: Any) -> bool:
        """Whether what is asked of the resource holds."""
        return _all_in(self._resource, resource.attributes)

    def holds_for_span(self, span: Any) -> bool:
        """Whether what is asked of the span holds."""
        if self._names and span.name not in self._names:
            return False
        if self._pattern is not None and not self._pattern.found_in(span.name):
            return False
        return _all_in(self._attributes, span.attributes)


def _encoded(values: Mapping[str, Iterable[str]]) -> dict[bytes, frozenset[bytes]]:
    return {key.encode(): frozenset(value.encode() for value in several) for key, several in values.items()}


def _all_in(wanted: Mapping[bytes, frozenset[bytes]], attributes: Any) -> bool:
    if not wanted:
        return True
    held = {each.key for each in attributes if text_of(each.value) in wanted.get(each.key, ())}
    return len(held) == len(wanted)

"""A rule at work: which attributes it looks at, and what it does to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from sampler.redaction.regexes import Expression
from sampler.redaction.values import Edit, found

REMEMBERED_KEYS = 4096
_NESTED = frozenset({"map", "array"})


class Rule:
    """One rule of the configuration. `edit` is None where it deletes, with `pattern` only what that is found in."""

    __slots__ = (
        "_all_keys", "_any_text", "_expressions", "_key_pattern", "_keys", "_known", "_pattern", "edit", "levels",
        "name", "texts",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        edit: Edit | None,
        *,
        keys: Iterable[str],
        key_pattern: Expression | None,
        all_keys: bool,
        pattern: Expression | None,
        levels: Iterable[str],
        texts: Iterable[str],
    ) -> None:
        self.name = name
        self.edit = edit
        self.levels = frozenset(levels)
        self.texts = frozenset(texts)
        self._keys = frozenset(key.encode() for key in keys)
        self._key_pattern = key_pattern
        self._all_keys = all_keys
        self._pattern = pattern
        self._known: dict[bytes, bool] = {}
        self._any_text = bool(self.texts) and pattern is None
        looks_for = [key_pattern, pattern if all_keys or self.texts else None]
        self._expressions = [each for each in looks_for if each is not None]

    def may_apply(self, data: bytes) -> bool:
        """False where the rule certainly changes nothing in these bytes."""
        if self._any_text:
            return True
        for key in self._keys:
            if key in data:
                return True
        return any(each.may_stand_in(data) for each in self._expressions)

    def looks_at(self, key: bytes) -> bool:
        """Whether the key is one of those that the rule names."""
        known = self._known.get(key)
        if known is None:
            known = key in self._keys or (self._key_pattern is not None and self._key_pattern.found_in(key))
            if len(self._known) >= REMEMBERED_KEYS:
                self._known.clear()
            self._known[key] = known
        return known

    def apply(self, attributes: Any) -> int:
        """Do it to attributes; returns how many of them, or of the entries of their maps, were changed or removed."""
        count = 0
        doomed: list[int] = []
        known, all_keys, edit = self._known, self._all_keys, self.edit
        for number, attribute in enumerate(attributes):
            key, value = attribute.key, attribute.value
            by_key = known.get(key)
            if by_key is None:
                by_key = self.looks_at(key)
            if by_key or all_keys:
                if edit is None:
                    if self._pattern is None or found(self._pattern, value, by_key):
                        doomed.append(number)
                elif edit.value(value, by_key):
                    count += 1
            if not by_key and value.WhichOneof("value") in _NESTED:
                count += self._inside(value)
        for number in reversed(doomed):
            del attributes[number]
        return count + len(doomed)

    def _inside(self, value: Any) -> int:
        """The entries of maps whose own key the rule names, wherever in the value they are."""
        if value.HasField("array"):
            return sum(self._inside(element) for element in value.array.values)
        if not value.HasField("map"):
            return 0
        count = 0
        doomed: list[int] = []
        entries = value.map.values
        for number, entry in enumerate(entries):
            if not self.looks_at(entry.key):
                count += self._inside(entry.value)
            elif self.edit is None:
                if self._pattern is None or found(self._pattern, entry.value, True):
                    doomed.append(number)
            elif self.edit.value(entry.value, True):
                count += 1
        for number in reversed(doomed):
            del entries[number]
        return count + len(doomed)


class TextField(Protocol):
    """A message with a name or message text of its own."""

    def HasField(self, name: str) -> bool: ...  # noqa: N802  protobuf's name


def apply_text(rule: Rule, message: TextField, field: str) -> int:
    """Do it to one text of a message, 1 where it changed."""
    if rule.edit is None or not message.HasField(field):
        return 0
    text: bytes = getattr(message, field)
    new = rule.edit.text(text)
    if new == text:
        return 0
    setattr(message, field, new)
    return 1


Count = Callable[[str, int], None]
"""Told the name of a rule and how often it was applied."""

"""What is done to the value of an attribute: `AnyValue` messages of `sampler.redaction.messages`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sampler.redaction.regexes import Expression

AnyValue = Any

HASH_PREFIX = b"sha256:"
_HASHED = re.compile(rb"sha256:[0-9a-f]{64}")


def text_of(value: AnyValue) -> bytes | None:
    """A scalar as text: numbers in decimal, booleans as true and false; None for arrays, maps and empty values."""
    match value.WhichOneof("value"):
        case "text":
            text: bytes = value.text
            return text
        case "raw":
            raw: bytes = value.raw
            return raw
        case "boolean":
            return b"true" if value.boolean else b"false"
        case "integer":
            return str(value.integer).encode()
        case "number":
            return repr(value.number).encode()
    return None


def leaves(value: AnyValue) -> Iterator[AnyValue]:
    """The scalars in a value, itself if it is one, the elements of arrays and the entries of maps at any depth."""
    match value.WhichOneof("value"):
        case "array":
            for element in value.array.values:
                yield from leaves(element)
        case "map":
            for entry in value.map.values:
                yield from leaves(entry.value)
        case None:
            return
        case _:
            yield value


def set_text(value: AnyValue, text: bytes) -> None:
    """Make it a text; nothing that was in it is left."""
    value.Clear()
    value.text = text


class Edit(Protocol):
    """Something done to values. `by_key`: the attribute was chosen by its key, so its numbers count as texts too."""

    def text(self, text: bytes) -> bytes: ...
    def value(self, value: AnyValue, by_key: bool) -> bool: ...


class Mask:
    """The same text in place of any value; of those in which the pattern is found, where there is one."""

    def __init__(self, replacement: bytes, pattern: Expression | None) -> None:
        self._replacement = replacement
        self._pattern = pattern

    def text(self, text: bytes) -> bytes:
        """A name or message."""
        if not text or (self._pattern is not None and not self._pattern.found_in(text)):
            return text
        return self._replacement

    def value(self, value: AnyValue, by_key: bool) -> bool:
        """True where the value changed."""
        if value.WhichOneof("value") == "text" and value.text == self._replacement:
            return False
        if self._pattern is not None and not found(self._pattern, value, by_key):
            return False
        set_text(value, self._replacement)
        return True


class Hash:
    """`sha256:` and the SHA-256 of salt and value in hexadecimal; a value of that form is left as it is.

    Of arrays and maps each scalar is hashed.
    """

    def __init__(self, salt: bytes, pattern: Expression | None) -> None:
        self._salted = hashlib.sha256(salt)
        self._pattern = pattern

    def text(self, text: bytes) -> bytes:
        """A name or message."""
        if not text or _HASHED.fullmatch(text) or (self._pattern is not None and not self._pattern.found_in(text)):
            return text
        salted = self._salted.copy()
        salted.update(text)
        return HASH_PREFIX + salted.hexdigest().encode()

    def value(self, value: AnyValue, by_key: bool) -> bool:
        """True where the value changed."""
        return _each_leaf(value, self.text, numbers=by_key)


class Rewrite:
    """A replacement for whatever the pattern matches."""

    def __init__(self, pattern: Expression, replacement: bytes) -> None:
        self._pattern = pattern
        self._replacement = replacement

    def text(self, text: bytes) -> bytes:
        """A name or message."""
        return self._pattern.replaced(text, self._replacement)

    def value(self, value: AnyValue, by_key: bool) -> bool:
        """True where the value changed."""
        return _each_leaf(value, self.text, numbers=by_key)


def found(pattern: Expression, value: AnyValue, numbers: bool) -> bool:
    """Whether the pattern is found in any of the value's texts, byte strings and, where asked, numbers."""
    return any(pattern.found_in(text) for _, text in _texts(value, numbers))


def _each_leaf(value: AnyValue, change: Callable[[bytes], bytes], *, numbers: bool) -> bool:
    changed = False
    for leaf, text in list(_texts(value, numbers)):
        new = change(text)
        if new == text:
            continue
        changed = True
        if leaf.HasField("raw") and not _HASHED.fullmatch(new):
            leaf.raw = new
        else:
            set_text(leaf, new)
    return changed


def _texts(value: AnyValue, numbers: bool) -> Iterator[tuple[AnyValue, bytes]]:
    for leaf in leaves(value):
        if numbers or leaf.HasField("text") or leaf.HasField("raw"):
            text = text_of(leaf)
            if text is not None:
                yield leaf, text


def cut(value: AnyValue, limit: int) -> bool:
    """Cut texts and byte strings in a value to `limit` bytes, texts before the character that would be cut in two.

    Hashes stay whole: half of one could be compared with nothing, and would be hashed again.
    """
    changed = False
    for leaf in leaves(value):
        if leaf.HasField("text") and len(leaf.text) > limit and not _HASHED.fullmatch(leaf.text):
            leaf.text = cut_text(leaf.text, limit)
            changed = True
        elif leaf.HasField("raw") and len(leaf.raw) > limit:
            leaf.raw = leaf.raw[:limit]
            changed = True
    return changed


def cut_text(text: bytes, limit: int) -> bytes:
    """The longest beginning of at most `limit` bytes that does not end within a character."""
    end = limit
    while end > limit - 3 and end and text[end] & 0xC0 == 0x80:
        end -= 1
    return text[:end]

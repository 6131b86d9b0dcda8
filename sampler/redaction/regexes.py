"""Regular expressions on values as they stand on the wire: RE2, in linear time, whatever the text holds."""

from __future__ import annotations

from typing import Any

import re2

from sampler.redaction.needles import needle_of, speaks_of_places


class Expression:
    """An expression, found anywhere in a value. In a value that is no UTF-8 it is looked for byte by byte."""

    __slots__ = ("_anywhere", "_bytewise", "_needle", "_text")

    def __init__(self, pattern: str) -> None:
        self._needle = needle_of(pattern) or b""
        # What is found in a value is then found too where the value stands among other bytes.
        self._anywhere = not speaks_of_places(pattern)
        options = re2.Options()
        options.log_errors = False
        self._text: Any = re2.compile(pattern.encode(), options)
        options.encoding = re2.Options.Encoding.LATIN1
        try:
            self._bytewise: Any = re2.compile(pattern.encode(), options)
        except re2.error:
            # A class of characters beyond ASCII can be none of bytes.
            self._bytewise = self._text

    def may_stand_in(self, data: bytes) -> bool:
        """False where the expression is certainly found in no value that stands somewhere in these bytes."""
        if self._needle:
            return self._needle in data
        return not self._anywhere or self._text.search(data) is not None or self._bytewise.search(data) is not None

    def found_in(self, value: bytes) -> bool:
        """Whether the expression matches somewhere."""
        return self._needle in value and self._form_for(value).search(value) is not None

    def replaced(self, value: bytes, replacement: bytes) -> bytes:
        """The value with every match replaced, groups filled in."""
        if self._needle not in value:
            return value
        form = self._form_for(value)
        if form.search(value) is None:
            return value
        new: bytes = form.sub(replacement, value)
        return new

    def _form_for(self, value: bytes) -> Any:
        if value.isascii():
            return self._text
        try:
            value.decode()
        except UnicodeDecodeError:
            return self._bytewise
        return self._text

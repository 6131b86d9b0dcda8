"""Regular expressions of policy files: RE2's syntax and its linear time, the same engine family as the Collector's.

Nothing here ever falls back to Python's `re`, whose time is exponential in the worst case: an expression in a policy
file, or one read from a span, cannot hang a worker.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import re2

from policies.conditions import Matcher

MAX_PATTERN = 16_384
"""Characters of an expression in a policy file."""
MAX_DYNAMIC_PATTERN = 1_024
"""Characters of an expression that is computed from a span: it is compiled while spans arrive."""
MAX_WORK = 1 << 28
"""Bytes of a text times instructions of an expression, above which it is not searched: about a second at worst."""
_MAX_MEMORY = 8 << 20
_MAX_DYNAMIC_MEMORY = 1 << 20
_REMEMBERED = 64


class RegexError(ValueError):
    """An expression that RE2 does not take; the text says why."""


class Regex:
    """A compiled expression, found anywhere in a text unless it is anchored. The text is UTF-8, as on the wire."""

    __slots__ = ("_compiled", "_longest", "_names", "pattern")

    def __init__(self, pattern: str, *, dynamic: bool = False) -> None:
        limit = MAX_DYNAMIC_PATTERN if dynamic else MAX_PATTERN
        if len(pattern) > limit:
            raise RegexError(f"longer than {limit} characters")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MAX_DYNAMIC_MEMORY if dynamic else _MAX_MEMORY
        try:
            # Bytes keep the search free of the conversion of offsets; the encoding of the options is UTF-8 by default.
            self._compiled: Any = re2.compile(pattern.encode(), options)
        except UnicodeEncodeError:
            raise RegexError("is no valid Unicode text") from None
        except re2.error as error:
            reason = error.args[0] if error.args else error
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise RegexError(text) from error
        self.pattern = pattern
        self._longest = MAX_WORK // max(1, self._compiled.programsize)
        named = {index: name.decode() for name, index in self._compiled.groupindex.items()}
        self._names = tuple(named.get(index, "") for index in range(1, self._compiled.groups + 1))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the groups in order, "" for those without one."""
        return self._names

    def found_in(self, text: bytes) -> bool:
        """Whether the expression matches somewhere; RegexError where text and expression are too large together."""
        self._check(text)
        return self._compiled.search(text) is not None

    def groups_in(self, text: bytes) -> tuple[bytes | None, ...] | None:
        """The groups of the first match in order, None for those that took no part; None where nothing matches."""
        self._check(text)
        match = self._compiled.search(text)
        return None if match is None else match.groups()

    def _check(self, text: bytes) -> None:
        if len(text) > self._longest:
            raise RegexError(f"an expression of this size searches at most {self._longest} bytes")


class RegexCache:
    """Expressions computed from spans, a bounded number of them at a time."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, Regex | RegexError] = OrderedDict()

    def get(self, pattern: str) -> Regex:
        """The expression; RegexError where RE2 does not take it."""
        known = self._compiled.get(pattern)
        if known is None:
            try:
                known = Regex(pattern, dynamic=True)
            except RegexError as error:
                known = error
            if len(pattern) <= MAX_DYNAMIC_PATTERN:
                self._compiled[pattern] = known
                if len(self._compiled) > _REMEMBERED:
                    self._compiled.popitem(last=False)
        if isinstance(known, RegexError):
            raise known
        return known


def regex_matcher(expressions: Sequence[str]) -> Matcher:
    """Any of the expressions, found anywhere in the value; ValueError names the one that is invalid."""
    compiled = []
    for expression in expressions:
        try:
            compiled.append(Regex(expression))
        except RegexError as error:
            raise ValueError(f"invalid regex {expression!r}: {error}") from error

    def test(value: str) -> bool:
        text = value.encode(errors="surrogateescape")
        return any(each.found_in(text) for each in compiled)

    return Matcher(f"re2 {json.dumps(list(expressions))}", test)

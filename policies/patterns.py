"""Patterns of text, as several policies take them in their config, and the conditions they become."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import re2
from pydantic import BeforeValidator, Field, model_validator

from policies.conditions import (
    AnyOf,
    AttributeIn,
    AttributeMatches,
    Matcher,
    NameIn,
    NameMatches,
    SpanCondition,
    Where,
)
from policies.contract import PolicyConfig
from policies.regex import regex_matcher


class Pattern(PolicyConfig):
    """What a text must be: `exact`ly this (case counts), or match all of a `glob`, or contain a match of a `regex`.

    In a glob `*` stands for any text, the empty one included, and `?` for one character; nothing else is special.
    A regular expression is RE2's and may match anywhere: anchors must be written.
    """

    exact: str | None = None
    """The text must be this; the same as writing the text alone."""
    glob: str | None = None
    """The whole text must match, with * for any text and ? for one character."""
    regex: str | None = None
    """The text must contain a match of this RE2 expression."""

    @model_validator(mode="after")
    def _one(self) -> Pattern:
        if len(self.model_fields_set) != 1 or None in (getattr(self, name) for name in self.model_fields_set):
            raise ValueError('a pattern is a text, {glob: "pay-*"} or {regex: "^pay-"}')
        if self.glob is not None or self.regex is not None:
            matcher_of([self])
        return self

    def __str__(self) -> str:
        if self.exact is not None:
            return json.dumps(self.exact, ensure_ascii=False)
        kind, text = ("glob", self.glob) if self.glob is not None else ("regex", self.regex)
        return f"{kind} {json.dumps(text, ensure_ascii=False)}"


def _as_pattern(value: Any) -> Any:
    if isinstance(value, str):
        return {"exact": value}
    if isinstance(value, dict | Pattern):
        return value
    raise ValueError(f'must be text (in quotes), {{glob: "pay-*"}} or {{regex: "^pay-"}}, not {value!r}')


TextPattern = Annotated[Pattern, BeforeValidator(_as_pattern, json_schema_input_type=str | Pattern)]
"""In a policy file a plain text, which must be equal, or a mapping with `glob` or `regex`."""

Patterns = Annotated[tuple[TextPattern, ...], Field(strict=False)]
"""A list of patterns, any of which may match."""


def matcher_of(patterns: Sequence[Pattern]) -> Matcher:
    """A test that any of the patterns passes; ValueError names a regular expression that is invalid."""
    expressions = []
    for pattern in patterns:
        if pattern.exact is not None:
            expressions.append(rf"\A{re2.escape(pattern.exact)}\z")
        elif pattern.glob is not None:
            parts = {"*": ".*", "?": "."}
            expressions.append(rf"(?s)\A{''.join(parts.get(char) or re2.escape(char) for char in pattern.glob)}\z")
        else:
            expressions.append(pattern.regex or "")
    return regex_matcher(expressions)


def attribute_like(key: str, patterns: Sequence[Pattern], where: Where) -> SpanCondition:
    """A string attribute passes one of the patterns."""
    return _like(
        patterns,
        lambda values: AttributeIn(key, values, where),
        lambda matcher: AttributeMatches(key, matcher, where),
    )


def name_like(patterns: Sequence[Pattern]) -> SpanCondition:
    """The name of the span passes one of the patterns."""
    return _like(patterns, NameIn, NameMatches)


def _like(
    patterns: Sequence[Pattern],
    equal: Callable[[frozenset[str]], SpanCondition],
    matching: Callable[[Matcher], SpanCondition],
) -> SpanCondition:
    """Exact texts as a set, which the scanner looks up by itself; the others as one matcher."""
    exact = frozenset(pattern.exact for pattern in patterns if pattern.exact is not None)
    others = [pattern for pattern in patterns if pattern.exact is None]
    terms = [*([equal(exact)] if exact else []), *([matching(matcher_of(others))] if others else [])]
    return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))


def either(patterns: Sequence[Pattern]) -> str:
    """The patterns for a description."""
    return " or ".join(str(pattern) for pattern in patterns)

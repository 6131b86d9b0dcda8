"""Keeps traces by a string attribute."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from policies.conditions import AttributeIn, AttributeMatches
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.regex import regex_matcher
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView


def _as_text(value: Any) -> Any:
    """YAML reads an unquoted 7 or true as a number or boolean; in a list of strings it means its text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, Field(strict=True), BeforeValidator(_as_text)]


class StringAttribute(Policy):
    """Keeps a trace with a span, or a resource of one, whose string attribute `key` has, or matches, one of `values`.

    Regular expressions are RE2's and may match anywhere in the value: anchors must be written. With `invert_match` it
    keeps exactly the other traces, those without the attribute included.
    """

    type = "string_attribute"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector."""

        key: str = Field(min_length=1)
        """Name of the attribute; values that are no text do not count."""
        values: tuple[Text, ...] = Field(default=(), strict=False)
        """What it must be, any of them; without, nothing matches."""
        enabled_regex_matching: bool = False
        """Whether `values` are regular expressions, RE2's, that are found anywhere in the value."""
        cache_max_size: int = 0
        """Accepted for compatibility: the memory of values is bounded in any case."""
        invert_match: bool = False
        """Keep the traces that have no such span."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._condition: AttributeIn | AttributeMatches
        if config.enabled_regex_matching:
            self._condition = AttributeMatches(config.key, regex_matcher(config.values))
        else:
            self._condition = AttributeIn(config.key, frozenset(value for value in config.values if value))
            if "" in config.values:
                self.notes = ('the value "" never matches exactly; use the regular expression "^$"',)
        self._hit, self._miss = (NEVER, ALWAYS) if config.invert_match else (ALWAYS, NEVER)
        self.conditions = (self._condition,)
        if not config.values:
            self.notes = (f"`values` is empty: keeps {'everything' if config.invert_match else 'nothing'}",)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return self._hit if trace.matches(self._condition) else self._miss

    def describe(self) -> str:
        """Says what it keeps."""
        verb = "matching one of" if self.config.enabled_regex_matching else "in"
        values = ", ".join(json.dumps(value, ensure_ascii=False) for value in self.config.values)
        return f"{'no span' if self.config.invert_match else 'a span'} with {self.config.key} {verb} [{values}]"

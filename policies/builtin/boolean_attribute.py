"""Keeps traces by a boolean attribute."""

from __future__ import annotations

from pydantic import Field

from policies.conditions import AttributeIs
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView


class BooleanAttribute(Policy):
    """Keeps a trace with a span, or a resource of one, whose boolean attribute `key` is `value`.

    With `invert_match` it keeps exactly the other traces, those without the attribute included.
    """

    type = "boolean_attribute"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector; an empty `key` is an error."""

        key: str = Field(min_length=1)
        """Name of the attribute."""
        value: bool = False
        """What it must be."""
        invert_match: bool = False
        """Keep the traces that have no such span."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._condition = AttributeIs(config.key, config.value)
        self._hit, self._miss = (NEVER, ALWAYS) if config.invert_match else (ALWAYS, NEVER)
        self.conditions = (self._condition,)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return self._hit if trace.matches(self._condition) else self._miss

    def describe(self) -> str:
        """Says what it keeps."""
        span = "no span" if self.config.invert_match else "a span"
        return f"{span} with {self.config.key} = {str(self.config.value).lower()}"

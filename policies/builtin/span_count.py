"""Keeps traces by their number of spans."""

from __future__ import annotations

from policies.conditions import INT64_MAX, TraceInRange
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView


class SpanCount(Policy):
    """Keeps a trace whose spans, as many as arrived, number min_spans to max_spans, both inclusive."""

    type = "span_count"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector; `max_spans` 0 or below is no upper bound."""

        min_spans: int = 0
        """Smallest number of spans."""
        max_spans: int = 0
        """Largest number of spans; 0 is no upper bound."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        high = config.max_spans if config.max_spans > 0 else INT64_MAX
        self._condition = TraceInRange("span_count", config.min_spans, high)
        self.conditions = (self._condition,)
        if config.min_spans > high:
            self.notes = ("keeps nothing: min_spans is above max_spans",)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return ALWAYS if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        upper = f", at most {self.config.max_spans}" if self.config.max_spans > 0 else ""
        return f"at least {self.config.min_spans} spans{upper}"

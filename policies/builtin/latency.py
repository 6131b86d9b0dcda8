"""Keeps traces by their duration."""

from __future__ import annotations

from policies.conditions import INT64_MAX, TraceInRange
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView


class Latency(Policy):
    """Keeps a trace by max(end) - min(start) of all its spans, in whole milliseconds, cut off.

    Without upper bound: duration >= threshold_ms. With one: threshold_ms < duration <= upper_threshold_ms, as in the
    Collector up to 0.156.
    """

    type = "latency"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector, milliseconds; `upper_threshold_ms` 0 or below is no upper bound."""

        threshold_ms: int = 0
        """Shortest duration that is kept, in milliseconds; with an upper bound, longest that is not."""
        upper_threshold_ms: int = 0
        """Longest duration that is kept, in milliseconds; 0 is no upper bound."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if config.upper_threshold_ms > 0:
            self._condition = TraceInRange("duration_ms", config.threshold_ms + 1, config.upper_threshold_ms)
        else:
            self._condition = TraceInRange("duration_ms", config.threshold_ms, INT64_MAX)
        self.conditions = (self._condition,)
        if self._condition.low > self._condition.high:
            self.notes = ("keeps nothing: upper_threshold_ms is not above threshold_ms",)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return ALWAYS if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        if self.config.upper_threshold_ms > 0:
            return f"longer than {self.config.threshold_ms} ms, at most {self.config.upper_threshold_ms} ms"
        return f"takes {self.config.threshold_ms} ms or longer"

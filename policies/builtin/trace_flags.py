"""Keeps traces that were sampled upstream."""

from __future__ import annotations

from policies.conditions import FlagsAny
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView

_SAMPLED = 0x01


class TraceFlags(Policy):
    """Keeps a trace with a span whose W3C trace flags have the bit "sampled" set."""

    type = "trace_flags"

    def __init__(self, config: PolicyConfig, context: Context) -> None:
        super().__init__(config, context)
        self._condition = FlagsAny(_SAMPLED)
        self.conditions = (self._condition,)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return ALWAYS if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        return "a span with the trace flag sampled"

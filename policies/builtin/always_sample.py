"""Keeps every trace."""

from __future__ import annotations

from policies.contract import Policy
from policies.intent import Intent
from policies.rset import ALWAYS
from policies.trace import TraceView


class AlwaysSample(Policy):
    """Keeps every trace."""

    type = "always_sample"

    def evaluate(self, trace: TraceView) -> Intent:
        """Always."""
        return ALWAYS

    def describe(self) -> str:
        """Says what it keeps."""
        return "every trace"

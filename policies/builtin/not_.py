"""Keeps what its sub-policy does not keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent, invert
from policies.trace import TraceView


class Not(Policy):
    """Complement of its sub-policy. It is a vote, no veto: another policy may still keep the trace."""

    type = "not"

    class Config(PolicyConfig):
        """The field of the Collector."""

        not_sub_policy: dict[str, Any]
        """One policy of any type but `drop`; its name may be left out."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.subs = (context.child("not_sub_policy", config.not_sub_policy),)

    def evaluate(self, trace: TraceView) -> Intent:
        """The R that the sub-policy does not keep."""
        return invert(self.subs[0].policy.evaluate(trace))

    def describe(self) -> str:
        """Says what it keeps."""
        return f"not ({self.subs[0].policy.describe()})"

    def settings(self) -> Mapping[str, Any]:
        """Nothing of its own."""
        return {}

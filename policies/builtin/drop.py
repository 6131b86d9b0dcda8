"""Drops what all of its sub-policies keep, whatever other policies say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent, intersect
from policies.trace import TraceView


class Drop(Policy):
    """Subtracts the intersection of its sub-policies from what all other policies keep; top level only."""

    type = "drop"
    drops = True

    class Config(PolicyConfig):
        """The field of the Collector."""

        drop_sub_policy: list[dict[str, Any]] = Field(min_length=1)
        """Policies of any type but `drop`, at least one, that must all keep a trace for it to be dropped; their names
        may be left out or equal."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.subs = context.children("drop_sub_policy", config.drop_sub_policy)

    def evaluate(self, trace: TraceView) -> Intent:
        """The R for which the trace is dropped."""
        return intersect(sub.policy.evaluate(trace) for sub in self.subs)

    def describe(self) -> str:
        """Says what it drops."""
        return "drops " + " and ".join(f"({sub.policy.describe()})" for sub in self.subs)

    def settings(self) -> Mapping[str, Any]:
        """Nothing of its own."""
        return {}

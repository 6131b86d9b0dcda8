"""Keeps what all of its sub-policies keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent, intersect
from policies.trace import TraceView


class And(Policy):
    """Intersection of its sub-policies: all must keep the trace, each may look at another span."""

    type = "and"

    class Config(PolicyConfig):
        """The field of the Collector."""

        and_sub_policy: list[dict[str, Any]] = Field(min_length=1)
        """Policies of any type but `drop`, at least one; their names may be left out or equal."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.subs = context.children("and_sub_policy", config.and_sub_policy)

    def evaluate(self, trace: TraceView) -> Intent:
        """The R that all keep."""
        return intersect(sub.policy.evaluate(trace) for sub in self.subs)

    def describe(self) -> str:
        """Says what it keeps."""
        return " and ".join(f"({sub.policy.describe()})" for sub in self.subs)

    def settings(self) -> Mapping[str, Any]:
        """Nothing of its own."""
        return {}

"""Policies that only tests need: a limiter, a choice, and some that misbehave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from policies import (
    ALWAYS,
    NEVER,
    Candidate,
    Context,
    Intent,
    Limiter,
    Policy,
    PolicyConfig,
    PolicySet,
    Reads,
    Settlement,
    Tick,
    TraceView,
    admit,
    build_policy_set,
    first_of,
    installed,
)


class TokenBucket(Limiter):
    """Spans per second of stream time; starts full."""

    type = "token_bucket"

    class Config(PolicyConfig):
        """Tokens are spans."""

        rate: float
        burst: float

    config: Config

    def cost(self, trace: TraceView) -> float:
        """One token a span."""
        return trace.span_count

    def initial_state(self) -> dict[str, Any]:
        """A full bucket."""
        return {"tokens": self.config.burst, "at_ms": None}

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Refill, then admit by R."""
        elapsed = 0 if state["at_ms"] is None else tick.ms - state["at_ms"]
        tokens = min(self.config.burst * tick.share, state["tokens"] + elapsed / 1000 * self.config.rate * tick.share)
        admission = admit(candidates, tokens, self.config.burst, debt=tick.share < 1)
        state.update(tokens=tokens - admission.spent, at_ms=tick.ms)
        return admission

    def describe(self) -> str:
        """Says what it keeps."""
        return f"at most {self.config.rate:g} spans a second"


class BrokenBucket(TokenBucket):
    """Fails while it shares out, after it has spoiled its state."""

    type = "broken_bucket"

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Always fails."""
        state["tokens"] = -1
        raise RuntimeError("no tokens today")


class Choice(Policy):
    """The first of its sub-policies that keeps the trace decides."""

    type = "choice"

    class Config(PolicyConfig):
        """Specs of the sub-policies."""

        of: list[dict[str, Any]]

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.subs = context.children("of", config.of)

    def evaluate(self, trace: TraceView) -> Intent:
        """Any, with the first recorded."""
        return first_of([(sub.name, sub.policy.evaluate(trace)) for sub in self.subs])

    def describe(self) -> str:
        """Says what it keeps."""
        return "the first of " + ", ".join(sub.policy.describe() for sub in self.subs)

    def settings(self) -> Mapping[str, Any]:
        """Nothing of its own."""
        return {}


class Failing(Policy):
    """Raises for every trace."""

    type = "failing"

    def evaluate(self, trace: TraceView) -> Intent:
        """Fails."""
        raise RuntimeError("out of order")

    def describe(self) -> str:
        """Says nothing."""
        return "nothing"


class Undeclared(Policy):
    """Reads one property of the trace without having declared it."""

    type = "undeclared"

    class Config(PolicyConfig):
        """The property."""

        what: str

    config: Config

    def evaluate(self, trace: TraceView) -> Intent:
        """Reads it."""
        return ALWAYS if getattr(trace, self.config.what) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        return "whatever"


class OddId(Policy):
    """Keeps traces with an odd id, and counts how often it is asked."""

    type = "odd_id"
    reads = Reads.SUMMARY

    def __init__(self, config: PolicyConfig, context: Context) -> None:
        super().__init__(config, context)
        self.asked = 0

    def evaluate(self, trace: TraceView) -> Intent:
        """By the last bit of the id."""
        self.asked += 1
        return ALWAYS if trace.trace_id[-1] & 1 else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        return "odd ids"


class SpanNamed(Policy):
    """Keeps traces with a span of a name, by reading the spans."""

    type = "span_named"
    reads = Reads.SPANS

    class Config(PolicyConfig):
        """The name."""

        span: str

    config: Config

    def evaluate(self, trace: TraceView) -> Intent:
        """Looks at every span."""
        names = (span.name for unit in trace.spans for scope in unit.scope_spans for span in scope.spans)
        return ALWAYS if self.config.span in names else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        return f"a span named {self.config.span}"


SAMPLES: dict[str, type[Policy]] = {
    sample.type: sample for sample in (TokenBucket, BrokenBucket, Choice, Failing, Undeclared, OddId, SpanNamed)
}


def build(*specs: Mapping[str, Any], **options: Any) -> PolicySet:
    """A policy set of the installed policies and the samples; unnamed specs are called p0, p1, …"""
    named = [{"name": f"p{index}", **spec} for index, spec in enumerate(specs)]
    return build_policy_set(named, registry=installed(SAMPLES), **options)


def spec(kind: str, name: str | None = None, **config: Any) -> dict[str, Any]:
    """A policy spec."""
    return {"type": kind, kind: config} | ({"name": name} if name is not None else {})

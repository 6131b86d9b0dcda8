"""What it costs to ask a policy about a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policies.conformance import BUSY_TRACE
from policies.policy_set import PolicySet
from policies.reference import reference_summary

SLOW_S = 0.001
"""A worker that does nothing else decides a thousand traces a second at this cost."""
ENOUGH_S = 0.1
MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """Seconds a policy takes each time it is asked about a trace of ten spans."""

    seconds: float
    remembered: bool
    """Whether its answers are remembered by the outcomes of its conditions."""

    @property
    def text(self) -> str:
        """In words, with the limits of a clock in mind."""
        return f"{self.seconds * 1e6:.0f} µs a time" if self.seconds < SLOW_S else f"{self.seconds * 1e3:.1f} ms a time"

    @property
    def too_slow(self) -> bool:
        """Whether a worker would suffer from it."""
        return self.seconds >= SLOW_S


def cost_of(policy_set: PolicySet, clock_s: Callable[[], float]) -> Cost:
    """The cost of asking a set of one policy; `clock_s` gives monotonic seconds."""
    policy_set.use_clock(clock_s)
    summary = reference_summary(policy_set.span_conditions, BUSY_TRACE)
    state = policy_set.initial_state()
    began_s, rounds = clock_s(), 0
    while rounds < MOST_ROUNDS and clock_s() - began_s < ENOUGH_S:
        trace_id = rounds.to_bytes(16, "big")
        policy_set.decide(rounds * 250, [(trace_id, summary, lambda: BUSY_TRACE)], state)
        rounds += 1
    remembered = policy_set.remembers_all
    return Cost(sum(policy_set.seconds.values()) / (1 if remembered else rounds), remembered)

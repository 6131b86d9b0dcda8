"""The first intervals, of which nothing has been learned: chances from what has come so far.

A goal per second is spent as it accrues, so nothing is kept on credit but a small advance; a goal of one in N is met
tick by tick. Within a tick keys have shares by what has come of them since the start, this tick included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.claims import Candidate
from policies.dynamic.plans import Rules, threshold_of
from policies.dynamic.shares import Shares, fill
from policies.intent import Claim
from policies.rset import RSet

ADVANCE = 0.05
"""The part of an interval's goal that may be kept at the very start, before any time has passed."""


@dataclass(slots=True)
class Start:
    """What one partition may still keep; of its own part of the goal where that is an amount."""

    level: float | None = None
    at_ms: int = 0

    def settle(
        self, rules: Rules, tick_ms: int, share: float, candidates: Sequence[Candidate], before: Mapping[str, float]
    ) -> StartShares:
        """The chances of a tick; `before` is what has come of each key until then."""
        costs = [(candidate.claim.key, candidate.claim.cost) for candidate in candidates]
        if rules.first_chance is not None:
            return StartShares(rules, None, costs, before)
        if rules.per_interval is None:
            return StartShares(rules, None, costs, before)
        goal = rules.per_interval * share
        accrued = goal * ADVANCE
        if self.level is not None:
            accrued = min(goal, self.level + goal * max(0, tick_ms - self.at_ms) / rules.interval_ms)
        settlement = StartShares(rules, accrued, costs, before)
        self.level, self.at_ms = accrued - min(accrued, settlement.total), max(self.at_ms, tick_ms)
        return settlement


@dataclass(slots=True)
class StartShares:
    """The chances of one tick: they follow from what the candidates cost, never from their R."""

    rules: Rules
    budget: float | None
    """How much of the tick may be kept; None for a part of it."""
    costs: Sequence[tuple[str, float]]
    before: Mapping[str, float]
    total: float = 0.0
    _tick: dict[str, float] = field(default_factory=dict)
    _shares: Shares = field(default_factory=lambda: Shares(0.0))
    _thresholds: dict[str, int] = field(default_factory=dict)
    _as_if: dict[tuple[str, float], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, cost in self.costs:
            self._tick[key] = self._tick.get(key, 0.0) + cost
            self.total += cost
        self._shares = self._filled(self._tick, self.total)

    def threshold(self, key: str) -> int:
        """T of the candidates of a key."""
        found = self._thresholds.get(key)
        if found is None:
            found = self._thresholds[key] = self._of(self._shares, self._tick, key)
        return found

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """[T, 2**56); for a trace that was no candidate as if it had been one."""
        if candidate:
            return self.threshold(claim.key)
        key, cost = claim.key, claim.cost
        found = self._as_if.get((key, cost))
        if found is None:
            tick = {**self._tick, key: self._tick.get(key, 0.0) + cost}
            found = self._as_if[key, cost] = self._of(self._filled(tick, self.total + cost), tick, key)
        return found

    def _filled(self, tick: Mapping[str, float], total: float) -> Shares:
        """The shares at which the tick comes to its budget: by all that came of a key, weighed by what came now."""
        budget = total / self.rules.one_in if self.budget is None else self.budget
        if budget <= 0:
            return Shares(0.0, 0.0)
        amounts = ((self.before.get(key, 0.0) + cost, cost) for key, cost in tick.items() if cost > 0)
        return fill(((amount, cost / amount) for amount, cost in amounts), budget)

    def _of(self, shares: Shares, tick: Mapping[str, float], key: str) -> int:
        if self.rules.first_chance is not None:
            return threshold_of(self.rules.first_chance)
        return threshold_of(shares.chance(self.before.get(key, 0.0) + tick.get(key, 0.0)))

"""What is expected of an interval, and the chances that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Literal

from policies.dynamic.counters import REST, largest
from policies.dynamic.shares import Shares, fill
from policies.intent import Claim
from policies.rset import SPACE, RSet, upper

TICK_MS = 250
"""Stream time from one tick to the next: what a tick settles has come in this time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a policy, in the units that the parts here take."""

    interval_ms: int
    per_interval: float | None
    """How much is kept in an interval, of all partitions; None where `one_in` says it."""
    one_in: float
    """One in so much is kept, where no amount is given."""
    max_keys: int
    mode: Literal["ema", "windowed"]
    weight: float
    """Of the latest interval in what is learned."""
    window: int
    """Intervals that count, where all count alike."""
    burst: float
    """Traffic of so many times what was expected is a burst; 0 where bursts are not looked for."""
    first_chance: float | None
    """Of traces of keys of which nothing is known; None for that of all traffic."""

    def goal(self, traffic: float) -> float:
        """How much is to be kept of an interval's traffic."""
        return traffic / self.one_in if self.per_interval is None else self.per_interval

    def averaged(self, now: float, past: float) -> float:
        """The average of an interval's count and what is known of those before it."""
        return self.weight * now + (1 - self.weight) * past


def threshold_of(chance: float) -> int:
    """T of [T, 2**56), which holds this part of all R."""
    return upper(SPACE - round(chance * SPACE))


@dataclass(frozen=True, slots=True)
class Expected:
    """Traffic of the whole tier in an interval: by key, and in all.

    Keys may add up to more than there is in all, where some of them are about to be gone.
    """

    traffic: Mapping[str, float]
    total: float

    @property
    def of_keys(self) -> float:
        """What has a key of its own."""
        return min(self.total, fsum(self.traffic.values()))

    def of(self, key: str) -> float:
        """Of one key; under `REST` of what has none."""
        return self.total - self.of_keys if key == REST else self.traffic.get(key, 0.0)

    def with_bursts(self, raised: Mapping[str, float], others: float) -> Expected:
        """The same with at least so much traffic of some keys, and of all others together at least `others`.

        `REST` stands for what has no key. All others are taken to have risen alike.
        """
        if not raised and not others:
            return self
        more = {key: max(0.0, amount - self.of(key)) for key, amount in raised.items()}
        of_others = fsum(amount for key, amount in self.traffic.items() if key not in raised)
        learned = max(of_others, self.total - fsum(map(self.of, raised)))
        factor = max(1.0, others / learned) if learned > 1e-9 * self.total else 1.0
        traffic = {key: amount * (1.0 if key in raised else factor) for key, amount in self.traffic.items()}
        for key in raised.keys() - {REST}:
            traffic[key] = traffic.get(key, 0.0) + more[key]
        return Expected(traffic, self.total + fsum(more.values()) + (factor - 1) * learned)

    def limited(self, places: int) -> Expected:
        """The same with the largest keys only; the others belong to the rest."""
        chosen = largest(self.traffic, places)
        if len(chosen) == len(self.traffic):
            return self
        return Expected({key: self.traffic[key] for key in chosen}, self.total)


@dataclass(slots=True)
class Plan:
    """The chances of an interval: by key, and for all of which no traffic is expected.

    The rest is sampled as all traffic is on average, so it takes a part of the goal that is proportional to its
    traffic, and leaves that of the keys to them, however many keys the rest has.
    """

    expected: Expected
    mean: float
    """The chance of all traffic on average."""
    shares: Shares
    other: float
    """The chance of a trace whose key is not known."""
    _thresholds: dict[str, int] = field(default_factory=dict)

    def chance(self, key: str) -> float:
        """The chance of a trace of this key."""
        traffic = self.expected.traffic.get(key, 0.0)
        return self.shares.chance(traffic) if traffic > 0 else self.other

    def threshold(self, key: str) -> int:
        """T of a trace of this key."""
        found = self._thresholds.get(key)
        if found is None:
            traffic = self.expected.traffic.get(key, 0.0)
            if traffic <= 0:  # not remembered: of unknown keys there may be millions
                return threshold_of(self.other)
            found = self._thresholds[key] = threshold_of(self.shares.chance(traffic))
        return found

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """[T, 2**56) by the claim's key: who else claims does not matter, nor whether this one does."""
        return self.threshold(claim.key)


NOTHING = Shares(0.0)
"""Where there are no keys."""


def plan(rules: Rules, expected: Expected, correction: float) -> Plan:
    """The plan for traffic of which something is expected.

    `correction` is the factor on the goal at which, as experience says, it is met.
    """
    mean = min(1.0, correction * rules.goal(expected.total) / expected.total)
    of_keys = expected.of_keys
    shares = fill(((amount, 1.0) for amount in expected.traffic.values()), mean * of_keys) if of_keys > 0 else NOTHING
    full = len(expected.traffic) >= rules.max_keys
    other = mean if full or rules.first_chance is None else rules.first_chance
    return Plan(expected, mean, shares, other)

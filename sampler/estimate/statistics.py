"""Estimates of a whole from traces that were kept with known probabilities.

A kept trace of adjusted count r (1 / its probability) stands for r traces, so a total is the sum of r times what is
counted in it (Horvitz and Thompson 1952). Traces are kept independently of each other; of each the estimated variance
is r (r - 1) times the square of what is counted. Intervals are score intervals (Wilson 1927), which keep their promise
with few kept traces too: those of N for a number of kept traces that is binomial in N.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

Weighted: TypeAlias = tuple[float, float]
"""(adjusted count of a kept trace, what is counted in it)."""
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """The bounds between which the true value lies with the confidence asked for."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated total."""

    value: float
    error: float
    """Standard error."""
    size: float
    """What a kept trace holds of it on average, the larger ones counting for more: 1 where traces are counted."""
    kept: float
    """What was counted in the kept traces themselves, of which there is no doubt."""
    doubt: float
    """How many traces were left out for each kept one, on average over all that were looked at."""

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The score interval of the total; its ends are the value itself where nothing was left out."""
        if not self.value:
            return Interval(0.0, quantile_of_normal(confidence) ** 2 * self.doubt)
        if not self.error:
            return Interval(self.value, self.value)
        # As if all traces held `size` and were kept with one probability: that gives the same value and error.
        whole, variance = self.value / self.size, (self.error / self.size) ** 2
        probability = whole / (whole + variance)
        kept, z = whole * probability, quantile_of_normal(confidence)
        spread = z * math.sqrt((1 - probability) * (kept + z * z * (1 - probability) / 4))
        middle = kept + z * z * (1 - probability) / 2
        low, high = ((middle + sign * spread) / probability * self.size for sign in (-1, 1))
        return Interval(max(self.kept, low), high)


def estimate(counted: Iterable[Weighted]) -> Estimate:
    """The estimated total of what is counted. A trace of rate 0 is one for which others stand: it does not count."""
    value = variance = squares = kept = traces = left_out = 0.0
    for rate, amount in counted:
        if not rate:
            continue
        traces += rate
        left_out += rate * max(0.0, rate - 1)
        value += rate * amount
        squares += rate * amount * amount
        variance += rate * max(0.0, rate - 1) * amount * amount
        kept += amount
    size, doubt = squares / value if value else 1.0, left_out / traces if traces else 0.0
    return Estimate(value, math.sqrt(variance), size, kept, doubt)


def ratio(parts: Sequence[tuple[float, float, float]], confidence: float = CONFIDENCE) -> tuple[float, Interval]:
    """The share of a part in a whole, from (adjusted count, amount of the part, amount of the whole) of each trace.

    The variance is that of the linearised ratio; the interval is Wilson's with the number of independent traces that
    has this variance. (0, (0, 1)) where nothing was kept.
    """
    whole = sum(rate * total for rate, _, total in parts)
    if not whole:
        return 0.0, Interval(0.0, 1.0)
    share = sum(rate * part for rate, part, _ in parts) / whole
    doubt = sum(rate * max(0.0, rate - 1) * (part - share * total) ** 2 for rate, part, total in parts) / whole**2
    if 0 < share < 1 and doubt:
        independent = share * (1 - share) / doubt
    else:
        # All alike: what was left out may still differ, as far as its number allows.
        doubt = sum(rate * max(0.0, rate - 1) * total * total for rate, _, total in parts) / whole**2
        if not doubt:
            return share, Interval(share, share)
        independent = 1 / doubt
    return share, _wilson(share, independent, confidence)


def quantile(values: Sequence[Weighted], q: float, confidence: float = CONFIDENCE) -> tuple[float, Interval]:
    """The q-quantile of (adjusted count, value) of each trace, with its interval; 0 where none counts.

    The interval is that of the share below the quantile, carried over to values (Woodruff 1952).
    """
    ordered = sorted((each for each in values if each[0]), key=lambda each: each[1])
    if not ordered:
        return 0.0, Interval(0.0, 0.0)
    found = _value_at(ordered, q)
    _, shares = ratio([(rate, float(value <= found), 1.0) for rate, value in ordered], confidence)
    share_at = sum(rate for rate, value in ordered if value <= found) / sum(rate for rate, _ in ordered)
    low, high = (_value_at(ordered, min(1.0, max(0.0, q + bound - share_at))) for bound in shares)
    return found, Interval(low, high)


def _value_at(ordered: Sequence[Weighted], q: float) -> float:
    """The smallest value that a share of at least `q` of the weight does not exceed."""
    wanted = q * sum(rate for rate, _ in ordered)
    reached = 0.0
    for rate, value in ordered:
        reached += rate
        if reached >= wanted:
            return value
    return ordered[-1][1]


def _wilson(share: float, independent: float, confidence: float) -> Interval:
    z = quantile_of_normal(confidence)
    scale = 1 + z * z / independent
    middle = (share + z * z / (2 * independent)) / scale
    spread = z / scale * math.sqrt(share * (1 - share) / independent + z * z / (4 * independent**2))
    # Exactly 0 and 1 where the formula comes out there.
    low, high = max(0.0, middle - spread) if share else 0.0, min(1.0, middle + spread) if share < 1 else 1.0
    return Interval(low, high)


@lru_cache
def quantile_of_normal(confidence: float) -> float:
    """How many standard deviations lie on each side of the middle: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)

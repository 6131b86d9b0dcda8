"""Sharing out tokens among the traces of one tick so that counts weighted by 1/p stay unbiased.

The kept traces are those of highest R, so a trace's chance of being kept is exact: with all other traces as they are,
it is admitted exactly for R in [T, 2**56), where T lies just above the R of the first trace that did not fit. (The
threshold of the last kept trace instead would make 1/p biased.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from policies.exchange import Exchange
from policies.intent import Claim
from policies.rset import ALWAYS, NEVER, SPACE, RSet, upper


@dataclass(frozen=True, slots=True)
class Tick:
    """When tokens are shared out, and how many: those of one partition, at one moment of its stream time."""

    ms: int
    """Milliseconds of stream time."""
    share: float = 1.0
    """This partition's part of the budget of all partitions, above 0 and at most 1."""
    exchange: Exchange | None = None
    """What all partitions have counted, as this one sees it; None where there is one partition or nobody to ask."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A claim that takes part in the sharing out, with the R of its trace."""

    randomness: int
    claim: Claim

    @property
    def cost(self) -> float:
        """Tokens it asks for."""
        return self.claim.cost


class Settlement(Protocol):
    """The outcome of a limiter's tick."""

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """The set of R for which this claim is (or, where it was no candidate, would have been) granted."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """Who got tokens: candidates with R >= `threshold` and a cost of at most `max_cost`; `spent` tokens in all."""

    threshold: int
    tokens: float
    max_cost: float
    spent: float
    _randomness: tuple[int, ...]
    _sums: tuple[float, ...]

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """[T, 2**56) for the admitted.

        For all others the set for which they would have been admitted, everyone else being as they are; a candidate's
        own R never lies in it. So weights stay exact also below a `not` or beside another policy that keeps the trace.
        """
        if claim.cost > self.max_cost:
            return NEVER
        if candidate and randomness >= self.threshold:
            return self.threshold
        place = bisect_right(self._sums, self.tokens - min(claim.cost, self.tokens))
        return self._randomness[place] + 1 if place < len(self._sums) else ALWAYS


def admit(candidates: Sequence[Candidate], tokens: float, burst: float, *, debt: bool = False) -> Admission:
    """Admit candidates by R from the top until the first that does not fit in `tokens`.

    Those that cost more than `tokens` or `burst` are left out first, so that one huge trace blocks nobody. T is the R
    of the first that did not fit, plus 1; 0 where all fit. Traces with exactly that R are left out together. With
    `debt` a trace that costs more than `tokens`, though at most `burst`, takes part as one that costs exactly `tokens`:
    the topmost may be kept alone, and `spent` be more than there was.
    """
    max_cost = min(tokens, burst) if not debt or tokens <= 0 else burst
    eligible = sorted((c for c in candidates if c.cost <= max_cost), key=lambda c: c.randomness, reverse=True)
    randomness = tuple(candidate.randomness for candidate in eligible)
    sums = tuple(accumulate(min(candidate.cost, tokens) for candidate in eligible))
    first_out = bisect_right(sums, tokens)
    threshold = randomness[first_out] + 1 if first_out < len(sums) else ALWAYS
    spent = sum(candidate.cost for candidate in eligible[:first_out] if candidate.randomness >= threshold)
    return Admission(threshold, tokens, max_cost, spent, randomness, sums)


@dataclass(frozen=True, slots=True)
class Chance:
    """Each candidate by itself is kept with the chance at which all together take `tokens` on average.

    So none is without a chance, however little there is, but for those that cost more than `max_cost`.
    """

    tokens: float
    max_cost: float
    costs: float
    """What the candidates cost, those above `max_cost` left out."""
    spent: float

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """[T, 2**56), which follows from costs alone; for a trace that was no candidate as if it had been one."""
        if claim.cost > self.max_cost:
            return NEVER
        return _threshold(self.tokens, self.costs if candidate else self.costs + claim.cost)


def give_chances(candidates: Sequence[Candidate], tokens: float, burst: float) -> Chance:
    """Spend `tokens` on average; candidates that cost more than `burst` are left out."""
    eligible = [candidate for candidate in candidates if candidate.cost <= burst]
    costs = sum(candidate.cost for candidate in eligible)
    threshold = _threshold(tokens, costs)
    return Chance(tokens, burst, costs, sum(each.cost for each in eligible if each.randomness >= threshold))


def _threshold(tokens: float, costs: float) -> int:
    return upper(round((1 - tokens / costs) * SPACE)) if costs else ALWAYS

"""Sharing out tokens among the traces of one tick so that counts weighted by 1/p stay unbiased.

The kept traces are those of highest R, so a trace's chance of being kept is exact: with all other traces as they are,
it is admitted exactly for R in [T, 2**56), where T lies just above the R of the first trace that did not fit. (The
threshold of the last kept trace instead would make 1/p biased.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from policies.intent import Claim
from policies.rset import ALWAYS, NEVER, RSet


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
        place = bisect_right(self._sums, self.tokens - claim.cost)
        return self._randomness[place] + 1 if place < len(self._sums) else ALWAYS


def admit(candidates: Sequence[Candidate], tokens: float, burst: float) -> Admission:
    """Admit candidates by R from the top until the first that does not fit in `tokens`.

    Those that cost more than `tokens` or `burst` are left out first, so that one huge trace blocks nobody. T is the R
    of the first that did not fit, plus 1; 0 where all fit. Traces with exactly that R are left out together.
    """
    max_cost = min(tokens, burst)
    eligible = sorted((c for c in candidates if c.cost <= max_cost), key=lambda c: c.randomness, reverse=True)
    threshold, total = ALWAYS, 0.0
    randomness: list[int] = []
    sums: list[float] = []
    for candidate in eligible:
        total += candidate.cost
        randomness.append(candidate.randomness)
        sums.append(total)
        if total > tokens:
            threshold = candidate.randomness + 1
            break
    spent = sum(c.cost for c in eligible[: len(sums)] if c.randomness >= threshold)
    return Admission(threshold, tokens, max_cost, spent, tuple(randomness), tuple(sums))

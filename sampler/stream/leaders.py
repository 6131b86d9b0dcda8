"""Which names get a label of their own: those that weigh most, so that a metric has a bounded number of series."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest

HALF_LIFE_S = 600.0
"""After so long what came counts half: a service that is gone gives its place away."""
RANK_EVERY_S = 10.0
STAYS = 2.0
"""Whoever has a label keeps it until another one weighs so many times as much: labels that come and go are useless."""
MOST_KNOWN = 10_000
LARGEST_GROWTH = 2.0**64


class Leaders:
    """Ranks names by what they weighed lately. `chosen` are those with a label, at most `most` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.chosen: frozenset[str] = frozenset()
        self._weights: dict[str, float] = {}
        self._growth = 1.0
        self._last_s: float | None = None
        self._rank_again_s = 0.0

    def add(self, weights: Mapping[str, float], now_s: float) -> frozenset[str]:
        """Take what came since the last call, and return the names that have lost their label by it."""
        # New weights grow instead of all others shrinking: that is one multiplication, not one a name.
        self._growth *= 2.0 ** ((now_s - (self._last_s if self._last_s is not None else now_s)) / HALF_LIFE_S)
        self._last_s = now_s
        if self._growth > LARGEST_GROWTH:
            self._weights = {name: weight / self._growth for name, weight in self._weights.items()}
            self._growth = 1.0
        new = False
        for name, weight in weights.items():
            new |= name not in self.chosen
            self._weights[name] = self._weights.get(name, 0.0) + weight * self._growth
        if new and (len(self._weights) <= self.most or now_s >= self._rank_again_s):
            return self._rank(now_s)
        return frozenset()

    def _rank(self, now_s: float) -> frozenset[str]:
        self._rank_again_s = now_s + RANK_EVERY_S
        before, weights = self.chosen, self._weights

        def standing(name: str) -> float:
            return weights[name] * (STAYS if name in before else 1.0)

        self.chosen = frozenset(nlargest(self.most, weights, standing))
        if len(weights) > MOST_KNOWN:
            self._weights = {name: weights[name] for name in nlargest(MOST_KNOWN // 2, weights, standing)}
        return before - self.chosen

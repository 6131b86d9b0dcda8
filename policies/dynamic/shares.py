"""How much of each key's traffic is kept, so that all together come to the goal.

Honeycomb's Refinery gives each key a share that is proportional to log10 of its traffic, at least one unit, and at most
what it has. What a key cannot use goes to the others. So of traffic c a key keeps

    kept(c) = min(c, max(1, level * log10(c)))        for c > 1, all of it for c <= 1

with one `level` for all keys, at which the sum over all keys is the goal: water filling. Where the goal is less than
one unit a key, every key's unit is cut by the same factor, `cut`. A key's chance is kept(c) / c, a real number: nothing
is rounded, and it depends on traffic alone, not on the order or the spelling of keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, inf, log10


@dataclass(frozen=True, slots=True)
class Shares:
    """The level of the water, and the factor by which all is cut where the goal does not reach the floors."""

    level: float
    cut: float = 1.0

    def kept(self, traffic: float) -> float:
        """How much is kept of a key's traffic, on average."""
        if traffic <= 1:
            return self.cut * max(traffic, 0.0)
        if self.level == inf:
            return traffic
        return self.cut * min(traffic, max(1.0, self.level * log10(traffic)))

    def chance(self, traffic: float) -> float:
        """The probability with which a trace of a key with this traffic is kept, above 0 and at most 1."""
        return min(1.0, self.kept(traffic) / traffic) if traffic > 0 else self.cut


EVERYTHING = Shares(inf)


def fill(traffic: Iterable[tuple[float, float]], goal: float) -> Shares:
    """The shares at which so much is kept of all traffic as the goal says, or everything where there is less.

    `traffic` holds (traffic of a key, for how many keys it counts); the second may be any number above 0. The goal is
    above 0. What is kept comes to the goal within some 1e-12 of it.
    """
    number_of: dict[float, list[float]] = {}
    for amount, keys in traffic:
        if amount > 0 and keys > 0:
            number_of.setdefault(amount, []).append(keys)
    groups = sorted((amount, fsum(keys)) for amount, keys in number_of.items())
    if goal >= fsum(amount * keys for amount, keys in groups):
        return EVERYTHING
    floors = fsum(min(amount, 1.0) * keys for amount, keys in groups)
    if goal <= floors:
        return Shares(0.0, goal / floors)
    return Shares(_settled(groups, _swept(groups, goal, floors), goal))


def _swept(groups: Iterable[tuple[float, float]], goal: float, floors: float) -> float:
    """The level, found by raising it from 0: a key's share grows from where it exceeds 1 to where it is all it has."""
    turns: list[tuple[float, float]] = []
    for amount, keys in groups:
        slope = log10(amount) if amount > 1 else 0.0
        if slope > 0:
            turns += ((1 / slope, slope * keys), (amount / slope, -slope * keys))
    kept, slope, level = floors, 0.0, 0.0
    for turn, change in sorted(turns):
        if kept + slope * (turn - level) >= goal:
            break
        kept += slope * (turn - level)
        slope += change
        level = turn
    return level + (goal - kept) / slope if slope > 0 else level


def _settled(groups: Iterable[tuple[float, float]], level: float, goal: float) -> float:
    """The same level without what the sweep has added up in errors of rounding."""
    fixed: list[float] = []
    slopes: list[float] = []
    for amount, keys in groups:
        slope = log10(amount) if amount > 1 else 0.0
        if slope * level <= 1:
            fixed.append(min(amount, 1.0) * keys)
        elif slope * level >= amount:
            fixed.append(amount * keys)
        else:
            slopes.append(slope * keys)
    return (goal - fsum(fixed)) / fsum(slopes) if slopes else level

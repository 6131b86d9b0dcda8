"""Sets of R, the shared randomness of a trace: 56 bits, uniformly distributed.

A policy answers with the set of R for which it keeps the trace. Nearly always that is one upper interval [T, 2**56),
written as the plain integer T: the OTEP-235 threshold. So union is `min`, intersection `max`, and the inclusion
probability is measure / 2**56. Everything else is a tuple of sorted, disjoint, non-empty, non-touching [lo, hi).
Every set has exactly one form, so that equal sets compare equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Intervals: TypeAlias = tuple[tuple[int, int], ...]
RSet: TypeAlias = int | Intervals

SPACE = 1 << 56
ALWAYS = 0
NEVER = SPACE


def upper(threshold: int) -> int:
    """[threshold, 2**56), for any integer: at or below 0 it is ALWAYS, at or above 2**56 NEVER."""
    return min(max(threshold, ALWAYS), NEVER)


def from_percentage(percentage: float) -> int:
    """The upper interval that holds `percentage` of all R: T = round((1 - p / 100) * 2**56); raises on NaN."""
    return upper(round(max(-1.0, 1 - percentage / 100) * SPACE))


def from_intervals(parts: Iterable[tuple[int, int]]) -> RSet:
    """The union of any [lo, hi), in whatever order, overlapping or empty, cut to [0, 2**56)."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted((max(low, 0), min(high, SPACE)) for low, high in parts):
        if low >= high:
            continue
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return _shortest(tuple(merged))


def intervals(keep: RSet) -> Intervals:
    """The set as sorted, disjoint, non-touching, non-empty [lo, hi)."""
    if isinstance(keep, int):
        return ((keep, SPACE),) if keep < SPACE else ()
    return keep


def threshold(keep: RSet) -> int | None:
    """T where the set is one upper interval [T, 2**56) (NEVER included, as 2**56); None where it is not."""
    return keep if isinstance(keep, int) else None


def measure(keep: RSet) -> int:
    """How many R the set holds, 0 to 2**56."""
    if isinstance(keep, int):
        return SPACE - keep
    return sum(high - low for low, high in keep)


def contains(keep: RSet, randomness: int) -> bool:
    """Whether R lies in the set."""
    if isinstance(keep, int):
        return randomness >= keep
    return any(low <= randomness < high for low, high in keep)


def union(left: RSet, right: RSet) -> RSet:
    """R in one of the two."""
    if isinstance(left, int) and isinstance(right, int):
        return min(left, right)
    return from_intervals(intervals(left) + intervals(right))


def intersection(left: RSet, right: RSet) -> RSet:
    """R in both."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left, right)
    return _shortest(
        tuple(
            (max(a_low, b_low), min(a_high, b_high))
            for a_low, a_high in intervals(left)
            for b_low, b_high in intervals(right)
            if max(a_low, b_low) < min(a_high, b_high)
        )
    )


def complement(keep: RSet) -> RSet:
    """R not in the set."""
    if keep == ALWAYS:
        return NEVER
    if keep == NEVER:
        return ALWAYS
    edges = [0, *(edge for pair in intervals(keep) for edge in pair), SPACE]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return _shortest(tuple((low, high) for low, high in pairs if low < high))


def difference(left: RSet, right: RSet) -> RSet:
    """R in the left but not in the right."""
    if right == NEVER:
        return left
    return intersection(left, complement(right))


def _shortest(parts: Intervals) -> RSet:
    """The one form of a normalised list of intervals."""
    if not parts:
        return NEVER
    if len(parts) == 1 and parts[0][1] == SPACE:
        return parts[0][0]
    return parts

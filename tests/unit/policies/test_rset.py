"""Sets of R, against the plainest reference: sets of points."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rset import (
    ALWAYS,
    NEVER,
    SPACE,
    RSet,
    complement,
    contains,
    difference,
    from_intervals,
    from_percentage,
    intersection,
    intervals,
    measure,
    threshold,
    union,
    upper,
)

BLOCKS = 8
BLOCK = SPACE // BLOCKS
ALL = frozenset(range(BLOCKS))

points = st.frozensets(st.integers(0, BLOCKS - 1))


def of(blocks: frozenset[int]) -> RSet:
    """The set made of whole eighths of the space."""
    return from_intervals((block * BLOCK, (block + 1) * BLOCK) for block in blocks)


@given(points, points)
def test_algebra_is_that_of_sets(left: frozenset[int], right: frozenset[int]) -> None:
    """Union, intersection, difference and complement agree with sets of points, in the one canonical form."""
    assert union(of(left), of(right)) == of(left | right)
    assert intersection(of(left), of(right)) == of(left & right)
    assert difference(of(left), of(right)) == of(left - right)
    assert complement(of(left)) == of(ALL - left)


@given(points, st.integers(0, SPACE - 1))
def test_membership_and_measure(blocks: frozenset[int], randomness: int) -> None:
    """A set contains exactly its points and measures their number."""
    assert contains(of(blocks), randomness) == (randomness // BLOCK in blocks)
    assert measure(of(blocks)) == len(blocks) * BLOCK


@given(points)
def test_one_upper_interval_is_an_integer(blocks: frozenset[int]) -> None:
    """The form is the integer T exactly where the set is [T, 2**56), and sorted disjoint pairs elsewhere."""
    keep = of(blocks)
    is_upper = blocks == frozenset(range(BLOCKS - len(blocks), BLOCKS))
    assert isinstance(keep, int) == is_upper
    assert threshold(keep) == ((BLOCKS - len(blocks)) * BLOCK if is_upper else None)
    parts = intervals(keep)
    assert all(low < high for low, high in parts)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(parts))


@given(st.lists(st.tuples(st.integers(-5, SPACE + 5), st.integers(-5, SPACE + 5))), st.integers(0, SPACE - 1))
def test_any_intervals_are_accepted(parts: list[tuple[int, int]], randomness: int) -> None:
    """Overlapping, empty, reversed and out-of-space intervals give the set of the R they cover."""
    assert contains(from_intervals(parts), randomness) == any(low <= randomness < high for low, high in parts)


@given(st.integers(0, SPACE), st.integers(0, SPACE))
def test_thresholds_combine_by_min_and_max(left: int, right: int) -> None:
    """OR of thresholds is the minimum, AND the maximum."""
    assert union(left, right) == min(left, right)
    assert intersection(left, right) == max(left, right)


@pytest.mark.parametrize(
    ("percentage", "expected"),
    [
        (-50, NEVER),
        (0, NEVER),
        (1e-18, NEVER),
        (0.1, 0xFFBE76C8B43958),
        (1, 0xFD70A3D70A3D71),
        (10, 0xE6666666666666),
        (25, 0xC0 << 48),
        (33, 0xAB851EB851EB84),
        (50, 0x80 << 48),
        (100, ALWAYS),
        (150, ALWAYS),
    ],
)
def test_thresholds_of_percentages(percentage: float, expected: int) -> None:
    """T = round((1 - p/100) * 2**56), cut to the space, as the Collector writes it, within its float's precision."""
    assert abs(from_percentage(percentage) - expected) <= 16
    assert 0 <= from_percentage(percentage) <= SPACE


def test_upper_cuts_to_the_space() -> None:
    """Any integer is a threshold."""
    assert (upper(-1), upper(7), upper(SPACE + 1)) == (ALWAYS, 7, NEVER)

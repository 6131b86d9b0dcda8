"""The level at which all keys together come to the goal, against a model that finds it by halving."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import fsum, log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.dynamic.shares import EVERYTHING, fill

AMOUNT = st.one_of(
    st.integers(1, 10**7).map(float),
    st.floats(1e-3, 1e9, allow_nan=False),
    st.sampled_from([1.0, 1.0000001, 0.5, 10.0]),
)
SPACE = st.lists(AMOUNT, min_size=1, max_size=60)
PART = st.floats(1e-6, 1.2)


def kept_by(level: float, traffic: float) -> float:
    """What the formula says of one key."""
    return traffic if traffic <= 1 else min(traffic, max(1.0, level * log10(traffic)))


def by_halving(traffic: Sequence[float], goal: float) -> list[float]:
    """What is kept of each key, found by bisection of the level; below the floors all are cut alike."""
    floors = [kept_by(0, each) for each in traffic]
    if goal <= fsum(floors):
        return [floor * goal / fsum(floors) for floor in floors]
    low, high = 0.0, 1.0
    while fsum(kept_by(high, each) for each in traffic) < goal and high < 1e300:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if fsum(kept_by(middle, each) for each in traffic) >= goal else (middle, high)
    return [kept_by(high, each) for each in traffic]


def filled(traffic: Sequence[float], goal: float) -> list[float]:
    """What is kept of each key."""
    shares = fill(((each, 1.0) for each in traffic), goal)
    return [shares.kept(each) for each in traffic]


@given(SPACE, PART)
def test_the_goal_is_met_exactly_wherever_it_can_be(traffic: list[float], part: float) -> None:
    """All together keep the goal, or everything where there is less, and no key more than it has."""
    goal = part * fsum(traffic)
    kept = filled(traffic, goal)
    assert fsum(kept) == pytest.approx(min(goal, fsum(traffic)), rel=1e-11)
    assert all(0 < each <= has for each, has in zip(kept, traffic, strict=True))


@given(SPACE, PART)
def test_each_key_keeps_what_halving_finds(traffic: list[float], part: float) -> None:
    """Two ways to the same level."""
    goal = min(0.999, part) * fsum(traffic)
    assert filled(traffic, goal) == pytest.approx(by_halving(traffic, goal), rel=1e-6)


@given(SPACE, PART, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(traffic: list[float], part: float, shuffled: random.Random) -> None:
    """To the last bit: shares follow from traffic alone."""
    goal = part * fsum(traffic)
    other = list(traffic)
    shuffled.shuffle(other)
    assert fill(((each, 1.0) for each in traffic), goal) == fill(((each, 1.0) for each in other), goal)


@given(SPACE, PART)
def test_more_traffic_keeps_more_of_it_but_a_smaller_part(traffic: list[float], part: float) -> None:
    """Shares rise with traffic; beyond e the chance of a trace falls with it."""
    shares = fill(((each, 1.0) for each in traffic), part * fsum(traffic))
    for less, more in zip(sorted(traffic), sorted(traffic)[1:], strict=False):
        assert shares.kept(less) <= shares.kept(more)
        if less > 3:
            assert shares.chance(less) >= shares.chance(more) * (1 - 1e-12)


@given(SPACE, PART, st.integers(1, 5))
def test_a_key_that_counts_for_several_is_several_keys(traffic: list[float], part: float, times: int) -> None:
    """Numbers of keys are weights."""
    goal = part * fsum(traffic) * times
    once = fill(((each, float(times)) for each in traffic), goal)
    apart = fill(((each, 1.0) for each in traffic * times), goal)
    assert [once.kept(each) for each in traffic] == pytest.approx([apart.kept(each) for each in traffic], rel=1e-9)


def test_a_goal_above_all_traffic_keeps_everything() -> None:
    """Also where there is none."""
    assert fill([(3.0, 1.0), (4.0, 1.0)], 7.0) == EVERYTHING
    assert fill([], 1.0) == EVERYTHING
    assert EVERYTHING.chance(1e12) == 1


def test_a_key_without_traffic_does_not_disturb() -> None:
    """It takes no share, and gets no chance above 1."""
    assert fill([(0.0, 1.0), (100.0, 1.0)], 10.0) == fill([(100.0, 1.0)], 10.0)
    assert fill([(100.0, 1.0)], 10.0).chance(0.0) == 1

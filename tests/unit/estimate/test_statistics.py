"""The formulas of estimates, against draws of known populations."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from sampler.estimate import Interval, estimate, quantile, ratio
from sampler.estimate.statistics import quantile_of_normal

Population = Sequence[tuple[float, float]]
"""(probability, amount) of every trace there was."""
TRIALS = 1500


def drawn(population: Population, rng: random.Random) -> list[tuple[float, float]]:
    return [(1 / p, amount) for p, amount in population if rng.random() < p]


def coverage(interval_of: Callable[[random.Random], Interval], truth: float) -> float:
    """The share of trials whose interval holds the truth."""
    rng = random.Random(20260101)
    return sum(low <= truth <= high for low, high in (interval_of(rng) for _ in range(TRIALS))) / TRIALS


@pytest.mark.parametrize(
    ("name", "population"),
    [
        ("one probability, 40 kept", [(0.1, 1.0)] * 400),
        ("a high probability", [(0.8, 1.0)] * 50),
        ("two probabilities", [(0.5, 1.0)] * 60 + [(0.1, 1.0)] * 300),
        ("some kept for sure", [(1.0, 1.0)] * 100 + [(0.05, 1.0)] * 800),
        ("amounts that differ", [(0.2, 1.0 + n % 5) for n in range(400)]),
    ],
)
def test_intervals_of_totals_hold_the_truth_as_often_as_they_say(name: str, population: Population) -> None:
    """95 % intervals cover 93 to 97 % of the time once 30 traces are expected to be kept."""
    truth = sum(amount for _, amount in population)
    found = coverage(lambda rng: estimate(drawn(population, rng)).interval(), truth)
    assert 0.93 <= found <= 0.97, name


def test_a_total_is_not_biased() -> None:
    """The mean of many estimates lies within two of its standard errors of the truth."""
    population = [(0.05 + 0.9 * (n % 7) / 7, 1.0 + n % 3) for n in range(200)]
    truth = sum(amount for _, amount in population)
    rng = random.Random(7)
    values = [estimate(drawn(population, rng)).value for _ in range(TRIALS)]
    mean = sum(values) / TRIALS
    spread = (sum((value - mean) ** 2 for value in values) / (TRIALS - 1)) ** 0.5
    assert abs(mean - truth) <= 2 * spread / TRIALS**0.5


def test_where_nothing_was_left_out_nothing_is_in_doubt() -> None:
    """Traces of adjusted count 1 give the number itself, as does nothing at all."""
    whole = estimate([(1.0, 2.0)] * 10)
    assert (whole.value, whole.error, whole.interval()) == (20.0, 0.0, (20.0, 20.0))
    assert estimate([]).interval() == (0.0, 0.0)


def test_an_interval_never_falls_below_what_was_seen() -> None:
    """What lies in the kept traces is there, however the formula comes out."""
    found = estimate([(1.0, 1.0)] * 50 + [(2.0, 1.0)])
    assert 51 <= found.interval(0.9999).low <= found.value


def test_intervals_grow_with_confidence() -> None:
    """99 % reaches further than 90 %."""
    found = estimate([(10.0, 1.0)] * 40)
    wide, narrow = found.interval(0.99), found.interval(0.9)
    assert wide.low < narrow.low < found.value < narrow.high < wide.high
    assert quantile_of_normal(0.95) == pytest.approx(1.959964, abs=1e-6)


def test_intervals_of_shares_hold_the_truth() -> None:
    """A rate of errors of 20 %, errors kept more often than the rest."""
    population = [(0.6, True)] * 80 + [(0.15, False)] * 320

    def interval(rng: random.Random) -> Interval:
        parts = [(1 / p, float(error), 1.0) for p, error in population if rng.random() < p]
        return ratio(parts)[1]

    assert 0.93 <= coverage(interval, 0.2) <= 0.97


def test_a_share_of_nothing_seen_is_still_in_doubt() -> None:
    """No error among sampled traces does not mean that there was none; among all traces it does."""
    sampled = ratio([(10.0, 0.0, 1.0)] * 50)
    assert sampled[0] == 0
    assert sampled[1].low == 0 < sampled[1].high < 0.1
    assert ratio([(10.0, 0.0, 1.0)] * 57)[1].low == 0
    assert ratio([(10.0, 1.0, 1.0)] * 57)[1].high == 1
    assert ratio([(1.0, 0.0, 1.0)] * 50) == (0.0, Interval(0.0, 0.0))
    assert ratio([]) == (0.0, Interval(0.0, 1.0))


def test_quantiles_hold_the_truth() -> None:
    """The median of durations, of which the long ones are kept more often."""
    durations = [float(n) for n in range(1, 501)]
    population = [(0.5 if n > 400 else 0.2, n) for n in durations]

    def interval(rng: random.Random) -> Interval:
        return quantile(drawn(population, rng), 0.5)[1]

    assert 0.92 <= coverage(interval, 250.0) <= 0.98


def test_quantiles_count_what_each_trace_stands_for() -> None:
    """One that stands for nine others outweighs them."""
    assert quantile([(9.0, 5.0), *[(1.0, 50.0)] * 8], 0.5)[0] == 5.0
    assert quantile([(1.0, 5.0)], 0.99) == (5.0, Interval(5.0, 5.0))


def test_a_part_of_which_nothing_was_kept_is_still_in_doubt() -> None:
    """Of sampled traces those left out may hold some of it, up to the upper end of the score interval of none."""
    sampled = estimate([(10.0, 0.0)] * 50)
    assert sampled.value == 0
    low, high = sampled.interval()
    assert low == 0
    assert high == pytest.approx(1.96**2 * 9, rel=0.001)
    assert estimate([(1.0, 0.0)] * 50).interval() == (0.0, 0.0)


def test_traces_for_which_others_stand_count_nothing() -> None:
    """Those of rate 0 were kept beside the sample: sums, shares and quantiles are those of the others."""
    sample = [(4.0, 3.0)] * 20
    assert estimate([*sample, (0.0, 7.0)]) == estimate(sample)
    assert quantile([*sample, *[(0.0, 7.0)] * 30], 0.99) == quantile(sample, 0.99)
    assert ratio([(4.0, 0.0, 1.0), (0.0, 1.0, 1.0)])[0] == 0
    assert quantile([(0.0, 7.0)], 0.5)[0] == 0

"""The goal of `dynamic` is met, at the start, in steady traffic, through bursts, gaps and floods of keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from policies.rset import SPACE
from tests.unit.policies.dynamic_run import INTERVAL_MS, TICKS, Run, policy, zipf

GOAL = 400.0
"""Traces an interval, as `policy` says without a goal of its own."""
PER_TICK = 200
STEADY = zipf(40, PER_TICK)

WAYS: list[Any] = [
    pytest.param(1, False, {}, id="alone"),
    pytest.param(3, False, {}, id="three partitions alone"),
    pytest.param(3, True, {}, id="three partitions together"),
    pytest.param(3, True, {"mode": "windowed"}, id="windowed, together"),
    pytest.param(1, False, {"mode": "windowed", "window_intervals": 4}, id="windowed, alone"),
    pytest.param(2, True, {"burst_multiple": 0}, id="without bursts"),
]


@pytest.mark.parametrize(("partitions", "exchange", "config"), WAYS)
def test_a_goal_is_met_from_the_start(partitions: int, exchange: bool, config: dict[str, Any]) -> None:
    """No interval keeps 10 % more, and in steady traffic the mean lies within 2 %."""
    run = Run(policy(**config), partitions, exchange=exchange)
    kept = run.intervals(range(12), STEADY)
    assert max(kept) < 1.1 * GOAL
    assert sum(kept[4:]) / 8 == pytest.approx(GOAL, rel=0.02)


@pytest.mark.parametrize("unit", ["spans", "traces", "bytes"])
def test_a_mean_rate_is_met_in_its_unit(unit: str) -> None:
    """1 in 10 of what it counts, from the first tick."""
    run = Run(policy(goal={"mean_rate": 10, "mean_rate_of": unit}))
    kept = run.intervals(range(6), STEADY)
    assert kept == pytest.approx([TICKS * PER_TICK / 10] * 6, rel=0.1)
    assert kept[0] == pytest.approx(TICKS * PER_TICK / 10)


def test_a_mean_rate_of_1_keeps_everything() -> None:
    """Where Refinery's engine keeps half."""
    run = Run(policy(goal={"mean_rate": 1}))
    assert run.intervals(range(4), STEADY) == pytest.approx([TICKS * PER_TICK] * 4)


def test_rare_keys_have_higher_chances_than_frequent_ones() -> None:
    """In the long run, and already in the first interval."""
    run = Run(policy())
    run.interval(0, STEADY)
    assert run.chances["k0"] < run.chances["k30"]
    run.intervals(range(1, 6), STEADY)
    assert run.chances["k0"] < run.chances["k3"] < run.chances["k30"]


def burst_of(key: str, traces: int, first: int, tick: int = 0) -> Any:
    """The steady traffic, and from a moment on so many traces of one key more in each tick."""

    def traffic(interval: int, at: int) -> Iterable[tuple[str, float]]:
        more = traces if (interval, at) >= (first, tick) else 0
        return [*STEADY(interval, at), *[(key, 1.0)] * more]

    return traffic


@pytest.mark.parametrize("tick", [0, 9, 17])
@pytest.mark.parametrize(("partitions", "exchange"), [(1, False), (3, True)])
@pytest.mark.parametrize("key", ["k2", "unheard of"])
def test_a_burst_of_a_key_is_settled_within_two_intervals(key: str, partitions: int, exchange: bool, tick: int) -> None:
    """Ten times as much, from any moment of an interval on; even the interval it begins in keeps little more."""
    run = Run(policy(), partitions, exchange=exchange)
    kept = run.intervals(range(13), burst_of(key, 140, 6, tick))
    assert max(kept[6:8]) < 1.3 * GOAL
    assert kept[8:] == pytest.approx([GOAL] * 5, rel=0.15)
    assert sum(kept[8:]) / 5 == pytest.approx(GOAL, rel=0.05)


def test_a_burst_of_everything_is_settled_within_two_intervals() -> None:
    """Also of keys that are small by themselves. When it is over nothing is kept too much, and soon no less."""
    run = Run(policy(), 2, exchange=True)

    def traffic(interval: int, tick: int) -> Iterable[tuple[str, float]]:
        return zipf(40, 10 * PER_TICK if 5 <= interval < 9 else PER_TICK)(interval, tick)

    kept = run.intervals(range(15), traffic)
    assert max(kept[5:7]) < 1.6 * GOAL
    assert kept[7:9] == pytest.approx([GOAL] * 2, rel=0.1)
    assert max(kept[9:]) < 1.1 * GOAL
    assert kept[12:] == pytest.approx([GOAL] * 3, rel=0.1)


def test_a_new_key_begins_at_the_mean_and_not_at_everything() -> None:
    """Of the traffic as a whole 1 in 10 is kept, and so of a key that nobody has seen."""
    run = Run(policy())
    run.intervals(range(5), STEADY)
    run.settle(5 * INTERVAL_MS, 0, [("new", 1.0)])
    assert run.chances["new"] == pytest.approx(0.1, rel=0.1)


def test_a_new_key_begins_at_the_starting_rate_where_one_is_given() -> None:
    """Before anything is known so do all."""
    run = Run(policy(starting_rate=4))
    run.settle(0, 0, [("a", 1.0), ("b", 1.0)])
    assert run.chances == pytest.approx({"a": 0.25, "b": 0.25})
    run.intervals(range(1, 5), STEADY)
    run.settle(5 * INTERVAL_MS, 0, [("new", 1.0)])
    assert run.chances["new"] == pytest.approx(0.25)


def test_keys_beyond_the_limit_share_the_mean() -> None:
    """A flood of keys that come once keeps no more than the goal, and known keys keep their chances."""
    run = Run(policy(max_keys=20))
    before = run.intervals(range(5), STEADY)
    frequent = run.chances["k0"]

    def flood(interval: int, tick: int) -> Iterable[tuple[str, float]]:
        return [*STEADY(interval, tick), *((f"id {interval} {tick} {n}", 1.0) for n in range(PER_TICK))]

    kept = run.intervals(range(5, 14), flood)
    assert before[-1] == pytest.approx(GOAL, rel=0.1)
    assert kept[3:] == pytest.approx([GOAL] * 6, rel=0.12)
    assert run.chances["id 13 19 0"] == pytest.approx(GOAL / (TICKS * 2 * PER_TICK), rel=0.1)
    assert run.chances["k0"] > 0.4 * frequent


def test_keys_that_come_and_go_do_not_take_the_goal_along() -> None:
    """Half of the traffic is of keys that live for one interval: after some intervals the goal is met again."""
    run = Run(policy())

    def churn(interval: int, tick: int) -> Iterable[tuple[str, float]]:
        return [*STEADY(interval, tick), *((f"{interval} {n % 10}", 1.0) for n in range(PER_TICK))]

    kept = run.intervals(range(24), churn)
    assert sum(kept[14:]) / 10 == pytest.approx(GOAL, rel=0.06)


@pytest.mark.parametrize("exchange", [True, False])
def test_an_interval_without_traffic_changes_nothing(exchange: bool) -> None:
    """After a night the chances of the evening are in force."""
    run = Run(policy(), exchange=exchange)
    run.intervals(range(6), STEADY)
    before = run.last_of(["k0", "k3", "k30"])
    if run.exchange is not None:
        run.exchange.advance(1_000 * INTERVAL_MS)
    run.settle(1_000 * INTERVAL_MS, 0, [(key, 1.0) for key in before])
    assert run.last_of(before) == pytest.approx(before, rel=0.25)
    kept = run.intervals(range(1_000, 1_006), STEADY)
    assert kept == pytest.approx([GOAL] * 6, rel=0.1)


def test_traffic_that_stops_and_comes_back_within_intervals_keeps_little_more() -> None:
    """What was seen of a part of an interval seems less traffic; that is found out within a few ticks."""
    run = Run(policy(), 2, exchange=True)

    def gaps(interval: int, tick: int) -> Iterable[tuple[str, float]]:
        return [] if 6 <= (interval * TICKS + tick) // 13 % 12 < 9 else STEADY(interval, tick)

    kept = run.intervals(range(40), gaps)
    came = [TICKS * PER_TICK - sum(not gaps(number, tick) for tick in range(TICKS)) * PER_TICK for number in range(40)]
    assert max(kept) < 1.6 * GOAL
    assert sum(kept) < 1.1 * GOAL * sum(came) / (TICKS * PER_TICK)


def test_a_start_in_the_middle_of_an_interval_is_no_smaller_traffic() -> None:
    """What was seen of the first interval counts for all of it."""
    run = Run(policy())
    run.interval(0, STEADY, ticks=range(12, TICKS))
    assert max(run.intervals(range(1, 6), STEADY)) < 1.15 * GOAL


def test_below_a_policy_that_thins_out_the_goal_is_met() -> None:
    """Of candidates only those of high R arrive, so nearly all pass a threshold: experience corrects that."""
    run = Run(policy())

    def half(randomness: int) -> bool:
        return randomness >= SPACE // 2

    kept = [run.interval(number, zipf(40, 2 * PER_TICK), reach=half) for number in range(30)]
    assert sum(kept[10:]) / 20 == pytest.approx(GOAL, rel=0.1)


def test_traffic_below_the_goal_is_kept_whole() -> None:
    """And when it then grows, not all of it."""
    run = Run(policy())
    assert run.intervals(range(5), zipf(10, 8))[3:] == pytest.approx([TICKS * 8] * 2)
    kept = run.intervals(range(5, 10), zipf(10, PER_TICK))
    assert max(kept) < 1.7 * GOAL
    assert kept[2:] == pytest.approx([GOAL] * 3, rel=0.1)

"""Partitions of a tier decide by the same chances, and what is known survives restarts, moves and reloads."""

from __future__ import annotations

from typing import Any

import pytest

from policies.claims import Candidate, Tick
from policies.exchange import TenantExchange
from policies.intent import Claim
from policies.partition_exchange import PartitionExchange
from policies.rset import SPACE
from tests.unit.policies.dynamic_run import INTERVAL_MS, TICKS, Run, policy, zipf

GOAL = 400.0
STEADY = zipf(40, 200)
KEYS = [f"k{number}" for number in range(10)]


def asked(run: Run, partition: int, ms: int) -> list[float]:
    """The chances that a partition gives some keys."""
    chances = []
    for key in KEYS:
        run.settle(ms, partition, [(key, 1.0)])
        chances.append(run.chances[key])
    return chances


@pytest.mark.parametrize("config", [{}, {"mode": "windowed"}], ids=["ema", "windowed"])
def test_all_partitions_give_a_key_the_same_chance(config: dict[str, Any]) -> None:
    """To the last bit, also where traffic is skewed and workers are others."""
    run = Run(policy(**config), 4, exchange=True)

    def skewed(interval: int, tick: int) -> list[tuple[str, float]]:
        # Partition 0 gets most of the traffic: the places of the others are filled with a single key.
        claims = list(STEADY(interval, tick))
        return [each for claim in claims for each in (claim, ("k0", 1.0), ("k0", 1.0), ("k0", 1.0))]

    run.intervals(range(6), skewed)
    other = policy(**config)
    found = []
    for partition in range(4):
        run.subject = other if partition % 2 else run.subject
        found.append(asked(run, partition, 6 * INTERVAL_MS))
    assert found[1:] == found[:-1]


def fresh(run: Run, partition: int) -> None:
    """Another worker takes a partition over: it knows what was published and recorded."""
    assert run.exchange is not None
    run.subject = policy()
    run.exchange._of[partition] = PartitionExchange(run.exchange.tier, partition)


def test_a_partition_that_moves_goes_on_as_before() -> None:
    """Nothing of the goal is lost or kept twice, in the interval of the move or after it."""
    run = Run(policy(), 3, exchange=True)
    run.intervals(range(6), STEADY)
    first = run.interval(6, STEADY, ticks=range(TICKS // 2))
    before = run.last_of(KEYS)
    for partition in range(3):
        fresh(run, partition)
    second = run.interval(6, STEADY, ticks=range(TICKS // 2, TICKS))
    assert run.last_of(KEYS) == pytest.approx(before)
    assert [first + second, *run.intervals(range(7, 12), STEADY)] == pytest.approx([GOAL] * 6, rel=0.1)


def test_what_was_counted_before_a_move_still_counts() -> None:
    """The worker that has died took its counts along, but the state says how much they were."""
    run = Run(policy(), exchange=True)
    run.intervals(range(4), STEADY)
    run.interval(4, STEADY, ticks=range(TICKS // 2))
    fresh(run, 0)
    run.interval(4, STEADY, ticks=range(TICKS // 2, TICKS))
    assert run.exchange is not None
    run.exchange.advance(5 * INTERVAL_MS)
    (policy_key,) = run.exchange.tier._policies
    assert run.exchange.tier.sums(0, policy_key, 4).counts["\\all"][0] == TICKS * 200


def test_a_reload_goes_on_in_the_middle_of_an_interval() -> None:
    """Policies are built anew; the same one finds what is known of each partition, to the last count."""
    run, plain = Run(policy(), 2, exchange=True), Run(policy(), 2, exchange=True)
    for number in range(8):
        for tick in range(TICKS):
            if number == 5 and tick == 11:
                run.subject = policy()
            kept = [each.interval(number, STEADY, ticks=range(tick, tick + 1)) for each in (run, plain)]
            assert kept[0] == kept[1]


def test_a_replay_of_a_tick_counts_it_once() -> None:
    """A tick whose record was not written is settled again from the state before it."""
    run = Run(policy(), exchange=True)
    run.intervals(range(3), STEADY)
    before = [dict(state) for state in run.states]
    run.settle(3 * INTERVAL_MS, 0, STEADY(3, 0))
    run.states = before
    run.settle(3 * INTERVAL_MS, 0, STEADY(3, 0))
    assert run.states[0]["at"] == [3, 200.0]


def test_without_sums_a_partition_decides_by_its_own_counts() -> None:
    """Where the others are not heard each takes its equal part, so the tier keeps the goal."""
    run = Run(policy(), 2, exchange=True)
    run.intervals(range(4), STEADY)
    assert run.exchange is not None
    run.exchange.tier.cut_off = True
    kept = run.intervals(range(4, 9), STEADY)
    assert kept == pytest.approx([GOAL] * 5, rel=0.12)


def test_a_partition_falls_silent() -> None:
    """Its part of the goal goes to the others."""
    run = Run(policy(), 2, exchange=True)
    run.intervals(range(5), STEADY)

    def one(number: int) -> float:
        assert run.exchange is not None
        kept = 0.0
        for tick in range(TICKS):
            ms = number * INTERVAL_MS + tick * 250
            kept += run.settle(ms, 0, STEADY(number, tick))
            run.exchange.advance(ms)
        return kept

    assert [one(number) for number in range(5, 12)][2:] == pytest.approx([GOAL] * 5, rel=0.12)


def test_tenants_with_equal_policies_have_counts_of_their_own() -> None:
    """The traffic of one tenant says nothing of another's."""
    run = Run(policy(), exchange=True)
    assert run.exchange is not None
    subject, chances = run.subject, {}
    for tenant, traces in (("a", 100), ("b", 400)):
        state = subject.initial_state()
        for tick in range(4 * TICKS):
            exchange = TenantExchange(run.exchange.of(0), f"@{tenant}")
            candidates = [Candidate(0, Claim("d", 1.0, "k"))] * traces
            keep = subject.settle(Tick(tick * 250, 1.0, exchange), candidates, state).keep(
                candidates[0].claim, 0, candidate=True
            )
            assert isinstance(keep, int)
            chances[tenant] = 1 - keep / SPACE
            if tenant == "b":
                run.exchange.advance(tick * 250)
    assert chances["a"] == pytest.approx(4 * chances["b"], rel=0.05)

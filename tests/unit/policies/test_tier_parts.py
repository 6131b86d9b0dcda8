"""Budgets of the whole tier: what limiters grant in all partitions together, by what is asked for in each."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Candidate, PolicySet, Settlement, Tick, build_policy_set
from policies.demand import INTERVAL_MS, share_of
from policies.exchange import Exchange, Sums
from policies.partition_exchange import MemoryExchange
from policies.reference import PlainSummary
from policies.registry import Registry
from policies.rset import SPACE
from policies.tenants import Tenant, TenantPolicySets
from tests.unit.policies.sample_policies import TokenBucket, build, spec

TICK_MS = 250
SKEWED = (40, 12, 4, 2, 1, 1)
"""Traces a tick in each of six partitions."""
RATE = spec("rate_limiting", "rate", spans_per_second=200)
SIZE = spec("bytes_limiting", "size", bytes_per_second=20_000)
SHARED = spec(
    "composite",
    "shared",
    max_total_spans_per_second=400,
    composite_sub_policy=[spec("status_code", "errors", status_codes=["ERROR"]), spec("always_sample", "all")],
    rate_allocation=[{"policy": "errors", "percent": 50}, {"policy": "all", "percent": 50}],
)


class Tier:
    """Partitions in one process that decide by the same policies, each with a state of its own."""

    def __init__(self, policy: dict[str, Any], partitions: int, *, exchanging: bool = True) -> None:
        self.policy_set: PolicySet = build(policy)
        self.exchange = MemoryExchange(partitions)
        self.states = [self.policy_set.initial_state() for _ in range(partitions)]
        self.exchanging = exchanging
        self._draw = random.Random(7)

    def tick(self, partition: int, tick_ms: int, traces: int, spans: int = 2) -> tuple[float, float]:
        """(spans kept, spans that the kept ones stand for); half of the traces have an error, by turns."""
        bits = (0, 1) if self.policy_set.span_conditions else (0, 0)
        inputs = [
            (
                bytes(16),
                PlainSummary(span_count=spans, size_bytes=100 * spans, rv=self._draw.getrandbits(56), bits=bits[n % 2]),
                tuple,
            )
            for n in range(traces)
        ]
        verdicts = self.policy_set.decide(
            tick_ms,
            inputs,
            self.states[partition],
            share=1 / len(self.states),
            exchange=self.exchange.of(partition) if self.exchanging else None,
        )
        assert not self.policy_set.errors
        kept = [verdict for verdict in verdicts if verdict.sampled]
        return spans * len(kept), sum(spans / verdict.probability for verdict in kept)

    def run(self, load: Sequence[int], from_ms: int, to_ms: int) -> tuple[float, float, float]:
        """(spans kept a second, spans they stand for, spans that came) over a span of stream time."""
        kept = estimated = came = 0.0
        for tick_ms in range(from_ms, to_ms, TICK_MS):
            for partition, traces in enumerate(load):
                if traces:
                    found = self.tick(partition, tick_ms, traces)
                    kept, estimated, came = kept + found[0], estimated + found[1], came + 2 * traces
            self.exchange.advance(tick_ms)
        return kept / (to_ms - from_ms) * 1000, estimated, came


@pytest.mark.parametrize(("policy", "goal"), [(RATE, 200), (SIZE, 200), (SHARED, 400)], ids=["spans", "bytes", "both"])
def test_skewed_partitions_keep_what_the_tier_may_keep(policy: dict[str, Any], goal: int) -> None:
    """Where most traffic is in one partition the tier keeps its rate within 3 %, not the equal share of each."""
    tier = Tier(policy, len(SKEWED))
    tier.run(SKEWED, 0, 4 * INTERVAL_MS)
    kept, _, _ = tier.run(SKEWED, 4 * INTERVAL_MS, 12 * INTERVAL_MS)
    assert kept == pytest.approx(goal, rel=0.03)
    alone = Tier(policy, len(SKEWED), exchanging=False)
    alone.run(SKEWED, 0, 4 * INTERVAL_MS)
    assert alone.run(SKEWED, 4 * INTERVAL_MS, 8 * INTERVAL_MS)[0] < 0.8 * goal


def test_estimates_stay_true_whatever_the_parts() -> None:
    """Parts change with every interval: weighted by 1/p what is kept stands for what came."""
    tier = Tier(RATE, 4)
    draw = random.Random(11)
    estimated = came = 0.0
    for interval in range(60):
        load = [draw.choice((5, 10, 40)) for _ in range(4)]
        found = tier.run(load, interval * INTERVAL_MS, (interval + 1) * INTERVAL_MS)
        estimated, came = estimated + found[1], came + found[2]
    assert estimated == pytest.approx(came, rel=0.03)


@pytest.mark.parametrize("load", [(0, 12, 12), (12, 0, 3), (3, 12, 12)], ids=["newly", "mostly", "rarely"])
def test_a_trace_is_kept_for_exactly_the_r_of_its_set(load: tuple[int, ...]) -> None:
    """Decided again at any R, all else as it is, a trace is kept iff R lies in the set told: 1/p is exact."""
    tier = Tier(RATE, 3)
    tier.run(load, 0, 3 * INTERVAL_MS)
    draw = random.Random(3)
    others = [draw.getrandbits(56) for _ in range(30)]
    places = sorted({each + by for each in others for by in (-1, 0, 1)} | {draw.getrandbits(56) for _ in range(50)})
    told = set()
    for place in places:
        traces = [(bytes(16), PlainSummary(span_count=40, rv=rv), tuple) for rv in (place, *others)]
        state, exchange = copy.deepcopy((tier.states[0], tier.exchange))
        verdict = tier.policy_set.decide(3 * INTERVAL_MS, traces, state, share=1 / 3, exchange=exchange.of(0))[0]
        told.add((verdict.sampled, verdict.keep if verdict.sampled else None))
        kept_from = next((keep for sampled, keep in told if sampled), SPACE)
        assert verdict.sampled == (place >= kept_from)
    assert len(told) == 2


def test_the_budget_moves_where_traffic_moves() -> None:
    """From the second interval after the traffic of one partition went to another one the tier keeps its rate again."""
    tier = Tier(RATE, 3)
    tier.run((60, 2, 2), 0, 6 * INTERVAL_MS)
    tier.run((2, 60, 2), 6 * INTERVAL_MS, 8 * INTERVAL_MS)
    assert tier.run((2, 60, 2), 8 * INTERVAL_MS, 12 * INTERVAL_MS)[0] == pytest.approx(200, rel=0.03)


def test_a_partition_that_falls_silent_leaves_its_part_to_the_others() -> None:
    """Stream time of a partition without traffic goes on: it counts as one that has seen nothing."""
    tier = Tier(RATE, 3)
    tier.run((30, 30, 30), 0, 6 * INTERVAL_MS)
    tier.run((60, 0, 0), 6 * INTERVAL_MS, 8 * INTERVAL_MS)
    assert tier.run((60, 0, 0), 8 * INTERVAL_MS, 12 * INTERVAL_MS)[0] == pytest.approx(200, rel=0.03)


def test_partitions_that_are_not_heard_of_any_more_keep_their_part_for_a_while_and_then_an_equal_one() -> None:
    """Neither doubles nor halves what the others keep: first their parts stay, then each goes by its equal share."""
    tier = Tier(RATE, 4)
    tier.run((30, 30, 30, 30), 0, 6 * INTERVAL_MS)
    kept = []
    for interval in range(6, 16):
        kept.append(0.0)
        for tick_ms in range(interval * INTERVAL_MS, (interval + 1) * INTERVAL_MS, TICK_MS):
            for partition in (0, 1):
                kept[-1] += tier.tick(partition, tick_ms, 30)[0] / INTERVAL_MS * 1000
                tier.exchange.advance(tick_ms, partition)
    assert all(each == pytest.approx(100, rel=0.06) for each in kept)
    assert tier.exchange.tier.answers["older"] > 0
    assert tier.exchange.tier.answers["alone"] > 0


def test_a_replay_settles_the_same() -> None:
    """From a state that went through JSON, and the same counts of the tier, the same traces are decided the same."""
    tier = Tier(RATE, 2)
    tier.run((20, 5), 0, 3 * INTERVAL_MS + 3 * TICK_MS)
    stored = json.loads(json.dumps(tier.states[0]))
    inputs = [(bytes(16), PlainSummary(span_count=2, rv=rv << 48), tuple) for rv in range(1, 60)]
    told = []
    for state in (tier.states[0], stored):
        exchange = copy.deepcopy(tier.exchange)
        told.append(tier.policy_set.decide(4 * INTERVAL_MS, inputs, state, share=0.5, exchange=exchange.of(0)))
    assert told[0] == told[1]
    assert tier.states[0] == stored


def test_what_an_owner_had_counted_is_reported_by_the_next_one() -> None:
    """The counts of an interval that was going on when a partition changed hands are not lost."""
    before, after = Tier(RATE, 2), Tier(RATE, 2)
    before.run((20, 20), 0, INTERVAL_MS - TICK_MS)
    after.states = json.loads(json.dumps(before.states))
    after.run((20, 20), INTERVAL_MS, 2 * INTERVAL_MS)
    (key,) = after.policy_set.exchange_keys
    assert after.exchange.of(0).sums(key, 0).own == {"": (20 * 2.0 * 19, 20.0 * 19)}


# Costs are spans or bytes: numbers that a float holds only roughly, below 1e-300, are none.
COSTS = st.just(0.0) | st.floats(1e-3, 1e9)


@given(st.lists(st.tuples(COSTS, st.integers(0, 10_000)), min_size=2, max_size=12))
def test_parts_add_up_to_one(asked: list[tuple[float, int]]) -> None:
    """Whatever was asked for in each partition, all parts together are the whole, and none is nothing."""
    counts = [{"": (cost * bool(traces), float(traces))} if traces else {} for cost, traces in asked]
    total = tuple(sum(each.get("", (0.0, 0.0))[place] for each in counts) for place in (0, 1))
    parts = [share_of(Sums(0, {"": total}, own, len(asked), stale=False), "", 1 / len(asked)) for own in counts]
    assert sum(parts) == pytest.approx(1)
    assert min(parts) > 0


def test_alone_a_partition_has_an_equal_part() -> None:
    """Its own counts say nothing of its part."""
    own = {"": (10.0, 5.0)}
    assert share_of(Sums(0, {"": (40.0, 20.0)}, own, 1, stale=True), "", 0.25) == 0.25


def test_only_limiters_that_ask_see_the_exchange() -> None:
    """Counts are carried for those that say so; all others decide as without."""
    seen: list[Exchange | None] = []

    class Asking(TokenBucket):
        """A bucket that tells what it is given."""

        def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
            seen.append(tick.exchange)
            return super().settle(tick, candidates, state)

    exchange = MemoryExchange(2).of(0)
    for asks in (False, True):
        policy = type("Bucket", (Asking,), {"type": "bucket", "exchanges": asks})
        bucket = {"name": "b", "type": "bucket", "bucket": {"rate": 1, "burst": 1}}
        policy_set = build_policy_set([bucket], registry=Registry(extra={"bucket": policy}))
        traces = [(bytes(16), PlainSummary(span_count=1, rv=7), tuple)]
        policy_set.decide(0, traces, policy_set.initial_state(), share=0.5, exchange=exchange)
        assert not policy_set.errors
        assert len(policy_set.exchange_keys) == asks
    assert seen == [None, exchange]


def test_tenants_count_apart() -> None:
    """The same limiter in the sets of two tenants has a budget, and counts, for each."""
    limited = build(RATE)
    sets = TenantPolicySets(
        limited, [Tenant("acme", ("acme",), build(RATE)), Tenant("beta", ("beta",), build(RATE))], attribute="tenant"
    )
    (key,) = limited.exchange_keys
    assert sets.exchange_keys == {key, f"{key}@acme", f"{key}@beta"}
    exchange = MemoryExchange(2)
    traces = [(bytes(16), PlainSummary(span_count=bits + 1, rv=7, bits=bits), tuple) for bits in (0, 1, 2)]
    sets.decide(0, traces, sets.initial_state(), share=0.5, exchange=exchange.of(0))
    exchange.advance(INTERVAL_MS)
    counted = {each: exchange.of(1).sums(each, 0).counts[""] for each in sets.exchange_keys}
    assert counted == {key: (1, 1), f"{key}@acme": (2, 1), f"{key}@beta": (3, 1)}

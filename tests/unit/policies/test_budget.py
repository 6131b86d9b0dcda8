"""A budget for all that a policy set keeps: who is cut, by how much, and that the counts stay true."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies import PolicyConfigError, PolicySet, build_policy_set
from policies.budget import BudgetRule, cut, regions_by_priority, shares_for, upper_part
from policies.exchange import Exchange
from policies.partition_exchange import MemoryExchange
from policies.policy_set import TraceInput
from policies.reference import PlainSummary
from policies.rset import (
    ALWAYS,
    NEVER,
    SPACE,
    RSet,
    difference,
    from_intervals,
    from_percentage,
    intersection,
    measure,
    union,
)
from policies.tenants import Tenant, TenantPolicySets
from policies.trace import Summary
from policies.verdict import Verdict
from tests.unit.policies.sample_policies import spec

RANDOMNESS = st.integers(0, SPACE)
SETS = st.one_of(
    RANDOMNESS,
    st.lists(st.tuples(RANDOMNESS, RANDOMNESS), max_size=4).map(from_intervals),
)
SHARES = st.floats(0, 1, allow_nan=False)
ALL = spec("always_sample", "all")
TICK_MS = 250


def no_spans() -> Sequence[Any]:
    raise AssertionError("nothing reads spans")


@example({0: 5e-324, 1: 2.0}, 1.0, 0.25)
@given(st.dictionaries(st.integers(0, 5), st.floats(0, 1e6), max_size=5), st.floats(0.1, 1e6), st.floats(0, 0.5))
def test_shares_spend_the_budget_lowest_priority_first(demand: dict[int, float], budget: float, least: float) -> None:
    """All fits, or exactly the budget is spent; below its minimum a priority is cut only with all."""
    shares = shares_for(demand, budget, least)
    spent = sum(shares[priority] * wanted for priority, wanted in demand.items())
    assert spent == pytest.approx(min(budget, sum(demand.values())), rel=1e-6)
    cut_ones = [priority for priority in sorted(demand) if shares[priority] < 1 - 1e-9 and demand[priority] > 0]
    for lower, higher in zip(sorted(demand), cut_ones[1:], strict=False):
        if lower < higher and demand[lower] > 1e-3:
            assert shares[lower] <= max(least, shares[higher]) + 1e-6
    if sum(demand.values()) * least <= budget:
        assert all(share >= least - 1e-9 for share in shares.values())


@given(SETS, SHARES)
def test_of_a_set_the_upper_part_is_kept(region: RSet, share: float) -> None:
    """Its measure is the share, to one R, and all that is left out lies below it."""
    part = upper_part(region, share)
    assert difference(part, region) == NEVER
    assert measure(part) == pytest.approx(share * measure(region), abs=1)
    left_out = difference(region, part)
    if NEVER not in {part, left_out}:
        lowest = part if isinstance(part, int) else part[0][0]
        assert intersection(left_out, lowest) == NEVER


@given(st.lists(st.tuples(st.integers(0, 3), SETS), max_size=5), SETS, st.integers(0, 2))
def test_every_kept_r_has_one_priority(sets: list[tuple[int, RSet]], dropped: RSet, least: int) -> None:
    """Regions do not overlap, and together are what the policies keep without what is dropped."""
    regions = regions_by_priority(sets, dropped, least)
    together: RSet = NEVER
    for _, region in regions:
        assert intersection(together, region) == NEVER
        together = union(together, region)
    wanted: RSet = NEVER
    for _, keep in sets:
        wanted = union(wanted, keep)
    assert together == difference(wanted, dropped)
    assert cut(regions, {}) == together


def test_nested_thresholds_stay_a_threshold() -> None:
    """What is cut between two thresholds moves the lower one up: the trace's `th` still says all."""
    regions = regions_by_priority([(0, SPACE // 2), (9, SPACE - SPACE // 10)], NEVER, 0)
    assert cut(regions, {0: 0.5}) == pytest.approx(SPACE * 0.7, abs=2)


class Traffic:
    """Made-up traces, the same on every run: some with errors, some of important customers."""

    def __init__(self, seed: int, errors: float = 0.02) -> None:
        self._random = random.Random(seed)
        self._errors = errors

    def tick(self, traces: float) -> list[TraceInput]:
        rng = self._random
        count = int(traces) + (rng.random() < traces % 1)
        return [
            (rng.randbytes(16), PlainSummary(span_count=rng.randint(1, 9), has_error=rng.random() < self._errors,
                                             bits=int(rng.random() < 0.1)), no_spans)
            for _ in range(count)
        ]  # fmt: skip


def play(
    policies: PolicySet, traffic: Traffic, traces_per_s: Sequence[float], exchange: Exchange | None = None
) -> list[list[tuple[Summary, Verdict]]]:
    """What was decided in each second, given its load."""
    state = policies.initial_state()
    seconds = []
    for second, load in enumerate(traces_per_s):
        decided: list[tuple[Summary, Verdict]] = []
        for part in range(1000 // TICK_MS):
            traces = traffic.tick(load * TICK_MS / 1000)
            if traces:
                tick_ms = second * 1000 + (part + 1) * TICK_MS - 1
                found = policies.decide(tick_ms, traces, state, exchange=exchange)
                decided += zip((summary for _, summary, _ in traces), found, strict=True)
        seconds.append(decided)
    return seconds


def kept_spans(decided: Sequence[tuple[Summary, Verdict]]) -> int:
    return sum(summary.span_count for summary, verdict in decided if verdict.sampled)


def budgeted(per_second: float, specs: Sequence[Mapping[str, Any]] = (ALL,), **more: Any) -> PolicySet:
    return build_policy_set(specs, budget=BudgetRule(per_second, "spans", interval_ms=5_000, **more))


def test_in_steady_state_the_budget_is_what_is_kept() -> None:
    """5,000 spans a second wanted, 1,000 to keep: the mean of a minute is within 2 %, and no error is lost."""
    seconds = play(budgeted(1000), Traffic(1), [1000.0] * 80)
    steady = [each for second in seconds[15:] for each in second]
    assert kept_spans(steady) / 65 == pytest.approx(1000, rel=0.02)
    assert all(verdict.sampled and verdict.keep == ALWAYS for summary, verdict in steady if summary.has_error)
    refused = [verdict for _, verdict in steady if not verdict.sampled]
    assert {(verdict.reason, verdict.policy) for verdict in refused} == {("budget", "all")}


def test_below_the_budget_nothing_changes() -> None:
    """Verdicts are those of the policies alone, reason and all."""
    seconds = play(budgeted(10_000), Traffic(2), [500.0] * 20)
    assert all(verdict.keep == ALWAYS and verdict.reason == "policy" for each in seconds for _, verdict in each)


def test_a_burst_is_cut_after_a_second_and_its_end_is_seen() -> None:
    """Ten times the load: from the second second on the budget holds; 15 s after it everything is kept again."""
    policies = budgeted(6000)
    seconds = play(policies, Traffic(3), [1000.0] * 20 + [10_000.0] * 20 + [1000.0] * 30)
    burst = [kept_spans(second) for second in seconds[22:40]]
    assert sum(burst) / len(burst) < 6000 * 1.35
    assert sum(burst[9:]) / len(burst[9:]) == pytest.approx(6000, rel=0.05)
    assert all(verdict.sampled for second in seconds[56:] for _, verdict in second)


def test_counts_stay_true() -> None:
    """Each kept trace weighs 1 / p: the estimate of all spans is not biased, whatever is cut."""
    ratios = []
    for seed in range(14):
        seconds = play(budgeted(600), Traffic(seed), [400.0, 900.0, 300.0, 800.0] * 5)
        decided = [each for second in seconds for each in second]
        truth = sum(summary.span_count for summary, _ in decided)
        ratios.append(sum(s.span_count / v.probability for s, v in decided if v.sampled) / truth)
    mean = sum(ratios) / len(ratios)
    spread = (sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)) ** 0.5
    assert abs(mean - 1) < 2 * spread / len(ratios) ** 0.5 + 1e-9


def test_priorities_are_cut_from_below() -> None:
    """The baseline falls to its minimum before a named policy is touched."""
    vips = spec("string_attribute", "vips", key="tier", values=["vip"])
    policies = budgeted(900, (vips, ALL), priorities={"vips": 50}, minimum_share=0.05)
    steady = [each for second in play(policies, Traffic(5), [1000.0] * 40)[15:] for each in second]
    chances: dict[str, set[float]] = {"vip": set(), "rest": set()}
    for summary, verdict in steady:
        if not summary.has_error:
            chances["vip" if summary.bits else "rest"].add(round(verdict.probability, 2))
    assert max(chances["rest"]) <= 0.2
    assert chances["vip"] == {1.0}
    few = play(budgeted(300, (vips, ALL), priorities={"vips": 50}, minimum_share=0.02), Traffic(5), [1000.0] * 40)
    late = [each for second in few[15:] for each in second if not each[0].has_error]
    assert {round(verdict.probability, 2) for summary, verdict in late if not summary.bits} == {0.02}
    assert all(0.02 < verdict.probability < 1 for summary, verdict in late if summary.bits)
    assert kept_spans([each for second in few[15:] for each in second]) / 25 == pytest.approx(300, rel=0.05)


def test_partitions_share_one_budget() -> None:
    """Four partitions of very different load keep together what one may: within 3 %."""
    tier = MemoryExchange(4)
    loads = (1500.0, 300.0, 100.0, 20.0)
    policies = budgeted(1000)
    traffic = [Traffic(partition) for partition in range(4)]
    states = [policies.initial_state() for _ in loads]
    kept = 0
    for step in range(320):
        tick_ms = (step + 1) * TICK_MS - 1
        for partition, load in enumerate(loads):
            traces = traffic[partition].tick(load * TICK_MS / 1000)
            found = policies.decide(tick_ms, traces, states[partition], share=0.25, exchange=tier.of(partition))
            if step >= 80:
                kept += kept_spans([(summary, v) for (_, summary, _), v in zip(traces, found, strict=True)])
        tier.advance(tick_ms)
    assert kept / 60 == pytest.approx(1000, rel=0.03)


def test_the_same_ticks_give_the_same_verdicts() -> None:
    """Replayed from a stored state, whatever other partitions have asked meanwhile."""
    policies = budgeted(500)
    state = policies.initial_state()
    traffic = Traffic(6)
    for step in range(60):
        policies.decide(step * TICK_MS, traffic.tick(200), state)
    stored, traces = copy.deepcopy(state), traffic.tick(200)
    first = policies.decide(60 * TICK_MS, traces, state)
    other = policies.initial_state()
    policies.decide(0, traffic.tick(50), other)
    assert policies.decide(60 * TICK_MS, traces, stored) == first
    assert stored == state


def test_a_trace_that_the_budget_cut_is_not_brought_back_by_an_ordinary_late_span() -> None:
    """Decided again, the budget cuts as it did; an error makes the trace important."""
    policies = budgeted(100)
    state = policies.initial_state()
    traffic = Traffic(7)
    for step in range(60):
        traces = traffic.tick(200)
        verdicts = policies.decide(step * TICK_MS, traces, state)
    place = next(place for place, verdict in enumerate(verdicts) if verdict.reason == "budget")
    trace_id, summary, _ = traces[place]
    assert not policies.decide_again(trace_id, summary, no_spans).sampled
    failed = PlainSummary(span_count=summary.span_count, has_error=True)
    assert policies.decide_again(trace_id, failed, no_spans).sampled


def test_a_priority_of_no_policy_is_an_error() -> None:
    """The nearest name is offered; drop policies keep nothing, so they have no priority."""
    with pytest.raises(PolicyConfigError, match='no policy "al"'):
        budgeted(1, priorities={"al": 3})


def test_a_state_that_was_recorded_stays_as_it_is() -> None:
    """Records of decisions are written later than they are made: further ticks do not change what they hold."""
    policies = budgeted(500)
    state = policies.initial_state()
    traffic = Traffic(8)
    for step in range(30):
        recorded = dict(state)
        before = copy.deepcopy(recorded)
        policies.decide(step * TICK_MS, traffic.tick(200), state)
        assert recorded == before
    assert json.loads(json.dumps(state)) == state
    assert len(json.dumps(state)) < 1000


def test_priorities_cut_alike_whichever_way_answers_are_had() -> None:
    """From conditions alone, or with a limiter that never grants anything beside them: the same sets of R."""
    vips = spec("string_attribute", "vips", key="tier", values=["vip"])
    half = spec("probabilistic", "half", sampling_percentage=50)
    health = spec("drop", "health", drop_sub_policy=[spec("probabilistic", "some", sampling_percentage=10)])
    # More spans than any trace has fit in no burst.
    never = spec("and", "never", and_sub_policy=[
        spec("span_count", "huge", min_spans=1000), spec("rate_limiting", "limited", spans_per_second=1)
    ])  # fmt: skip
    found = []
    for more in ((), (never,)):
        policies = budgeted(200, (health, vips, half, *more), priorities={"vips": 50})
        found.append([
            (verdict.decision, verdict.keep, verdict.policy, verdict.reason)
            for second in play(policies, Traffic(9), [500.0] * 15) for _, verdict in second
        ])  # fmt: skip
    assert found[0] == found[1]
    dropped = from_percentage(10)
    assert {intersection(keep, dropped) for _, keep, _, _ in found[0]} == {NEVER}
    assert len({keep for _, keep, _, reason in found[0] if reason == "budget"}) > 3


@pytest.mark.parametrize("began_s", [20, 25, 29])
@pytest.mark.parametrize("exchanged", [False, True])
def test_a_burst_is_held_wherever_in_an_interval_it_begins(began_s: int, exchanged: bool) -> None:
    """Neither the interval so far nor the beginning of the next one hides it: from its third second on it is held."""
    tier = MemoryExchange(1)
    exchange = tier.of(0) if exchanged else None
    policies = build_policy_set((ALL,), budget=BudgetRule(2000, "spans", interval_ms=10_000))
    state, traffic, kept = policies.initial_state(), Traffic(3), []
    for step in range(4 * 60):
        tick_ms = (step + 1) * TICK_MS - 1
        traces = traffic.tick((2500 if step >= 4 * began_s else 250) * TICK_MS / 1000)
        found = policies.decide(tick_ms, traces, state, exchange=exchange)
        kept.append(kept_spans([(trace[1], verdict) for trace, verdict in zip(traces, found, strict=True)]))
        tier.advance(tick_ms)
    seconds = [sum(kept[4 * second : 4 * second + 4]) for second in range(60)]
    assert max(seconds[began_s + 2 : began_s + 25]) < 2000 * 1.6
    assert sum(seconds[began_s : began_s + 20]) / 20 < 2000 * 1.25


def test_a_few_huge_traces_are_no_burst() -> None:
    """One trace of a thousand times the usual size changes the demand that is known, and cuts nothing at once."""
    policies = budgeted(4000)
    state = policies.initial_state()
    traffic = Traffic(11)
    for step in range(160):
        traces = traffic.tick(20)
        if step == 144:
            traces[0] = (traces[0][0], PlainSummary(span_count=9000), no_spans)
        verdicts = policies.decide(step * TICK_MS, traces, state)
        assert all(verdict.keep == ALWAYS for verdict in verdicts)


def test_a_partition_that_had_hardly_a_part_is_cut_in_proportion() -> None:
    """Its growth is not taken for that of all by its tiny part: traffic that moves to it is not thrown away."""
    tier = MemoryExchange(2)
    policies = budgeted(3000)
    states = [policies.initial_state() for _ in range(2)]
    traffic = [Traffic(12), Traffic(13)]
    chances = []
    for step in range(240):
        moved = step >= 162
        for partition, load in enumerate((500.0, 500.0) if moved else (1000.0, 1.0)):
            traces = traffic[partition].tick(load * TICK_MS / 1000)
            tick_ms = (step + 1) * TICK_MS - 1
            found = policies.decide(tick_ms, traces, states[partition], share=0.5, exchange=tier.of(partition))
            if moved and partition:
                chances += [verdict.probability for verdict in found]
        tier.advance((step + 1) * TICK_MS - 1)
    assert min(chances) > 0.2


def test_what_was_counted_before_a_new_owner_is_told() -> None:
    """The one before it left within an interval: from its state the new owner tells the others of that interval."""
    before, after = MemoryExchange(2), MemoryExchange(2)
    policies = budgeted(100)
    state = policies.initial_state()
    one = [(bytes(16), PlainSummary(span_count=5), no_spans)]
    policies.decide(1_000, one, state, share=0.5, exchange=before.of(0))
    policies.decide(6_000, one, state, share=0.5, exchange=after.of(0))
    after.advance(12_000)
    assert after.of(1).sums(policies.budgets[""].key, 0).counts == {"0": (5.0,)}


def test_traces_let_in_during_overload_count_for_those_refused() -> None:
    """With the lower three quarters of R refused the budget still holds, and counts stay true."""
    lowest = SPACE * 3 // 4
    policies = build_policy_set((ALL,), budget=BudgetRule(1000, "spans", interval_ms=5_000))
    state, traffic, kept, weights, truth = policies.initial_state(), Traffic(14), 0, 0.0, 0
    for step in range(200):
        traces = traffic.tick(250)
        let_in = {each[0]: lowest for each in traces if policies.randomness_of(each[0], each[1])[0] >= lowest}
        taken = [each for each in traces if each[0] in let_in]
        found = policies.decide(step * TICK_MS, taken, state, let_in=let_in)
        if step >= 60:
            truth += sum(summary.span_count for _, summary, _ in traces)
            for (_, summary, _), verdict in zip(taken, found, strict=True):
                if verdict.sampled:
                    kept += summary.span_count
                    weights += summary.span_count / verdict.probability
    assert kept / 35 == pytest.approx(1000, rel=0.05)
    assert weights == pytest.approx(truth, rel=0.05)


def test_a_tenants_budget_is_that_of_its_traces_alone() -> None:
    """It cuts as the set would by itself, refused traces and all; traces of others neither count nor are cut."""
    acme = [build_policy_set((ALL,), budget=BudgetRule(100, "spans", interval_ms=1_000)) for _ in range(2)]
    sets = TenantPolicySets(build_policy_set((ALL,)), [Tenant("acme", ("acme",), acme[0])], attribute="tenant")
    state, own, traffic = sets.initial_state(), acme[1].initial_state(), Traffic(15, errors=0)
    for step in range(24):
        traces = traffic.tick(250)
        let_in = {trace_id: SPACE // 2 for trace_id, _, _ in traces}
        found = sets.decide(step * TICK_MS, traces, state, let_in=let_in)
        mine = [trace for trace in traces if trace[1].bits]
        alone = acme[1].decide(step * TICK_MS, mine, own, let_in=let_in)
        of_acme = [verdict for trace, verdict in zip(traces, found, strict=True) if trace[1].bits]
        assert [verdict.keep for verdict in of_acme] == [verdict.keep for verdict in alone]
        assert {verdict.keep for verdict in found if not verdict.tenant} == {ALWAYS}
    assert min(verdict.probability for verdict in of_acme) < 0.5
    assert list(state) == [f"{acme[0].budgets[''].key}@acme"]

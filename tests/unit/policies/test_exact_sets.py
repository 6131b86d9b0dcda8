"""The set of R that is told of a kept trace is true: moved to any other R of the set it is kept, outside it is not."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policies import NEVER, SPACE, PolicySet, RSet, TraceInput, build_policy_set
from policies.reference import PlainSummary
from policies.rset import contains, from_percentage

PERCENTAGES = (20, 50, 80)

plain = st.one_of(
    st.just({"type": "always_sample"}),
    st.just({"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}),
    st.sampled_from(PERCENTAGES).map(
        lambda share: {"type": "probabilistic", "probabilistic": {"sampling_percentage": share}}
    ),
)
limiters = st.one_of(
    st.integers(1, 9).map(
        lambda burst: {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 3, "burst_capacity": burst}}
    ),
    st.integers(1, 9).map(
        lambda burst: {"type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 3, "burst_capacity": burst}}
    ),
)


def composite(parts: list[tuple[dict[str, Any], int]], total: int) -> dict[str, Any]:
    """A composite of (sub-policy, percentage)."""
    return {
        "type": "composite",
        "composite": {
            "max_total_spans_per_second": total,
            "composite_sub_policy": [{**sub, "name": f"s{index}"} for index, (sub, _) in enumerate(parts)],
            "rate_allocation": [
                {"policy": f"s{index}", "percent": percent} for index, (_, percent) in enumerate(parts)
            ],
        },
    }


trees: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.one_of(plain, limiters),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda subs: {"type": "and", "and": {"and_sub_policy": subs}}),
        inner.map(lambda sub: {"type": "not", "not": {"not_sub_policy": sub}}),
        st.builds(
            composite,
            st.lists(st.tuples(inner, st.sampled_from([0, 40, 60, 100])), min_size=1, max_size=3),
            st.sampled_from([5, 12]),
        ),
    ),
    max_leaves=5,
)
drops = trees.map(lambda sub: {"type": "drop", "drop": {"drop_sub_policy": [sub]}})


@dataclass(frozen=True)
class Arrived:
    """A trace of the tick: what it costs and whether it has an error."""

    spans: int
    size: int
    randomness: int
    error: bool

    def at(self, policy_set: PolicySet) -> TraceInput:
        """What the policy set takes for it."""
        bits = (1 << len(policy_set.span_conditions)) - 1 if self.error else 0
        summary = PlainSummary(span_count=self.spans, size_bytes=self.size, rv=self.randomness, bits=bits)
        return bytes(16), summary, tuple


ticks = st.lists(
    st.builds(Arrived, st.integers(1, 5), st.integers(1, 5), st.integers(0, SPACE - 1), st.booleans()),
    min_size=1,
    max_size=6,
    unique_by=lambda trace: trace.randomness,
)


def places(tick: list[Arrived]) -> list[int]:
    """R around everything at which the answer for the first trace may change, but for the R of the others."""
    edges = {0, SPACE, *(from_percentage(share) for share in PERCENTAGES), *(trace.randomness for trace in tick)}
    near = {edge + step for edge in edges for step in (-1, 0, 1)}
    return sorted(r for r in near if 0 <= r < SPACE and r not in {trace.randomness for trace in tick[1:]})


@settings(max_examples=400)
@given(
    st.lists(trees, min_size=1, max_size=3),
    st.lists(drops, max_size=1),
    ticks,
    st.booleans(),
    st.sampled_from([1.0, 0.5, 0.1]),
    st.booleans(),
)
def test_a_trace_is_kept_for_exactly_the_r_of_its_set(
    policies: list[dict[str, Any]],
    dropping: list[dict[str, Any]],
    tick: list[Arrived],
    first_match: bool,
    share: float,
    drained: bool,
) -> None:
    """Whatever tree of limiters and combinators: decided again at any R, all else as it is, it is kept iff R is in it.

    From full buckets and from `drained` ones. So the expectation of 1/p over its R is exactly 1, wherever it may be
    kept at all.
    """
    named = [{**spec, "name": f"p{index}"} for index, spec in enumerate([*policies, *dropping])]
    policy_set = build_policy_set(named, sample_on_first_match=first_match)
    before = policy_set.initial_state()
    assume(before)
    if drained:
        earlier = [Arrived(2, 2, SPACE // 9 * number, bool(number % 2)).at(policy_set) for number in range(9)]
        policy_set.decide(0, earlier, before, share=share)
    others = [trace.at(policy_set) for trace in tick[1:]]
    outcomes: list[tuple[int, bool, RSet]] = []
    for randomness in places(tick):
        traces = [replace(tick[0], randomness=randomness).at(policy_set), *others]
        verdict = policy_set.decide(1000, traces, copy.deepcopy(before), share=share)[0]
        outcomes.append((randomness, verdict.sampled, verdict.keep))
    assert not policy_set.errors
    told = {keep for _, sampled, keep in outcomes if sampled} or {NEVER}
    assert len(told) == 1
    (keep,) = told
    assert [sampled for _, sampled, _ in outcomes] == [contains(keep, randomness) for randomness, _, _ in outcomes]

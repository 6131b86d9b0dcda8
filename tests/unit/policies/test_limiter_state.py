"""What becomes of the state of limiters when the policies change, and over a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies import PolicySet
from policies.reference import PlainSummary
from policies.state import carry_state
from tests.unit.policies.sample_policies import build, spec

RATE = spec("rate_limiting", "rate", spans_per_second=1, burst_capacity=10)
ERRORS = spec("status_code", "errors", status_codes=["ERROR"])
SHARED = spec("composite", "shared", max_total_spans_per_second=10, composite_sub_policy=[ERRORS])


def kept(policy_set: PolicySet, state: dict[str, Any], traces: int, tick_ms: int = 0, share: float = 1.0) -> int:
    """How many of so many traces of one span, with an error each, are kept."""
    bits = (1 << len(policy_set.span_conditions)) - 1
    inputs = [(bytes(16), PlainSummary(span_count=1, rv=rv, bits=bits), tuple) for rv in range(1, traces + 1)]
    verdicts = policy_set.decide(tick_ms, inputs, state, share=share)
    assert not policy_set.errors
    return sum(verdict.sampled for verdict in verdicts)


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ([RATE], 3),
        ([spec("drop", "d", drop_sub_policy=[spec("not", not_sub_policy=ERRORS)]), RATE], 3),
        ([spec("rate_limiting", "rate", spans_per_second=1, burst_capacity=11)], 11),
        ([spec("bytes_limiting", "rate", bytes_per_second=1, burst_capacity=10)], 20),
        ([RATE | {"name": "other"}], 10),
        ([spec("and", "a", and_sub_policy=[RATE])], 10),
    ],
    ids=["the same", "among others", "other settings", "another type", "another name", "another place"],
)
def test_a_limiter_goes_on_where_it_is_the_same(after: list[dict[str, Any]], left: int) -> None:
    """Same path, type and settings: it has what it had left. Anything else starts with a full bucket."""
    before, new = build(RATE), build(*after)
    state = before.initial_state()
    assert kept(before, state, 7) == 7
    stored = json.loads(json.dumps(state))
    assert kept(new, carry_state(stored, new), 20) == left
    assert stored == state


def test_what_is_below_a_limiter_does_not_count() -> None:
    """A composite keeps its budgets when a condition of a sub-policy changes, not when the budgets do."""
    before = build(SHARED)
    state = before.initial_state()
    kept(before, state, 7)
    other = spec("status_code", "errors", status_codes=["ERROR", "OK"])
    changed = build(spec("composite", "shared", max_total_spans_per_second=10, composite_sub_policy=[other]))
    assert kept(changed, carry_state(state, changed), 20) == 3
    renamed = build(
        spec("composite", "shared", max_total_spans_per_second=10, composite_sub_policy=[ERRORS | {"name": "x"}])
    )
    assert kept(renamed, carry_state(state, renamed), 20) == 10


def test_nothing_of_limiters_that_are_gone_is_kept() -> None:
    """The state has exactly the limiters of the new set."""
    before, after = build(RATE, SHARED), build(SHARED)
    state = carry_state(before.initial_state(), after)
    assert state == after.initial_state()
    assert carry_state({"from": "another age"}, after) == after.initial_state()
    assert carry_state(state, build(ERRORS)) == {}


def test_a_set_ignores_what_is_not_its_own() -> None:
    """A state that was not carried over harms nothing: a limiter reads only what its like has written."""
    before = build(spec("rate_limiting", "rate", spans_per_second=1, burst_capacity=3))
    state = before.initial_state()
    assert kept(before, state, 5) == 3
    assert kept(build(RATE), state, 20) == 10


def test_each_partition_has_its_share() -> None:
    """With four partitions one has a quarter of the burst and of the rate."""
    policy_set = build(spec("rate_limiting", "rate", spans_per_second=8, burst_capacity=16))
    state = policy_set.initial_state()
    assert kept(policy_set, state, 20, share=0.25) == 4
    assert kept(policy_set, state, 20, tick_ms=1000, share=0.25) == 2

"""Counts weighted by 1/p are unbiased, over many seeds, wherever a limiter stands."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import pytest

from policies import PolicySet
from policies.reference import PlainSummary
from tests.unit.policies.sample_policies import build, spec

ERRORS = spec("status_code", "errors", status_codes=["ERROR"])
HALF = spec("probabilistic", "half", sampling_percentage=50)
ALL = spec("always_sample", "all")
RATE = spec("rate_limiting", "rate", spans_per_second=1, burst_capacity=7)
OTHER = spec("rate_limiting", "other", spans_per_second=1, burst_capacity=5)
SIZE = spec("bytes_limiting", "size", bytes_per_second=1, burst_capacity=8000)
COMPOSITE = spec(
    "composite",
    "composite",
    max_total_spans_per_second=20,
    composite_sub_policy=[ERRORS, HALF, ALL],
    rate_allocation=[{"policy": "errors", "percent": 20}, {"policy": "half", "percent": 40}],
)
ROUNDS = 1500
SEED = 40_000
TRACES = 12


def estimates(policy_set: PolicySet, before: dict[str, Any], seed: int, share: float) -> tuple[float, float]:
    """(traces, spans) that the kept traces of one tick stand for: one third have an error, costs are 1 to 3."""
    draw = random.Random(SEED + seed)
    inputs = [
        (
            bytes(16),
            PlainSummary(
                span_count=1 + index % 3,
                size_bytes=1000 * (1 + index % 2),
                rv=draw.getrandbits(56),
                bits=1 if policy_set.span_conditions and index % 3 == 1 else 0,
            ),
            tuple,
        )
        for index in range(TRACES)
    ]
    verdicts = policy_set.decide(1000, inputs, copy.deepcopy(before), share=share)
    assert not policy_set.errors
    weights = [1 / verdict.probability if verdict.sampled else 0.0 for verdict in verdicts]
    return sum(weights), sum(
        weight * summary.span_count for weight, (_, summary, _) in zip(weights, inputs, strict=True)
    )


@pytest.mark.parametrize(
    ("share", "first_match"), [(1.0, False), (1.0, True), (0.4, True)], ids=["all", "first match", "a share"]
)
@pytest.mark.parametrize(
    "policies",
    [
        [RATE],
        [SIZE],
        [spec("and", "a", and_sub_policy=[RATE, SIZE])],
        [spec("not", "n", not_sub_policy=RATE)],
        [COMPOSITE],
        [ERRORS, RATE],
        [HALF, RATE, OTHER],
        [RATE, spec("and", "a", and_sub_policy=[ERRORS, OTHER]), spec("drop", "d", drop_sub_policy=[HALF])],
        [spec("composite", "outer", max_total_spans_per_second=20, composite_sub_policy=[RATE, COMPOSITE])],
    ],
    ids=[
        "spans",
        "bytes",
        "and",
        "not",
        "composite",
        "beside another",
        "beside a share and a limiter",
        "beside a limited and a drop",
        "nested",
    ],
)
def test_estimates_of_limited_traces_are_unbiased(
    policies: list[dict[str, Any]], share: float, first_match: bool
) -> None:
    """The mean estimate over fixed seeds is within two standard errors of what arrived, traces and spans alike."""
    policy_set = build(*policies, sample_on_first_match=first_match)
    before = policy_set.initial_state()
    drawn = [estimates(policy_set, before, seed, share) for seed in range(ROUNDS)]
    for values, truth in zip(zip(*drawn, strict=True), (TRACES, 2 * TRACES), strict=True):
        mean = sum(values) / ROUNDS
        error = math.sqrt(sum((value - mean) ** 2 for value in values) / (ROUNDS - 1) / ROUNDS)
        assert error < truth / 10
        assert abs(mean - truth) < 2 * error


@pytest.mark.parametrize(("limit", "budget"), [(RATE, 40_000), (SIZE, 10_000_000)], ids=["spans", "bytes"])
def test_estimates_are_unbiased_while_debt_is_paid(limit: dict[str, Any], budget: int) -> None:
    """A partition that has a thousandth of the budget and has overdrawn it still tells the truth on average."""
    policy_set = build({**limit, limit["type"]: dict.fromkeys(limit[limit["type"]], budget)})
    before = policy_set.initial_state()
    large = (bytes(16), PlainSummary(span_count=budget, size_bytes=budget, rv=7), tuple)
    assert policy_set.decide(0, [large], before, share=0.001)[0].sampled
    drawn = [estimates(policy_set, before, seed, 0.001)[0] for seed in range(2 * ROUNDS)]
    mean = sum(drawn) / len(drawn)
    error = math.sqrt(sum((value - mean) ** 2 for value in drawn) / (len(drawn) - 1) / len(drawn))
    assert error < TRACES / 10
    assert abs(mean - TRACES) < 2 * error

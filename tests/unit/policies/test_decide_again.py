"""A second decision on one trace: as the first, but without tokens."""

from __future__ import annotations

import random
from typing import Any

import pytest

from policies import ALWAYS, NEVER, PolicySet
from policies.policy_set import build_policy_set
from policies.tenants import Tenant, TenantPolicySets
from policies.testing import Trace, resource, span, trace
from policies.verdict import Verdict
from tests.unit.policies.sample_policies import build, spec

ERRORS = spec("status_code", "errors", status_codes=["ERROR"])
SLOW = spec("latency", "slow", threshold_ms=1000)
TENTH = spec("probabilistic", "tenth", sampling_percentage=10)
LIMITED = spec("rate_limiting", "limited", spans_per_second=1000)
FEW_ERRORS = spec("and", "few", and_sub_policy=[ERRORS, LIMITED])


def again(policies: PolicySet | TenantPolicySets, subject: Trace) -> Verdict:
    return policies.decide_again(
        subject.trace_id, subject.summary(policies.span_conditions), lambda: subject.resource_spans
    )


def first(policies: PolicySet | TenantPolicySets, subject: Trace) -> Verdict:
    asked = subject.trace_id, subject.summary(policies.span_conditions), lambda: subject.resource_spans
    return policies.decide(0, [asked], policies.initial_state())[0]


def random_trace(draw: random.Random) -> Trace:
    parts = [
        span(
            draw.choice(["wanted", "other"]),
            0,
            draw.choice([10, 2000]),
            status=draw.choice(["UNSET", "ERROR", "UNSET"]),
        )
        for _ in range(draw.randint(1, 3))
    ]
    return trace(*parts, trace_id=draw.randbytes(16))


@pytest.mark.parametrize(
    "specs",
    [
        [ERRORS, SLOW, TENTH],
        [spec("drop", "d", drop_sub_policy=[SLOW]), TENTH, ERRORS],
        [spec("span_named", "named", span="wanted"), TENTH],
        [spec("odd_id", "odd"), ERRORS],
    ],
)
def test_without_limiters_it_is_the_first_decision(specs: list[dict[str, Any]]) -> None:
    """Sets, deciders and sources are the same, whatever the policies read."""
    policies, draw = build(*specs), random.Random(3)
    for _ in range(60):
        subject = random_trace(draw)
        assert again(policies, subject) == first(policies, subject)


def test_a_policy_that_asks_for_tokens_casts_no_vote() -> None:
    """Where it asks for none it votes as ever, and the others do anyway."""
    failed, slow = trace(span("op", 0, 10, status="ERROR")), trace(span("op", 0, 2000))
    assert first(build(FEW_ERRORS), failed).sampled
    assert again(build(FEW_ERRORS), failed).keep == NEVER
    assert again(build(FEW_ERRORS, SLOW), slow).policy == "slow"
    assert again(build(spec("not", "n", not_sub_policy=FEW_ERRORS)), failed).keep == NEVER
    assert again(build(spec("not", "n", not_sub_policy=FEW_ERRORS)), slow).keep == ALWAYS


def test_a_drop_policy_that_asks_for_tokens_drops() -> None:
    """A trace that it might have dropped does not come back."""
    dropping = spec("drop", "d", drop_sub_policy=[FEW_ERRORS])
    failed = trace(span("op", 0, 2000, status="ERROR"))
    assert again(build(dropping, SLOW), failed).decision == "dropped"
    assert again(build(dropping, SLOW), trace(span("op", 0, 2000))).decision == "sampled"


def test_a_policy_that_fails_is_counted() -> None:
    """As in a first decision, it casts no vote."""
    policies = build(spec("failing", "broken"), SLOW)
    assert again(policies, trace(span("op", 0, 2000))).policy == "slow"
    assert policies.errors["broken"] == 1


def test_a_tenants_policies_decide_again() -> None:
    """Its name and its output are on the verdict."""
    acme = Tenant("acme", ("acme",), build_policy_set([SLOW]), "ACME")
    policies = TenantPolicySets(build_policy_set([ERRORS]), [acme], attribute="tenant")
    slow = trace(resource({"tenant": "acme"}, span("op", 0, 2000)), span("op", 0, 10))
    verdict = again(policies, slow)
    assert (verdict.policy, verdict.tenant, verdict.output) == ("slow", "acme", "ACME")
    assert verdict == first(policies, slow)
    assert not again(policies, trace(span("op", 0, 2000))).sampled

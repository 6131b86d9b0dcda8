"""The limiters, trace_state and trace_flags keep the contract, and say what an operator should know."""

from __future__ import annotations

from typing import Any

import pytest

from policies import PolicyConfigError, build_policy_set
from policies.budget import BudgetRule
from policies.builtin.bytes_limiting import BytesLimiting
from policies.builtin.composite import Composite
from policies.builtin.rate_limiting import RateLimiting
from policies.builtin.trace_flags import TraceFlags
from policies.builtin.trace_state import TraceState, parse
from policies.testing import PolicyConformance, decide, resource, span, trace
from tests.unit.policies.sample_policies import build, spec

ERRORS = spec("status_code", "errors", status_codes=["ERROR"])
ALL = spec("always_sample", "all")
RATE = spec("rate_limiting", "rate", spans_per_second=10)
SPANS = [[resource({}, span("s", 0, 10, status="ERROR", tracestate="k=v", flags=1))]]


class TestRateLimiting(PolicyConformance):
    """rate_limiting keeps the contract."""

    policy = RateLimiting
    configs = ({}, {"spans_per_second": 4}, {"spans_per_second": 2, "burst_capacity": 31})


class TestBytesLimiting(PolicyConformance):
    """bytes_limiting keeps the contract."""

    policy = BytesLimiting
    configs = ({}, {"bytes_per_second": 40}, {"bytes_per_second": 30, "burst_capacity": 200})


class TestComposite(PolicyConformance):
    """composite keeps the contract."""

    policy = Composite
    configs = (
        {"composite_sub_policy": [ALL]},
        {
            "max_total_spans_per_second": 40,
            "composite_sub_policy": [ERRORS, spec("composite", "in", composite_sub_policy=[RATE]), ALL],
            "rate_allocation": [{"policy": "errors", "percent": 10}, {"policy": "in", "percent": 50}],
        },
    )
    traces = SPANS


class TestTraceState(PolicyConformance):
    """trace_state keeps the contract."""

    policy = TraceState
    configs = ({"key": "k"}, {"key": "k", "values": ["v", 7]})
    traces = SPANS


class TestTraceFlags(PolicyConformance):
    """trace_flags keeps the contract."""

    policy = TraceFlags
    traces = SPANS


KEY_256 = "k" * 256


@pytest.mark.parametrize(
    ("header", "entries"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        (",,a=1,,b=2,", {"a": "1", "b": "2"}),
        (" \ta=1 \t,\tb= 2", {"a": "1", "b": " 2"}),
        ("a =1", {}),
        ("a=1,a=1", {}),
        ("a=1,b", {}),
        ("a=1, ", {}),
        ("a=", {}),
        ("=1", {}),
        ("a=1=2", {}),
        ("A=1", {}),
        ("1a=1", {}),
        ("1a@b=1", {"1a@b": "1"}),
        ("a@1=1", {}),
        ("a@b@c=1", {}),
        ("a" * 241 + "@" + "b" * 14 + "=1", {"a" * 241 + "@" + "b" * 14: "1"}),
        ("a" * 242 + "@b=1", {}),
        ("a@" + "b" * 15 + "=1", {}),
        ("a_-*/9=1", {"a_-*/9": "1"}),
        (KEY_256 + "=1", {KEY_256: "1"}),
        (KEY_256 + "k=1", {}),
        ("a=" + "v" * 256, {"a": "v" * 256}),
        ("a=" + "v" * 257, {}),
        ("a=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~", {"a": "!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~"}),
        ("a=b c", {"a": "b c"}),
        ("a=\x7f", {}),
        ("a=é", {}),
        ("é=1", {}),
        ("a=1\n", {}),
        (",".join(f"k{index}=v" for index in range(33)), {}),
    ],
)
def test_a_tracestate_is_read_as_in_go(header: str, entries: dict[str, str]) -> None:
    """One wrong entry spoils the whole header."""
    assert parse(header) == entries


def test_32_entries_are_allowed() -> None:
    """The most that W3C lets a header hold."""
    assert len(parse(",".join(f"k{index}=v" for index in range(32)))) == 32


def test_a_tracestate_is_asked_span_by_span() -> None:
    """The entry counts on any span, by its exact value."""
    subject = trace(span("a", tracestate="k=v,x=1"), span("b", tracestate="k=w"))
    assert decide([spec("trace_state", "p", key="k", values=["w"])], subject).sampled
    assert not decide([spec("trace_state", "p", key="k", values=["W", "1"])], subject).sampled


def composite(total: int, *subs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A composite of these sub-policies."""
    return spec("composite", "c", max_total_spans_per_second=total, composite_sub_policy=list(subs), **more)


def listed(**percent: int) -> list[dict[str, Any]]:
    """A rate_allocation."""
    return [{"policy": name, "percent": part} for name, part in percent.items()]


@pytest.mark.parametrize(
    ("policies", "note"),
    [
        ([spec("rate_limiting", "p")], "`spans_per_second` is 0: keeps nothing"),
        ([spec("rate_limiting", "p", burst_capacity=5)], "keeps nothing once the burst is spent"),
        ([spec("bytes_limiting", "p")], "`bytes_per_second` is 0: keeps nothing"),
        ([spec("trace_state", "p", key="k")], "keeps nothing: `values` holds none that may occur"),
        ([spec("trace_state", "p", key="k", values=["a", ""])], "some `values` never match"),
        ([composite(0, ALL)], "keeps nothing: `max_total_spans_per_second` is 0"),
        ([composite(9, ERRORS, ALL, policy_order=["all", "errors"])], "`policy_order` is ignored"),
        (
            [composite(9, ALL, rate_allocation=listed(al=50, all=50))],
            "`rate_allocation` names 'al', which is none of its sub-policies (did you mean 'all'?)",
        ),
        ([composite(9, ERRORS, ALL, rate_allocation=listed(all=0))], "'errors', 'all': without a percentage"),
        ([composite(9, ERRORS, ALL, rate_allocation=listed(all=60, errors=80))], "add up to 12 spans a second"),
        ([RATE, ERRORS], "caps nothing here"),
        ([ERRORS, composite(9, ALL)], "`budget`"),
    ],
)
def test_what_may_surprise_is_said_at_load(policies: list[dict[str, Any]], note: str) -> None:
    """One note, which names the policy."""
    notes = build(*policies).notes
    assert [note in each for each in notes] == [True]
    assert notes[0].startswith('policy "')


def test_a_budget_is_advised_only_where_there_is_none() -> None:
    """The note on a limiter beside other policies stays, without the advice to set what is set."""
    (note,) = build(RATE, ERRORS, budget=BudgetRule(100, "spans")).notes
    assert "caps nothing here" in note
    assert "budget" not in note


@pytest.mark.parametrize(
    "policies",
    [
        [RATE],
        [RATE, spec("drop", "d", drop_sub_policy=[ERRORS])],
        [ERRORS, spec("and", "a", and_sub_policy=[ALL, RATE])],
        [composite(9, ERRORS, ALL, policy_order=["errors", "all"], rate_allocation=listed(errors=40, all=60))],
        [composite(9, ERRORS, ALL)],
    ],
)
def test_what_is_meant_so_needs_no_note(policies: list[dict[str, Any]]) -> None:
    """A limiter by itself, before a drop policy, inside an `and`; a composite with nothing odd about it."""
    assert build(*policies).notes == ()


@pytest.mark.parametrize(
    ("policy", "loc"),
    [
        (spec("rate_limiting", "p", spans_per_second=-1), ("rate_limiting", "spans_per_second")),
        (spec("rate_limiting", "p", spans_per_second=1.5), ("rate_limiting", "spans_per_second")),
        (spec("bytes_limiting", "p", burst_capacity=2**63), ("bytes_limiting", "burst_capacity")),
        (spec("composite", "p", composite_sub_policy=[]), ("composite", "composite_sub_policy")),
        (composite(5, ALL, rate_allocation=listed(all=-1)), ("composite", "rate_allocation", 0, "percent")),
        (spec("trace_state", "p", key=""), ("trace_state", "key")),
        (spec("trace_flags", "p", mask=1), ("trace_flags", "mask")),
    ],
)
def test_what_cannot_be_meant_is_an_error(policy: dict[str, Any], loc: tuple[Any, ...]) -> None:
    """The place in the list is that of the wrong value."""
    with pytest.raises(PolicyConfigError) as caught:
        build_policy_set([{"name": "p", **policy}])
    assert caught.value.loc == (0, *loc)


def test_huge_numbers_are_only_huge() -> None:
    """The largest numbers that a file may hold keep everything."""
    most = 2**63 - 1
    policies = [
        spec("rate_limiting", "r", spans_per_second=most, burst_capacity=most),
        spec("bytes_limiting", "b", bytes_per_second=most),
        composite(most, ALL, rate_allocation=listed(all=most)),
    ]
    for policy in policies:
        policy_set = build(policy)
        state = policy_set.initial_state()
        for tick_ms in (0, 10**15):
            verdicts = policy_set.decide(tick_ms, [trace(span("s")).input_for(policy_set)] * 3, state, share=0.1)
            assert all(verdict.sampled for verdict in verdicts)


def test_a_part_is_the_percentage_in_whole_spans_and_never_more_than_the_total() -> None:
    """Cut off, equal where it is 0 or not listed, at most the total."""
    policy_set = build(
        composite(99, *(spec("always_sample", name) for name in "abcd"), rate_allocation=listed(a=50, b=150, c=0))
    )
    text = policy_set.describe()
    assert [part in text for part in ("up to 49 spans", "up to 99 spans", "up to 24 spans")] == [True] * 3


def test_sub_policies_of_a_composite_may_be_of_any_type() -> None:
    """Composites, limiters and combinators nest; the recorded name is the whole way down."""
    inner = spec("composite", "inner", max_total_spans_per_second=1, composite_sub_policy=[ALL])
    both = spec("and", "both", and_sub_policy=[ERRORS, RATE])
    nested = composite(8, inner, both, spec("not", "rest", not_sub_policy=ERRORS))
    policy_set = build(nested)
    state = policy_set.initial_state()
    assert [key.partition("@")[0] for key in state] == ["c/inner", "c/both/rate", "c"]
    subjects = [span("s", status="ERROR"), span("s", status="ERROR"), span("s"), span("s")]
    verdicts = [policy_set.decide(0, [trace(each).input_for(policy_set)], state)[0] for each in subjects]
    assert [verdict.policy for verdict in verdicts] == ["c/inner/all", "c/both", "c/rest", "c/rest"]

"""Scan plans: limits, memos, and matchers that fail."""

from __future__ import annotations

from typing import Any

import pytest

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeMatches,
    FlagsAny,
    IsRootSpan,
    Matcher,
    NameMatches,
    Negated,
    SpanCondition,
    SpanDurationInRange,
    Where,
)
from sampler.otlp import PlanError, Scanner, compile_plan
from sampler.otlp.memo import MEMO_ENTRIES, MEMO_VALUE_BYTES, Memo
from tests.unit.otlp.wire_samples import attribute, field, record_of, span_bytes, text


def exists(number: int) -> SpanCondition:
    """A condition of its own for each number."""
    return AttributeExists(f"key-{number}", Where.SPAN)


def bits_of(scanner: Scanner, conditions: list[Any], *spans: bytes, **headers: bytes) -> int:
    """The bits of the one trace in a record of these spans."""
    return scanner.scan(compile_plan(conditions), record_of(*spans, **headers)).traces[0][2].bits


def test_256_conditions_and_512_leaves_fit(scanner: Scanner) -> None:
    """The highest bit and the highest leaf are answered."""
    conditions = [*(exists(n) for n in range(255)), AllOf(tuple(exists(n) for n in range(200, 512)))]
    attributes = [field(9, attribute(f"key-{n}", text(""))) for n in range(512)]
    assert bits_of(scanner, conditions, span_bytes(*attributes)) == 2**256 - 1
    assert bits_of(scanner, conditions, span_bytes(*attributes[:511])) == 2**255 - 1


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([exists(n) for n in range(257)], "at most 256"),
        ([AnyOf(tuple(exists(n) for n in range(513)))], "more than 512 distinct"),
        ([AttributeInRange("a", 0, 2**63)], "64 bits"),
        ([SpanDurationInRange(-(2**63) - 1)], "64 bits"),
        ([FlagsAny(2**32)], "32 bits"),
        ([AttributeExists("a", Where(0))], "no attribute map"),
        ([AttributeIn("a", frozenset({"\ud800"}))], "Unicode"),
        (["nonsense"], "no span condition"),
    ],
)
def test_what_cannot_be_compiled_is_refused(conditions: list[Any], message: str) -> None:
    """A PlanError says what is wrong."""
    with pytest.raises(PlanError, match=message):
        compile_plan(conditions)


def test_nesting_has_a_limit(scanner: Scanner) -> None:
    """60 levels work, more are refused."""
    deep: SpanCondition = IsRootSpan()
    for _ in range(60):
        deep = AllOf((IsRootSpan(), Negated(AnyOf(())), deep)) if _ % 2 else AllOf((IsRootSpan(), deep))
    assert bits_of(scanner, [deep], span_bytes()) == 1
    with pytest.raises(PlanError, match="deeper than 60"):
        compile_plan([AllOf((deep,))])


def test_a_matcher_is_asked_once_per_value(scanner: Scanner) -> None:
    """Over spans, records and conditions that share the matcher; bytes that are no UTF-8 come with marks."""
    asked: list[str] = []

    def test(value: str) -> bool:
        asked.append(value)
        return value == "yes"

    matcher = Matcher("yes", test)
    plan = compile_plan([AttributeMatches("a", matcher), NameMatches(matcher)])
    yes = span_bytes(field(9, attribute("a", text("yes"))), field(5, b"no"))
    broken = span_bytes(field(9, attribute("a", field(1, b"\xff"))), field(5, b"yes"))
    results = [scanner.scan(plan, record_of(yes, broken)).traces[0][2].bits for _ in range(3)]
    assert results == [3, 3, 3]
    assert sorted(asked) == ["no", "yes", "\ufffd"]


def test_a_matcher_that_raises_does_not_match_and_is_counted(scanner: Scanner) -> None:
    """The scan goes on; equal values are not asked again."""

    def fails(value: str) -> bool:
        raise RuntimeError(value)

    plan = compile_plan([NameMatches(Matcher("fails", fails)), IsRootSpan()])
    for name in (b"one", b"two", b"one"):
        assert scanner.scan(plan, record_of(span_bytes(field(5, name)))).traces[0][2].bits == 2
    assert plan.matcher_errors == 2


def test_memos_are_bounded() -> None:
    """Neither many values nor long ones pile up."""
    memo = Memo(Matcher("any", lambda value: True))
    assert memo.ask(b"x" * (MEMO_VALUE_BYTES + 1))
    assert not memo.answers
    for number in range(MEMO_ENTRIES + 1):
        memo.ask(b"%d" % number)
    assert len(memo.answers) == 1


def test_a_matcher_may_use_the_scanner_itself(scanner: Scanner) -> None:
    """A scan inside a scan works on scratch memory of its own."""
    inner = compile_plan([IsRootSpan()])

    def test(value: str) -> bool:
        other = record_of(span_bytes(trace_id=b"\x09" * 16), span_bytes(trace_id=b"\x08" * 16))
        return len(scanner.scan(inner, other).traces) == 2

    plan = compile_plan([NameMatches(Matcher("nested", test))])
    spans = [span_bytes(field(5, b"%d" % n), trace_id=bytes([n + 1]) * 16) for n in range(100)]
    result = scanner.scan(plan, record_of(*spans))
    assert [trace_id[0] for trace_id, _, _ in result.traces] == list(range(1, 101))
    assert all(summary.bits == 1 for _, _, summary in result.traces)


def test_one_plan_serves_both_scanners_and_equal_conditions_share_leaves(scanner: Scanner) -> None:
    """A condition that is there twice is answered twice."""
    root = IsRootSpan()
    assert bits_of(scanner, [root, Negated(root), root, AnyOf((root,)), AllOf(())], span_bytes()) == 0b11101

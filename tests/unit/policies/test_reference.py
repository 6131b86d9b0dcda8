"""The yardstick of scanners: what conditions and summaries mean."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeIs,
    AttributeMatches,
    Field,
    FieldsMatch,
    FieldsMatcher,
    FlagsAny,
    IsRootSpan,
    KindIn,
    Matcher,
    NameIn,
    NameMatches,
    Negated,
    Part,
    SpanCondition,
    SpanDurationInRange,
    StatusIn,
    TraceStateMatches,
    Where,
)
from policies.testing import BASE_NS, any_value, event, ot_of, parse_trace, resource, span, trace

STARTS_WITH_A = Matcher("starts with a", lambda value: value.startswith("a"))
SUBJECT = trace(
    resource(
        {"team": "red", "n": 5},
        span("alpha", 0, 20, root=True, kind=Span.SPAN_KIND_SERVER, flags=0x101, tracestate="acme=1"),
        span(
            "beta",
            5,
            9,
            attributes={"ok": True, "x": None, "list": ["red"]},
            status="ERROR",
            events=[event("a-retry", {"n": 1}), event("fail", {"n": 2})],
        ),
        scope={"lib": "db"},
    )
)


def given(values: tuple[bytes | None, ...], *fields: Field) -> FieldsMatch:
    """Passes these values of the fields."""
    return FieldsMatch(fields, FieldsMatcher(f"is {values}", lambda found: found == values))


def longer(values: tuple[bytes | None, ...]) -> bool:
    """Whether the first value is longer than the second; a TypeError where one is not there."""
    return len(values[0]) > len(values[1])  # type: ignore[arg-type]


N_OF_EVENT, X_OF_SPAN = Field(Part.EVENT_ATTRIBUTE, "n"), Field(Part.SPAN_ATTRIBUTE, "x")
TEAM, OTHER_TEAM = Field(Part.RESOURCE_ATTRIBUTE, "team"), Field(Part.SCOPE_ATTRIBUTE, "team")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (AttributeIn("team", frozenset({"red"})), True),
        (AttributeIn("team", frozenset({"red"}), Where.SPAN), False),
        (AttributeIn("lib", frozenset({"db"})), False),
        (AttributeIn("lib", frozenset({"db"}), Where.SCOPE), True),
        (AttributeIn("list", frozenset({"red"})), False),
        (AttributeMatches("team", STARTS_WITH_A), False),
        (AttributeInRange("n", 5, 5), True),
        (AttributeInRange("n", 6), False),
        (AttributeIs("ok", True), True),
        (AttributeIs("ok", False), False),
        (AttributeExists("x"), True),
        (AttributeExists("y"), False),
        (StatusIn(frozenset({2})), True),
        (StatusIn(frozenset({1})), False),
        (KindIn(frozenset({2})), True),
        (NameIn(frozenset({"alpha"})), True),
        (NameIn(frozenset({"fail"})), False),
        (NameIn(frozenset({"fail"}), of_event=True), True),
        (NameMatches(STARTS_WITH_A), True),
        (NameMatches(STARTS_WITH_A, of_event=True), True),
        (SpanDurationInRange(20_000_000), True),
        (SpanDurationInRange(20_000_001), False),
        (
            given((b"beta", (2).to_bytes(8, "little"), b""), Field(Part.SPAN_NAME), Field(Part.STATUS_CODE), X_OF_SPAN),
            True,
        ),
        (given((b"alpha", None), Field(Part.SPAN_NAME), X_OF_SPAN), True),
        (given((b"fail", b"\x18\x02"), Field(Part.EVENT_NAME), N_OF_EVENT), True),
        (given((b"fail", b"\x18\x01"), Field(Part.EVENT_NAME), N_OF_EVENT), False),
        (Negated(given((b"fail",), Field(Part.EVENT_NAME))), True),
        (FieldsMatch((TEAM, Field(Part.SCOPE_SCHEMA_URL)), FieldsMatcher("longer", longer)), True),
        (FieldsMatch((TEAM, OTHER_TEAM), FieldsMatcher("longer", longer)), False),
        (FlagsAny(0x100), True),
        (FlagsAny(0x2), False),
        (TraceStateMatches(STARTS_WITH_A), True),
        (IsRootSpan(), True),
        (AllOf(()), True),
        (AnyOf(()), False),
        (AllOf((IsRootSpan(), StatusIn(frozenset({2})))), False),
        (AnyOf((NameIn(frozenset({"gamma"})), StatusIn(frozenset({2})))), True),
        (Negated(AttributeExists("team")), False),
        (Negated(IsRootSpan()), True),
        (AllOf((NameMatches(STARTS_WITH_A, of_event=True), AttributeInRange("n", 2, 2, Where.EVENT))), False),
        (AllOf((NameMatches(STARTS_WITH_A, of_event=True), AttributeInRange("n", 1, 1, Where.EVENT))), True),
        (AllOf((IsRootSpan(), Negated(NameIn(frozenset({"fail"}), of_event=True)))), False),
    ],
)
def test_conditions(condition: SpanCondition, holds: bool) -> None:
    """A condition holds where it does on one span, or on one event of one span where it speaks of events."""
    assert SUBJECT.summary([condition]).bits == int(holds)


def test_the_duration_of_a_span_without_both_times() -> None:
    """There is none, unless a time that is not set counts as 0."""
    for begun, ended in ((None, 5), (3, None), (None, None)):
        subject = trace(span("s", begun, ended))
        start, end = subject.summary().start_unix_nano, subject.summary().end_unix_nano
        assert subject.summary([SpanDurationInRange(-(2**63))]).bits == 0
        assert subject.summary([SpanDurationInRange(end - start, end - start, unset_is_zero=True)]).bits == 1


def test_numbers_of_a_summary() -> None:
    """Zero times take part in nothing; the rest is first start, last end, counts, error and root."""
    summary = trace(span("a", 4, 9, root=True), span("b"), span("c", None, 30), span("d", 2, None)).summary()
    assert summary.start_unix_nano == BASE_NS + 2_000_000
    assert summary.end_unix_nano == BASE_NS + 30_000_000
    assert (summary.span_count, summary.has_error, summary.has_root) == (4, False, True)
    empty = trace().summary()
    assert (empty.start_unix_nano, empty.end_unix_nano, empty.span_count, empty.rv) == (0, 0, 0, -1)


@pytest.mark.parametrize(
    ("tracestate", "expected"),
    [
        ("", (-1, False)),
        ("ot=th:8", (-1, True)),
        ("dd=s:1 , ot=rv:0000000000000f;th:0", (15, True)),
        ("ot=rv:0F000000000000", (-1, False)),
        ("ot=rv:0f", (-1, False)),
        ("ot=th:", (-1, False)),
        ("ot=th:123456789012345", (-1, False)),
        ("xot=rv:0000000000000f", (-1, False)),
    ],
)
def test_tracestate(tracestate: str, expected: tuple[int, bool]) -> None:
    """Well-formed rv and th of the ot entry count, anything else is as if absent."""
    assert ot_of(tracestate) == expected


def test_explicit_randomness_is_the_roots() -> None:
    """The root's rv wins, else that of the smallest span id, whatever the order of spans."""
    root = span("r", root=True, tracestate="ot=rv:00000000000001", span_id=b"\x09" * 8)
    low = span("l", tracestate="ot=rv:00000000000002", span_id=b"\x01" * 8)
    high = span("h", tracestate="ot=rv:00000000000003;th:8", span_id=b"\x02" * 8)
    plain_root = span("p", root=True, span_id=b"\x03" * 8)
    assert trace(high, low, root).summary().rv == 1
    assert trace(high, low, plain_root).summary().rv == 2
    assert trace(high, low).summary().has_threshold
    assert not trace(root, low).summary().has_threshold


def test_recorded_traces_are_parsed() -> None:
    """A recorded trace comes back whole, with the size of its payload; a mixed one is refused."""
    payload = b"".join(
        b"\n" + bytes([len(part)]) + part
        for part in (unit.SerializeToString() for unit in trace(span("a"), span("b")).resource_spans)
    )
    parsed = parse_trace(payload)
    assert (parsed.summary().span_count, parsed.summary().size_bytes) == (2, len(payload))
    with pytest.raises(ValueError, match="found 0 trace ids"):
        parse_trace(b"")


def test_values_of_all_types() -> None:
    """Python values become the OTLP values of their type."""
    kinds = [any_value(value).WhichOneof("value") for value in (None, True, 1, 1.5, "a", b"a", {"k": 1}, [1])]
    assert kinds == [
        None,
        "bool_value",
        "int_value",
        "double_value",
        "string_value",
        "bytes_value",
        "kvlist_value",
        "array_value",
    ]
    with pytest.raises(TypeError, match="no OTLP attribute value"):
        any_value(object())

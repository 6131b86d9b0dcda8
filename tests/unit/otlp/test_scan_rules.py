"""How a record is cut: hand-made cases of every rule, for both scanners."""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.conditions import (
    AllOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    IsRootSpan,
    KindIn,
    NameIn,
    Negated,
    SpanCondition,
    SpanDurationInRange,
    StatusIn,
    Where,
)
from sampler.otlp import Scanner, compile_plan
from sampler.otlp.summary import Summary
from tests.unit.otlp.wire_samples import (
    SPAN_ID,
    TRACE_A,
    TRACE_B,
    UNKNOWN,
    attribute,
    field,
    own_part,
    record_of,
    span_bytes,
    text,
)

A, B = span_bytes(), span_bytes(trace_id=TRACE_B)
NOTHING = compile_plan([])


def one(scanner: Scanner, record: bytes, *conditions: SpanCondition) -> Summary:
    """The summary of a record with one trace."""
    ((_, _, summary),) = scanner.scan(compile_plan(conditions), record).traces
    return summary


def test_a_record_of_one_trace_is_its_chunk(scanner: Scanner) -> None:
    """Not even copied, whatever else is in it."""
    record = UNKNOWN[0] + record_of(A, A) + record_of() + record_of(A, resource=UNKNOWN[4])
    ((trace_id, chunk, summary),) = scanner.scan(NOTHING, record).traces
    assert trace_id == TRACE_A
    assert chunk is record
    assert (summary.span_count, summary.size_bytes) == (3, len(record))


def test_resources_of_one_trace_are_copied_as_they_are(scanner: Scanner) -> None:
    """Their scopes without spans and their fields in odd order included; chunks are concatenated per trace."""
    odd = field(
        1, field(3, b"url") + field(2, field(3, b"u") + field(2, A) + field(1, b"")) + field(2, b"") + UNKNOWN[1]
    )
    mixed = record_of(A, B, A)
    traces = scanner.scan(NOTHING, odd + mixed + record_of(B)).traces
    assert [(trace_id, chunk) for trace_id, chunk, _ in traces] == [
        (TRACE_A, odd + record_of(A, A)),
        (TRACE_B, record_of(B) + record_of(B)),
    ]
    assert [summary.span_count for _, _, summary in traces] == [3, 2]
    assert [summary.size_bytes for _, _, summary in traces] == [len(chunk) for _, chunk, _ in traces]


def test_a_mixed_resource_keeps_every_header_byte(scanner: Scanner) -> None:
    """Unknown fields, schema URLs, dropped counts, empty and repeated headers go with each trace."""
    resource = field(1, field(2, 7)) + UNKNOWN[4] + field(1, b"") + field(3, b"schema") + UNKNOWN[2]
    scope = field(1, field(1, b"name") + UNKNOWN[3]) + field(3, b"") + field(1, field(4, 9))
    record = record_of(A, B, resource=resource, scope=scope)
    traces = scanner.scan(NOTHING, record).traces
    for trace_id, chunk, _ in traces:
        assert own_part(TracesData.FromString(chunk), trace_id) == own_part(TracesData.FromString(record), trace_id)
    assert [len(chunk) for _, chunk, _ in traces] == [len(record_of(A, resource=resource, scope=scope))] * 2


def test_headers_count_for_spans_before_them(scanner: Scanner) -> None:
    """A resource or scope that follows its spans on the wire still says what it says of them, in all its parts."""
    late = field(1, field(1, attribute("late", text("x"))))
    split = field(1, field(1, attribute("other", text("y"))))
    scope = field(1, field(3, attribute("scope", text("z"))))
    record = field(1, split + field(2, field(2, A) + scope) + late)
    conditions = [
        AllOf((AttributeExists("late"), AttributeExists("other"))),
        AttributeExists("scope", Where.SCOPE),
        AttributeExists("scope"),
    ]
    assert one(scanner, record, *conditions).bits == 0b011


def test_conditions_hold_on_one_span_not_across_spans(scanner: Scanner) -> None:
    """Terms of an AllOf must meet on the same span; a negation speaks of a span."""
    both = AllOf((KindIn(frozenset({2})), StatusIn(frozenset({2}))))
    kind, status = field(6, 2), field(15, field(3, 2))
    assert one(scanner, record_of(span_bytes(kind), span_bytes(status)), both, Negated(both)).bits == 0b10
    assert one(scanner, record_of(span_bytes(kind, status)), both, Negated(both)).bits == 0b01


def test_event_conditions_are_asked_per_event(scanner: Scanner) -> None:
    """Name and attribute must meet on one event; a span without events satisfies not even a negation."""
    name, has = field(2, b"boom"), field(3, attribute("a", text("x")))
    both = AllOf((NameIn(frozenset({"boom"}), of_event=True), AttributeExists("a", Where.EVENT)))
    conditions = (both, Negated(both), AllOf((both, IsRootSpan(), AttributeExists("r"))))
    apart = span_bytes(field(11, name), field(11, has))
    together = span_bytes(field(11, has + name), field(9, attribute("r", text(""))))
    assert one(scanner, record_of(A), *conditions).bits == 0
    assert one(scanner, record_of(apart), *conditions).bits == 0b010
    assert one(scanner, record_of(together), *conditions).bits == 0b101
    assert one(scanner, record_of(together, apart), *conditions).bits == 0b111


def test_known_fields_of_a_wrong_wire_type_are_unknown_fields(scanner: Scanner) -> None:
    """They change nothing and travel on."""
    wrong = span_bytes(
        field(7, 5), field(1, 5), field(6, b"x"), field(15, 2), field(9, 3), field(9, bytes(8), 1), field(3, 1)
    )
    result = scanner.scan(NOTHING, record_of(wrong, B) + field(1, 3))
    assert result.traces[0][1] == record_of(wrong)
    assert result.traces[0][2].start_unix_nano == 0


def test_the_last_of_repeated_fields_wins(scanner: Scanner) -> None:
    """Scalars: the last. Status: merged, so a code stays when a later status has none. Values: the last member."""
    span = span_bytes(
        field(5, b"first"),
        field(15, field(3, 2)),
        field(5, b"last"),
        field(15, field(2, b"message")),
        field(9, attribute("a", field(3, 5) + text("x"))),
        field(9, field(1, b"b") + field(2, text("x")) + field(2, b"") + field(1, b"c")),
        field(2, b"12345678"),
    )
    conditions = (
        NameIn(frozenset({"last"})),
        StatusIn(frozenset({2})),
        AttributeIn("a", frozenset({"x"})),
        AttributeInRange("a"),
        AttributeIn("c", frozenset({"x"})),
        AttributeExists("b"),
    )
    summary = one(scanner, record_of(span), *conditions)
    assert summary.bits == 0b010111
    assert summary.has_error


def test_spans_with_invalid_ids_are_left_out_and_counted(scanner: Scanner) -> None:
    """Wrong length or all zero, of trace or span; the rest of the record is not harmed."""
    bad = [
        span_bytes(trace_id=bytes(16)),
        span_bytes(trace_id=b"x" * 8),
        span_bytes(trace_id=b""),
        span_bytes(span_id=bytes(8)),
        span_bytes(span_id=b"x" * 16),
        b"",
    ]
    result = scanner.scan(NOTHING, record_of(A, *bad, A))
    assert result.invalid_spans == 6
    assert [(trace_id, chunk) for trace_id, chunk, _ in result.traces] == [(TRACE_A, record_of(A, A))]
    assert scanner.scan(NOTHING, record_of(*bad)) == ([], 6)


def test_times_root_and_error(scanner: Scanner) -> None:
    """Unset times take no part; a parent of zeros is none; only status 2 is an error."""
    spans = [
        span_bytes(field(7, (20).to_bytes(8, "little"), 1), field(4, SPAN_ID)),
        span_bytes(field(7, bytes(8), 1), field(8, (30).to_bytes(8, "little"), 1), field(4, SPAN_ID)),
        span_bytes(field(8, (5).to_bytes(8, "little"), 1), field(4, b"1"), field(15, field(3, 1))),
    ]
    summary = one(scanner, record_of(*spans))
    assert (summary.start_unix_nano, summary.end_unix_nano) == (20, 30)
    assert (summary.has_root, summary.has_error) == (False, False)
    assert one(scanner, record_of(span_bytes(field(4, bytes(8))))).has_root


def test_the_duration_of_a_span_without_both_times(scanner: Scanner) -> None:
    """There is none, unless a time that is not set counts as 0; what 64 bits do not hold is in no range."""
    lowest, highest = -(2**63), 2**63 - 1
    cases = [(0, 5, 5), (3, 0, -3), (0, 0, 0), (7, 9, 2), (2**63, 0, lowest), (0, highest, highest)]
    for begun, ended, duration in cases:
        times = field(7, begun.to_bytes(8, "little"), 1), field(8, ended.to_bytes(8, "little"), 1)
        conditions = (
            SpanDurationInRange(lowest, highest),
            SpanDurationInRange(duration, duration, unset_is_zero=True),
            Negated(SpanDurationInRange(lowest, duration - 1, unset_is_zero=True)) if duration > lowest else AllOf(()),
            Negated(SpanDurationInRange(duration + 1, unset_is_zero=True)) if duration < highest else AllOf(()),
        )
        assert one(scanner, record_of(span_bytes(*times)), *conditions).bits == 0b1110 + bool(begun and ended)
    for begun, ended in ((0, 2**63), (2**63 + 1, 0)):
        times = field(7, begun.to_bytes(8, "little"), 1), field(8, ended.to_bytes(8, "little"), 1)
        assert one(scanner, record_of(span_bytes(*times)), SpanDurationInRange(lowest, highest, True)).bits == 0


def test_explicit_randomness_of_the_root_wins(scanner: Scanner) -> None:
    """Else the smallest span id's; a threshold anywhere is noticed."""
    child = field(4, SPAN_ID)

    def with_rv(rv: int, first: int, *extra: bytes) -> bytes:
        return span_bytes(field(3, b"ot=rv:%014x" % rv), *extra, span_id=bytes([first]) + bytes(7))

    first = one(scanner, record_of(with_rv(1, 9, child), with_rv(2, 3, child), with_rv(3, 200, child)))
    assert (first.rv, first.has_threshold) == (2, False)
    second = one(scanner, record_of(with_rv(1, 1, child), with_rv(2, 255), span_bytes(field(3, b"x=y, ot=th:8"))))
    assert (second.rv, second.has_threshold) == (2, True)


def test_a_large_attribute_passes(scanner: Scanner) -> None:
    """10 MB in one value."""
    span = span_bytes(field(9, attribute("a", text("x" * 10_000_000))))
    record = record_of(span, B)
    traces = scanner.scan(compile_plan([AttributeIn("a", frozenset({"x"}))]), record).traces
    assert traces[0][1] == record_of(span)


def test_many_traces_with_ids_that_share_a_half(scanner: Scanner) -> None:
    """20,000 ids that differ only in their first, or only in their last bytes, are told apart in good time."""
    ids = [n.to_bytes(8, "big") + bytes(8) for n in range(1, 10_001)]
    ids += [bytes(7) + b"\1" + n.to_bytes(8, "little") for n in range(1, 10_001)]
    result = scanner.scan(NOTHING, record_of(*[span_bytes(trace_id=trace_id) for trace_id in ids]))
    assert [trace_id for trace_id, _, _ in result.traces] == ids


def test_scratch_memory_leaves_no_traces_between_records(scanner: Scanner) -> None:
    """The same scanner, records of one and many traces in turn, errors between them."""
    for round_ in range(3):
        ids = [bytes([round_ + 1, n]) * 8 for n in range(1, 200)]
        result = scanner.scan(NOTHING, record_of(*[span_bytes(trace_id=trace_id) for trace_id in ids]))
        assert [trace_id for trace_id, _, _ in result.traces] == ids
        for trace_id in (TRACE_A, TRACE_B, TRACE_A):
            ((found, _, summary),) = scanner.scan(NOTHING, record_of(span_bytes(trace_id=trace_id))).traces
            assert (found, summary.span_count) == (trace_id, 1)

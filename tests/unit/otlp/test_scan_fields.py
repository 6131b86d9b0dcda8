"""The fields that tests in Python get: hand-made cases, for both scanners and the reference."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.conditions import (
    AllOf,
    AnyOf,
    Field,
    FieldsMatch,
    FieldsMatcher,
    IsRootSpan,
    KindIn,
    NameIn,
    Negated,
    Part,
    SpanCondition,
)
from policies.testing import reference_summary
from sampler.otlp import PlanError, Scanner, compile_plan, get_scanner
from sampler.otlp.memo import MEMO_BYTES, MEMO_VALUE_BYTES, FieldsMemo
from tests.unit.otlp.wire_conditions import meaning
from tests.unit.otlp.wire_samples import (
    SCANNERS,
    SPAN_ID,
    TRACE_B,
    UNKNOWN,
    attribute,
    field,
    record_of,
    span_bytes,
    text,
)

Values = tuple[bytes | None, ...]
SPAN_A = Field(Part.SPAN_ATTRIBUTE, "a")
BROKEN_TEXT = field(1, b"\xff")


def asks(seen: list[Values], *fields: Field, answer: bool = False, remember: bool = False) -> FieldsMatch:
    """A condition that notes what it is asked; each call makes one that differs from all others."""

    def test(values: Values) -> bool:
        seen.append(values)
        return answer

    return FieldsMatch(fields, FieldsMatcher(f"notes to {id(seen)} about {fields}", test, remember))


def values_of(scanner: Scanner, record: bytes, *fields: Field) -> list[Values]:
    """What a test of these fields is asked over a record; the reference must be asked the same."""
    seen: list[Values] = []
    condition = asks(seen, *fields)
    scanner.scan(compile_plan([condition]), record)
    found = [each(fields, values) for values in seen]
    seen.clear()
    reference_summary([condition], TracesData.FromString(record).resource_spans)
    assert found == [each(fields, values) for values in seen]
    return found


def each(fields: tuple[Field, ...], values: Values) -> Values:
    """The meaning of the values."""
    return tuple(meaning(one, value) for one, value in zip(fields, values, strict=True))


def bits_of(scanner: Scanner, record: bytes, *conditions: SpanCondition) -> int:
    """The bits of the one trace in a record."""
    return scanner.scan(compile_plan(conditions), record).traces[0][2].bits


def int64(value: int) -> bytes:
    """8 bytes, little-endian, signed."""
    return value.to_bytes(8, "little", signed=True)


def test_every_part_of_a_span(scanner: Scanner) -> None:
    """Each is what `Part` says, in whatever order it lies on the wire; unknown fields do no harm."""
    event = field(2, b"boom") + field(3, attribute("a", text("event"))) + field(1, bytes(8), 1)
    span = span_bytes(
        field(11, event),
        field(9, attribute("a", field(3, 2**64 - 5))),
        field(8, int64(7), 1),
        field(15, field(3, 2**64 - 1) + field(2, b"broken")),
        field(7, b"\xff" * 8, 1),
        field(6, 9),
        field(3, b"x=y"),
        UNKNOWN[4],
        field(5, b"GET"),
    )
    resource = field(3, b"no") + field(1, field(1, attribute("a", text("resource")))) + field(3, b"R")
    scope = field(1, field(1, b"lib") + field(3, attribute("a", text("scope")))) + field(3, b"S")
    late = field(1, field(2, field(2, span) + scope) + resource)
    expected = {
        Part.RESOURCE_ATTRIBUTE: text("resource"),
        Part.SCOPE_ATTRIBUTE: text("scope"),
        Part.SPAN_ATTRIBUTE: field(3, 2**64 - 5),
        Part.EVENT_ATTRIBUTE: text("event"),
        Part.SPAN_NAME: b"GET",
        Part.STATUS_CODE: int64(-1),
        Part.KIND: int64(9),
        Part.START_TIME: int64(-1),
        Part.END_TIME: int64(7),
        Part.TRACE_STATE: b"x=y",
        Part.EVENT_NAME: b"boom",
        Part.RESOURCE: field(1, attribute("a", text("resource"))),
        Part.RESOURCE_SCHEMA_URL: b"R",
        Part.SCOPE: field(1, b"lib") + field(3, attribute("a", text("scope"))),
        Part.SCOPE_SCHEMA_URL: b"S",
        Part.SPAN: span,
        Part.EVENT: event,
    }
    assert expected.keys() == set(Part)
    for record in (late, record_of(span, resource=resource, scope=scope)):
        for part, value in expected.items():
            one = Field(part, "a" if part.value.endswith("attribute") else "")
            assert values_of(scanner, record, one) == [(meaning(one, value),)], part
    every = tuple(Field(part, "a" if part.value.endswith("attribute") else "") for part in Part)
    assert values_of(scanner, late, *every) == [each(every, tuple(expected[one.part] for one in every))]


def test_what_is_not_there(scanner: Scanner) -> None:
    """Attributes are None; texts and messages are empty, numbers 0; an attribute without a value is empty."""
    one_event = record_of(span_bytes(field(11, b"")))
    for part in Part:
        name = part.value
        value = None if name.endswith("attribute") else b""
        if part in {Part.STATUS_CODE, Part.KIND, Part.START_TIME, Part.END_TIME}:
            value = bytes(8)
        if part is Part.SPAN:
            value = span_bytes(field(11, b""))
        assert values_of(scanner, one_event, Field(part, "a" if value is None else "")) == [(value,)], part
    bare = record_of(span_bytes(field(9, field(1, b"a")), field(9, b"")))
    assert values_of(scanner, bare, SPAN_A, Field(Part.SPAN_ATTRIBUTE, ""), Field(Part.SPAN_ATTRIBUTE, "b")) == [
        (b"", b"", None)
    ]


def test_the_first_attribute_with_a_key_counts(scanner: Scanner) -> None:
    """Whatever its type; the last key of a KeyValue and all its values are its own, as protobuf merges them."""
    twice = span_bytes(
        field(9, field(1, b"a") + field(2, text("other")) + field(1, b"b")),
        field(9, attribute("a", field(3, 5))),
        field(9, attribute("a", text("late"))),
    )
    b = Field(Part.SPAN_ATTRIBUTE, "b")
    assert values_of(scanner, record_of(twice), SPAN_A, b) == [(field(3, 5), text("other"))]
    array = field(5, field(1, text("x"))), field(5, field(1, text("y")))
    merged = span_bytes(field(9, field(2, array[0]) + UNKNOWN[0] + field(1, b"a") + field(2, array[1]) + field(2, b"")))
    assert (
        values_of(scanner, record_of(merged, merged), SPAN_A)
        == [(field(5, field(1, text("x")) + field(1, text("y"))),)] * 2
    )


def test_resources_that_are_there_twice_are_one(scanner: Scanner) -> None:
    """Their bytes joined; the first attribute of them all counts; the last schema URL does."""
    names = [field(1, attribute("a", text(name))) for name in ("first", "second", "third")]
    resource = field(1, field(2, 3)) + b"".join(field(1, name) for name in names) + field(3, b"u") + field(3, b"v")
    fields = (Field(Part.RESOURCE), Field(Part.RESOURCE_ATTRIBUTE, "a"), Field(Part.RESOURCE_SCHEMA_URL))
    record = record_of(span_bytes(), resource=resource)
    assert values_of(scanner, record, *fields) == [(b"".join(names) + field(2, 3), text("first"), b"v")]


def test_a_resource_that_is_there_very_often_is_joined_once(scanner: Scanner) -> None:
    """20,000 of them cost neither time nor memory that grows with their square."""
    resource = field(1, field(1, attribute("a", text("x" * 100)))) * 20_000
    seen: list[Values] = []
    scanner.scan(compile_plan([asks(seen, Field(Part.RESOURCE))]), record_of(span_bytes(), resource=resource))
    assert [len(value or b"") for (value,) in seen] == [20_000 * len(field(1, attribute("a", text("x" * 100))))]


def test_each_message_answers_for_itself(scanner: Scanner) -> None:
    """Nothing of a resource, scope, span or event is left for the next one, also of another record."""
    full = record_of(
        span_bytes(field(9, attribute("a", text("x"))), field(5, b"n"), field(11, field(2, b"e"))),
        span_bytes(field(11, b"") + field(11, field(3, attribute("a", text("z"))))),
        resource=field(1, field(1, attribute("a", text("r")))) + field(3, b"u"),
        scope=field(1, field(3, attribute("a", text("s")))),
    )
    record = full + record_of(span_bytes(), span_bytes(field(11, b"")))
    parts = (Part.RESOURCE_ATTRIBUTE, Part.SCOPE_ATTRIBUTE, Part.SPAN_ATTRIBUTE)
    inner = tuple(Field(part, "a") for part in parts)
    r, s, x, z = text("r"), text("s"), text("x"), text("z")
    for _ in range(2):
        assert values_of(scanner, record, *inner) == [(r, s, x), (r, s, None), (None,) * 3, (None,) * 3]
        events = values_of(scanner, record, *inner, Field(Part.EVENT_ATTRIBUTE, "a"), Field(Part.EVENT_NAME))
        assert events == [
            (r, s, x, None, b"e"),
            (r, s, None, None, b""),
            (r, s, None, z, b""),
            (None, None, None, None, b""),
        ]


def test_spans_with_invalid_ids_are_not_asked_about(scanner: Scanner) -> None:
    """Only what counts for a trace is."""
    record = record_of(span_bytes(field(5, b"bad"), trace_id=b"x"), span_bytes(field(5, b"good")))
    seen: list[Values] = []
    scanner.scan(compile_plan([asks(seen, Field(Part.SPAN_NAME))]), record)
    assert seen == [(b"good",)]


def test_it_stands_among_other_conditions(scanner: Scanner) -> None:
    """All, any and not take it like any leaf, alone or with terms of spans and events."""
    yes, no = (asks([], SPAN_A, answer=answer) for answer in (True, False))
    of_event = asks([], Field(Part.EVENT_NAME), answer=True)
    root, boom = IsRootSpan(), NameIn(frozenset({"boom"}), of_event=True)
    conditions = (
        *(yes, no, Negated(yes), Negated(no), of_event, Negated(of_event)),
        *(AllOf((yes, root)), AllOf((no, root)), AnyOf((no, root)), AnyOf((no, Negated(root), yes))),
        *(AllOf((yes, boom)), AnyOf((no, boom)), AllOf((of_event, boom)), AllOf((of_event, Negated(boom), no))),
    )
    assert bits_of(scanner, record_of(span_bytes()), *conditions) == 0b0000_11_0100_1001
    with_event = record_of(span_bytes(field(11, field(2, b"boom"))))
    assert bits_of(scanner, with_event, *conditions) == 0b0111_11_0101_1001


def test_python_is_asked_only_where_it_matters(scanner: Scanner) -> None:
    """Not where another term decides, not for a condition that holds already, once a span for all conditions."""
    seen: list[Values] = []
    condition = asks(seen, Field(Part.SPAN_NAME), answer=True)
    kind = KindIn(frozenset({1}))
    event = NameIn(frozenset({"e"}), of_event=True)
    skipped = record_of(span_bytes(field(5, b"1")), span_bytes(field(5, b"2"), field(6, 1)))
    assert bits_of(scanner, skipped, AllOf((condition, kind)), AnyOf((Negated(condition), Negated(kind)))) == 0b11
    assert seen == [(b"2",)]
    seen.clear()
    two_traces = record_of(*[span_bytes(field(5, b"x"))] * 3, span_bytes(field(5, b"y"), trace_id=TRACE_B))
    scanner.scan(compile_plan([condition]), two_traces)
    assert seen == [(b"x",), (b"y",)]
    seen.clear()
    events = record_of(span_bytes(field(11, field(2, b"e")), field(11, field(2, b"e")), field(4, SPAN_ID)))
    shared = (
        Negated(condition),
        AllOf((Negated(condition), event)),
        AllOf((Negated(condition), Negated(IsRootSpan()))),
    )
    assert bits_of(scanner, events, *shared) == 0
    assert seen == [(b"",)]


def test_a_resource_is_asked_about_once(scanner: Scanner) -> None:
    """A condition that speaks of nothing inside it has one answer for all its spans."""
    seen: list[Values] = []
    plan = compile_plan([asks(seen, Field(Part.RESOURCE_SCHEMA_URL))])
    scanner.scan(plan, record_of(*[span_bytes()] * 5, resource=field(3, b"u")) + record_of(span_bytes()))
    assert seen == [(b"u",), (b"",)]


def test_equal_values_are_asked_once() -> None:
    """Over spans, records and both scanners; absent, empty and differently cut values are told apart."""
    seen: list[Values] = []
    plan = compile_plan([asks(seen, Field(Part.SPAN_NAME), SPAN_A, Field(Part.TRACE_STATE), remember=True)])
    values = [(b"a", None, b"bc"), (b"ab", None, b"c"), (b"a", b"", b"bc"), (b"a", text("b"), b"c"), (b"", None, b"")]
    spans = []
    for name, value, state in values:
        given = b"" if value is None else field(9, attribute("a", value))
        spans.append(span_bytes(field(5, name), given, field(3, state)))
    for _ in range(2):
        for name in SCANNERS:
            assert get_scanner(name).scan(plan, record_of(*spans, *spans)).traces[0][2].bits == 0
    assert seen == values


def test_a_matcher_may_forbid_remembering(scanner: Scanner) -> None:
    """Then it is asked for every span, and nothing is kept."""
    seen: list[Values] = []
    plan = compile_plan([asks(seen, Field(Part.SPAN_NAME))])
    scanner.scan(plan, record_of(span_bytes(), span_bytes()))
    assert seen == [(b"",), (b"",)]
    assert not plan.memos()[0].answers


def test_large_values_are_not_remembered(scanner: Scanner) -> None:
    """1 KiB in sum is, a byte more is not."""
    seen: list[Values] = []
    plan = compile_plan([asks(seen, Field(Part.SPAN_NAME), Field(Part.TRACE_STATE), remember=True)])
    for size in (MEMO_VALUE_BYTES - 1, MEMO_VALUE_BYTES, 100_000):
        span = span_bytes(field(5, b"n" * size), field(3, b"t"))
        scanner.scan(plan, record_of(span, span))
    assert [len(name or b"") for name, _ in seen] == [1023, 1024, 1024, 100_000, 100_000]
    assert [len(key) for key in plan.memos()[0].answers] == [1024 + 4]


def test_memory_for_answers_is_bounded() -> None:
    """Large values empty the memo long before many small ones do."""
    memo = FieldsMemo(FieldsMatcher("any", lambda _: True))
    for number in range(20_000):
        assert memo.ask((b"%1000d" % number, None))
    assert sum(map(len, memo.answers)) <= MEMO_BYTES
    assert 0 < len(memo.answers) < 10_000


def test_a_test_that_raises_does_not_match_and_is_counted(scanner: Scanner) -> None:
    """The scan goes on; equal values are not asked again; a truth that raises is an error too."""

    class Odd:
        def __bool__(self) -> bool:
            raise ValueError("neither yes nor no")

    def fails(values: Values) -> bool:
        return Odd() if values[0] else values[1] > b""  # type: ignore[return-value, operator]

    fields = (Field(Part.SPAN_NAME), SPAN_A)
    failing = FieldsMatch(fields, FieldsMatcher("fails", fails))
    plan = compile_plan([failing, Negated(failing), IsRootSpan()])
    for name in (b"", b"odd", b"", b"odd"):
        assert scanner.scan(plan, record_of(span_bytes(field(5, name)))).traces[0][2].bits == 0b110
    assert plan.matcher_errors == 2
    message = TracesData.FromString(record_of(span_bytes()))
    assert reference_summary([failing, Negated(failing)], message.resource_spans).bits == 0b10


def test_a_test_may_use_the_scanner_itself(scanner: Scanner) -> None:
    """A scan inside a scan, of the same plan, does not mix their fields."""
    seen: list[Values] = []
    inner = record_of(span_bytes(field(5, b"inner"), field(9, attribute("a", text("i")))))

    def test(values: Values) -> bool:
        seen.append(values)
        if values[0] != b"inner":
            scanner.scan(plan, inner)
        return False

    matcher = FieldsMatcher("nested", test, remember=False)
    fields = (Field(Part.SPAN_NAME), SPAN_A)
    plan = compile_plan([FieldsMatch(fields, matcher), FieldsMatch((*fields, Field(Part.KIND)), matcher)])
    scanner.scan(plan, record_of(span_bytes(field(5, b"outer"), field(9, attribute("a", text("o"))))))
    own, other = (b"outer", text("o")), (b"inner", text("i"))
    nested = [other, (*other, bytes(8))]
    assert seen == [own, *nested, (*own, bytes(8)), *nested]


def test_what_no_test_can_decode_still_reaches_it(scanner: Scanner) -> None:
    """Texts that are no UTF-8 and values nested without end come as they are."""
    deep = text("x")
    for _ in range(2000):
        deep = field(5, field(1, deep))
    seen: list[Values] = []
    span = span_bytes(field(9, attribute("a", deep)), field(9, attribute("b", BROKEN_TEXT)), field(5, b"\xff"))
    fields = (SPAN_A, Field(Part.SPAN_ATTRIBUTE, "b"), Field(Part.SPAN_NAME))
    scanner.scan(compile_plan([asks(seen, *fields)]), record_of(span))
    assert seen == [(deep, BROKEN_TEXT, b"\xff")]


def test_a_key_is_for_attributes_only() -> None:
    """A field that cannot be meant is refused."""
    for wrong, message in (
        (Field(Part.SPAN_NAME, "a"), "only an attribute"),
        (Field(SPAN_A.part, "\ud800"), "Unicode"),
    ):
        with pytest.raises(PlanError, match=message):
            compile_plan([asks([], wrong)])


def test_many_fields_and_keys(scanner: Scanner) -> None:
    """600 attributes for one test, each in its place, those of 300 bytes and more too."""
    keys = [f"{n}" + "k" * (n % 301) for n in range(600)]
    span = span_bytes(*[field(9, attribute(key, text(key[:9]))) for key in reversed(keys)])
    seen: list[Values] = []
    condition = asks(seen, *[Field(Part.SPAN_ATTRIBUTE, key) for key in keys], remember=True)
    scanner.scan(compile_plan([condition]), record_of(span))
    assert seen == [tuple(text(key[:9]) for key in keys)]

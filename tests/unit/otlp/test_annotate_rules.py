"""What is written on kept spans, rule by rule, by both scanners."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from policies.randomness import RandomnessSource as Source
from policies.rset import SPACE
from sampler.otlp import Annotation, Scanner, decode
from tests.unit.otlp.wire_samples import attribute, field, record_of, span_bytes, text

R = 0xABCDEF01234567
HALF = ((SPACE // 2, SPACE),)
TENTH = ((SPACE - SPACE // 10, SPACE),)
ALL = ((0, SPACE),)
LOWER = ((0, SPACE // 4),)


def annotated(scanner: Scanner, span: bytes, annotation: Annotation, resource: bytes = b"") -> Span:
    """The one span of the output."""
    result = scanner.annotate([record_of(span, resource=resource)], annotation, 10**6)
    assert (result.spans, result.copies_removed, result.oversize) == (1, 0, [])
    return decode(result.payloads)[0].scope_spans[0].spans[0]


def rate_of(span: Span) -> float:
    """The double written as sampling.rate."""
    return {entry.key: entry.value.double_value for entry in span.attributes}["sampling.rate"]


CASES: list[tuple[str, Source, Any, str, str, float]] = [
    # came with, source, keep, tracestate that leaves, rate
    ("", Source.HASH, HALF, "ot=th:8;rv:abcdef01234567", 2),
    ("", Source.HASH, ALL, "ot=th:0;rv:abcdef01234567", 1),
    ("", Source.HASH, LOWER, "ot=rv:abcdef01234567", 4),
    ("dd=s:1,x=y", Source.HASH, HALF, "ot=th:8;rv:abcdef01234567,dd=s:1,x=y", 2),
    ("dd=s:1,ot=k:v;p:8", Source.HASH, HALF, "ot=th:8;rv:abcdef01234567;k:v;p:8,dd=s:1", 2),
    ("ot=th:XX;rv:1", Source.HASH, HALF, "ot=th:8;rv:abcdef01234567", 2),
    ("ot=th:c", Source.HASH, HALF, "", 8),
    ("ot=rv:00000000000001,dd=1", Source.HASH, HALF, "ot=rv:00000000000001,dd=1", 2),
    ("", Source.RV, HALF, "ot=th:8", 2),
    ("ot=th:c;rv:ffffffffffffff", Source.RV, HALF, "ot=th:c;rv:ffffffffffffff", 4),
    ("dd=1, ot=th:4;rv:ffffffffffffff", Source.RV, HALF, "ot=th:8;rv:ffffffffffffff,dd=1", 2),
    ("ot=th:4;rv:00000000000001", Source.RV, LOWER, "ot=rv:00000000000001", 0),
    ("ot=th:2", Source.TRACE_ID, LOWER, "", 8),
    ("ot=th:c;k:v", Source.TRACE_ID, HALF, "ot=th:c;k:v", 4),
    ("", Source.TRACE_ID, ALL, "ot=th:0", 1),
    ("", Source.FORCED_TRACE_ID, HALF, "ot=th:8", 2),
    ("ot=th:c", Source.FORCED_TRACE_ID, HALF, "ot=th:c", 4),
    ("ot=rv:00000000000001", Source.FORCED_TRACE_ID, HALF, "ot=rv:00000000000001", 2),
    ("ot=th:8;rv:ffffffffffffff", Source.FORCED_TRACE_ID, HALF, "ot=rv:ffffffffffffff", 4),
    ("", Source.FORCED_HASH, HALF, "ot=th:8;rv:abcdef01234567", 2),
    ("ot=th:c,dd=1", Source.FORCED_HASH, HALF, "dd=1", 8),
    ("ot=th:c;rv:ffffffffffffff", Source.FORCED_HASH, TENTH, "ot=rv:ffffffffffffff", 40),
    ("ot=rv:ffffffffffffff", Source.FORCED_HASH, HALF, "ot=rv:ffffffffffffff", 2),
    ("vendor=1", Source.FORCED_HASH, LOWER, "ot=rv:abcdef01234567,vendor=1", 4),
    ("", Source.RV, (), "", 0),
]


@pytest.mark.parametrize(("came", "source", "keep", "leaves", "rate"), CASES)
def test_tracestate_and_rate(scanner: Scanner, came: str, source: Source, keep: Any, leaves: str, rate: float) -> None:
    """Shared randomness intersects thresholds, a hash multiplies probabilities; other entries stay."""
    span = span_bytes(field(3, came.encode()) if came else b"")
    out = annotated(scanner, span, Annotation(keep, source, R, "errors"))
    assert out.trace_state == leaves
    assert rate_of(out) == pytest.approx(rate)


def test_a_long_entry_is_cut_to_256_characters(scanner: Scanner) -> None:
    """Unknown sub-keys are given up from the last until the value fits; th and rv stay."""
    came = b"ot=" + b";".join(b"k%d:" % n + b"v" * 50 for n in range(6))
    out = annotated(scanner, span_bytes(field(3, came)), Annotation(HALF, Source.HASH, R))
    value = out.trace_state.removeprefix("ot=")
    assert value.startswith("th:8;rv:abcdef01234567;k0:")
    assert 200 < len(value) <= 256


def test_the_attributes_have_the_asked_names_and_types(scanner: Scanner) -> None:
    """Names are free, the rate may be an integer, no policy writes no policy attribute, old values are replaced."""
    old = field(9, attribute("rate", text("old"))) + field(9, attribute("policy", text("old")))
    kept = field(9, attribute("rate2", text("stays")))
    annotation = Annotation(TENTH, Source.HASH, R, None, "rate", "policy", rate_as_int=True)
    out = annotated(scanner, span_bytes(old, kept), annotation)
    assert [(entry.key, entry.value.WhichOneof("value")) for entry in out.attributes] == [
        ("rate2", "string_value"),
        ("rate", "int_value"),
    ]
    assert out.attributes[1].value.int_value == 10
    annotation = Annotation(TENTH, Source.HASH, R, "outer/inner", "rate", "policy")
    out = annotated(scanner, span_bytes(old), annotation)
    assert [(entry.key, entry.value.string_value) for entry in out.attributes] == [
        ("rate", ""),
        ("policy", "outer/inner"),
    ]


@pytest.mark.parametrize(("service", "rate"), [("cart", 20), ("other", 4), (None, 4)])
def test_declared_incoming_probability_multiplies_the_rate(scanner: Scanner, service: str | None, rate: float) -> None:
    """By service name, with a default for services not named and for resources without a name."""
    resource = field(1, field(1, attribute("service.name", text(service)))) if service else b""
    annotation = Annotation(HALF, Source.HASH, R, incoming_probability={"cart": 0.1}, incoming_probability_default=0.5)
    out = annotated(scanner, span_bytes(), annotation, resource)
    assert rate_of(out) == pytest.approx(rate)
    assert out.trace_state == "ot=th:8;rv:abcdef01234567"
    one_value = Annotation(HALF, Source.HASH, R, incoming_probability=0.25)
    assert rate_of(annotated(scanner, span_bytes(), one_value, resource)) == pytest.approx(8)


def test_two_services_of_one_trace_have_their_own_rates(scanner: Scanner) -> None:
    """The probability follows the resource, also when it changes back."""
    cart, shop = (field(1, field(1, attribute("service.name", text(name)))) for name in ("cart", "shop"))
    records = [
        record_of(span_bytes(span_id=bytes([n]) * 8), resource=resource)
        for n, resource in enumerate((cart, shop, cart), 1)
    ]
    annotation = Annotation(ALL, Source.HASH, R, incoming_probability={"cart": 0.1})
    result = scanner.annotate(records, annotation, 10**6)
    spans = [part.scope_spans[0].spans[0] for part in decode(result.payloads)]
    assert [rate_of(span) for span in spans] == pytest.approx([10, 1, 10])


def test_exact_copies_leave_once(scanner: Scanner) -> None:
    """Same bytes under the same headers are one span; another resource, scope or byte makes another."""
    one, other = span_bytes(), span_bytes(field(5, b"other"))
    resource, scope = field(1, b""), field(1, field(1, b"scope"))
    records = [
        record_of(one, one),
        record_of(one),
        record_of(other, one),
        record_of(one, resource=resource),
        record_of(one, scope=scope),
        record_of(one, scope=scope) + record_of(one, resource=resource),
    ]
    result = scanner.annotate(records, Annotation(ALL, Source.HASH, R), 10**6)
    assert (result.spans, result.copies_removed) == (4, 5)
    parts = decode(result.payloads)
    assert [len(part.scope_spans[0].spans) for part in parts] == [1, 1, 1, 1]
    assert parts[1].scope_spans[0].spans[0].name == "other"


def test_many_copies_among_many_spans(scanner: Scanner) -> None:
    """Copies are found among thousands of spans."""
    spans = [span_bytes(field(6, n)) for n in range(3000)]
    result = scanner.annotate([record_of(*spans), record_of(*spans[1000:])], Annotation(ALL, Source.HASH, R), 10**7)
    assert (result.spans, result.copies_removed) == (3000, 2000)


def test_large_traces_leave_in_several_payloads(scanner: Scanner) -> None:
    """No payload exceeds the limit, headers are repeated, order is kept, spans that fit nowhere are set apart."""
    resource, scope = field(1, field(1, attribute("host", text("h" * 40)))), field(1, field(1, b"scope"))
    sizes = [10, 300, 700, 20, 5000, 30, 40, 900, 5000, 10]
    spans = [span_bytes(field(5, bytes([65 + n]) * size), span_id=bytes([n + 1]) * 8) for n, size in enumerate(sizes)]
    chunks = [record_of(*spans[:3], resource=resource), record_of(*spans[3:], resource=resource, scope=scope)]
    result = scanner.annotate(chunks, Annotation(ALL, Source.HASH, R), 1300)
    assert len(result.payloads) > 2
    assert all(len(payload) <= 1300 for payload in result.payloads)
    leaving = [
        span.span_id[0]
        for payload in result.payloads
        for part in TracesData.FromString(payload).resource_spans
        for inner in part.scope_spans
        for span in inner.spans
    ]
    assert leaving == [1, 2, 3, 4, 6, 7, 8, 10]
    assert result.spans == 8
    assert [decode([apart])[0].scope_spans[0].spans[0].span_id[0] for apart in result.oversize] == [5, 9]
    for payload in [*result.payloads, *result.oversize]:
        assert all(part.resource.attributes[0].key == "host" for part in decode([payload]))


def test_nothing_to_write_gives_no_payload(scanner: Scanner) -> None:
    """No chunks, or only spans that fit nowhere: no empty payload."""
    annotation = Annotation(ALL, Source.HASH, R)
    assert scanner.annotate([], annotation, 100).payloads == []
    result = scanner.annotate([record_of(span_bytes(field(5, b"x" * 200)))], annotation, 100)
    assert (result.payloads, len(result.oversize), result.spans) == ([], 1, 0)

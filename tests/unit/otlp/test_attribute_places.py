"""Where the upb scanner looks for attributes: what it learned from the spans before never changes an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from policies.conditions import AttributeIn, Where
from sampler.otlp import Scanner, compile_plan, get_scanner
from sampler.otlp.attributes import Attributes
from sampler.otlp.leaves import leaf_of
from sampler.otlp.schema import SLIM
from tests.unit.otlp.wire_samples import attribute, field, span_bytes, text

# Keys that lie in each other, in values and in names, in resources and scopes too.
ASKED = ("tier", "user.tier", "a", "route")
NAMES = st.sampled_from((*ASKED, "user.tier.old", "other", "x", "y", "z"))
VALUES = st.sampled_from(("vip", "tier", "a", "", "free"))
ATTRIBUTES = st.lists(st.tuples(NAMES, VALUES), max_size=7)
SECTION = st.tuples(ATTRIBUTES, st.lists(st.tuples(ATTRIBUTES, st.lists(ATTRIBUTES, max_size=4)), max_size=3))
EVERYWHERE = Where.RESOURCE | Where.SCOPE | Where.SPAN
CONDITIONS = tuple(AttributeIn(key, frozenset({"vip"}), EVERYWHERE) for key in ASKED)

Pairs = list[tuple[str, str]]


def encoded(pairs: Pairs) -> list[KeyValue]:
    """The attributes as messages."""
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in pairs]


def section_of(resource: Pairs, scopes: list[tuple[Pairs, list[Pairs]]]) -> tuple[ResourceSpans, list[int]]:
    """A ResourceSpans with a trace a span, and the bits that each must get."""
    section, expected = ResourceSpans(), []
    section.resource.attributes.extend(encoded(resource))
    for scope, spans in scopes:
        part = ScopeSpans()
        part.scope.attributes.extend(encoded(scope))
        for pairs in spans:
            part.spans.append(Span(span_id=b"spanspan", name="tier", attributes=encoded(pairs)))
            seen = {key for key, value in (*resource, *scope, *pairs) if value == "vip"}
            expected.append(sum(1 << number for number, key in enumerate(ASKED) if key in seen))
        section.scope_spans.append(part)
    return section, expected


@settings(max_examples=200, deadline=None)
@given(records=st.lists(SECTION, min_size=1, max_size=6), one_trace=st.booleans())
def test_what_was_learned_changes_no_answer(
    records: list[tuple[Pairs, list[tuple[Pairs, list[Pairs]]]]], one_trace: bool
) -> None:
    """A plan that has seen other spans answers each as the attributes say, doubled ones and hidden keys included."""
    plan = compile_plan(CONDITIONS)
    for resource, scopes in records:
        section, expected = section_of(resource, scopes)
        spans = [span for part in section.scope_spans for span in part.spans]
        for number, span in enumerate(spans):
            span.trace_id = (1 if one_trace else number + 1).to_bytes(16, "big")
        result = get_scanner("upb").scan(plan, TracesData(resource_spans=[section]).SerializeToString())
        found = [summary.bits for _, _, summary in result.traces]
        if one_trace and expected:
            together = 0
            for bits in expected:
                together |= bits
            expected = [together]
        assert found == expected


def test_a_key_across_two_fields_of_a_header_hides_none(scanner: Scanner) -> None:
    """Fields of a header that lie before and behind its spans hold no key together: that of a span is found."""
    plan = compile_plan([AttributeIn("user.tier", frozenset({"vip"}), Where.SPAN)])
    scope = field(2, field(2, span_bytes(field(9, attribute("user.tier", text("vip"))))))
    # The tag of field 14, length-delimited, is the letter r.
    record = field(1, field(100, b"user.tie") + scope + field(14, b""))
    ((_, _, summary),) = scanner.scan(plan, record).traces
    assert summary.bits == 1


class _Span:
    """A slim span that says how many of its attributes were looked at."""

    def __init__(self, pairs: Pairs) -> None:
        self.looked_at = 0
        self._attributes = [attribute.SerializeToString() for attribute in encoded(pairs)]

    @property
    def attributes(self) -> _Span:
        return self

    def __len__(self) -> int:
        return len(self._attributes)

    def __getitem__(self, place: int) -> bytes:
        found = self._attributes[place]
        self.looked_at += 1
        return found


def test_spans_of_a_kind_are_asked_in_one_place() -> None:
    """Once a key was found among ten attributes, spans with ten are looked at there and nowhere else."""
    pairs = [(f"key.{number}", "value") for number in range(9)]
    pairs.insert(6, ("user.tier", "vip"))
    leaf = leaf_of(AttributeIn("user.tier", frozenset({"vip"}), Where.SPAN), {})
    attributes = Attributes([(1, leaf)], Where.SPAN)
    content = b"".join(attribute.SerializeToString() for attribute in encoded(pairs))
    first, second = _Span(pairs), _Span(pairs)
    assert [bits & 1 for bits in attributes.bits_of_each([first], content, 0)] == [1]
    for _ in range(20):  # what was not trusted at first is trusted again after a while
        second = _Span(pairs)
        assert [bits & 1 for bits in attributes.bits_of_each([second], content, 0)] == [1]
    assert second.looked_at == 1
    assert SLIM["KeyValue"].FromString(second[6]).key == b"user.tier"


class _Unsearched(bytes):
    """Bytes that may not be searched."""

    def count(self, *_: object) -> int:
        raise AssertionError("many keys are searched for in all bytes of a ResourceSpans")

    def __contains__(self, _: object) -> bool:
        raise AssertionError("many keys are searched for in all bytes of a ResourceSpans")


def test_many_keys_are_not_searched_for() -> None:
    """What a search costs grows with the keys: beyond a few, the attributes are asked, which costs the same for any."""
    leaves = [leaf_of(AttributeIn(f"key.{number}", frozenset({"vip"}), Where.SPAN), {}) for number in range(200)]
    attributes = Attributes([(1 << number, leaf) for number, leaf in enumerate(leaves)], Where.SPAN)
    span, other = _Span([("other", "vip"), ("key.7", "vip")]), _Span([("other", "vip")])
    found = attributes.bits_of_each([span, other], _Unsearched(), attributes.mentions([_Unsearched()]))
    assert [bits & (1 << 200) - 1 for bits in found] == [1 << 7, 0]

"""Where the upb scanner looks for attributes: what it learned from the spans before never changes an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from policies.conditions import AttributeIn, Where
from sampler.otlp import compile_plan, get_scanner
from sampler.otlp.attributes import Attributes
from sampler.otlp.leaves import leaf_of
from sampler.otlp.schema import SLIM

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

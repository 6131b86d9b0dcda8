"""Conditions of every kind, and random combinations of them."""

from __future__ import annotations

import random
import zlib
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
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
    SpanLeaf,
    StatusIn,
    TraceStateMatches,
    Where,
)

HAS_X = Matcher("contains x", lambda value: "x" in value)
MESSAGES: dict[Part, Any] = {
    Part.RESOURCE_ATTRIBUTE: AnyValue,
    Part.SCOPE_ATTRIBUTE: AnyValue,
    Part.SPAN_ATTRIBUTE: AnyValue,
    Part.EVENT_ATTRIBUTE: AnyValue,
    Part.RESOURCE: Resource,
    Part.SCOPE: InstrumentationScope,
    Part.SPAN: Span,
    Part.EVENT: Span.Event,
}


def meaning(field: Field, value: bytes | None) -> bytes | None:
    """The same bytes for values that mean the same, whatever their form and unknown fields."""
    if value is None or field.part not in MESSAGES:
        return value
    message = MESSAGES[field.part].FromString(value)
    message.DiscardUnknownFields()
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def half_of(*fields: Field, remember: bool = True) -> FieldsMatch:
    """Passes about half of all values: two scanners that read different ones soon disagree."""

    def test(values: tuple[bytes | None, ...]) -> bool:
        meanings = [meaning(field, value) for field, value in zip(fields, values, strict=True)]
        return zlib.crc32(repr(meanings).encode()) & 1 == 1

    return FieldsMatch(fields, FieldsMatcher(f"half of {fields}", test, remember))


MANY = frozenset(f"value-{n}" for n in range(20)) | {"vip", "GET /cart"}

LEAVES: tuple[SpanLeaf, ...] = (
    AttributeIn("tier", frozenset({"vip", ""})),
    AttributeIn("a", MANY, Where.SPAN),
    AttributeIn("k" * 300, frozenset({"x"}), Where.SPAN | Where.SCOPE),
    AttributeMatches("b", HAS_X, Where.RESOURCE),
    AttributeMatches("a", HAS_X, Where.SPAN | Where.EVENT),
    AttributeInRange("http.response.status_code", 500, 599),
    AttributeInRange("a", where=Where.EVENT),
    AttributeIs("b", True),
    AttributeIs("b", False, Where.SCOPE),
    AttributeExists("service.name", Where.RESOURCE),
    AttributeExists("", Where.SPAN | Where.EVENT | Where.SCOPE),
    StatusIn(frozenset({2})),
    StatusIn(frozenset({0, 9})),
    KindIn(frozenset({1, 3})),
    NameIn(frozenset({"GET /cart", ""})),
    NameIn(MANY, of_event=True),
    NameMatches(HAS_X),
    NameMatches(HAS_X, of_event=True),
    SpanDurationInRange(1_000_000_000),
    SpanDurationInRange(-(2**63), 0),
    FlagsAny(0x101),
    TraceStateMatches(Matcher("has th", lambda value: "th:" in value)),
    IsRootSpan(),
    SpanDurationInRange(1_000_000_000, unset_is_zero=True),
    SpanDurationInRange(-(2**63), 0, unset_is_zero=True),
    *(half_of(Field(part, "a" if part.value.endswith("attribute") else "")) for part in Part),
    *(half_of(Field(part, "b"), Field(part, "")) for part in Part if part.value.endswith("attribute")),
    half_of(Field(Part.RESOURCE_ATTRIBUTE, "service.name"), Field(Part.SCOPE_ATTRIBUTE, "k" * 300)),
    half_of(Field(Part.SPAN_ATTRIBUTE, "a"), Field(Part.SPAN_NAME), Field(Part.SPAN_ATTRIBUTE, "a"), remember=False),
    half_of(Field(Part.EVENT_NAME), Field(Part.SPAN_NAME), Field(Part.RESOURCE_ATTRIBUTE, "tier"), Field(Part.KIND)),
    half_of(Field(Part.EVENT), Field(Part.SCOPE), remember=False),
    half_of(),
)


def combination(chance: random.Random, depth: int = 3) -> SpanCondition:
    """A random expression over the leaves."""
    form = chance.randint(0, 5) if depth else 0
    if form <= 2:
        return chance.choice(LEAVES)
    if form == 3:
        return Negated(combination(chance, depth - 1))
    terms = tuple(combination(chance, depth - 1) for _ in range(chance.randint(0, 3)))
    return AllOf(terms) if form == 4 else AnyOf(terms)


def random_conditions(seed: int) -> list[SpanCondition]:
    """Every leaf in a random order among random expressions."""
    chance = random.Random(seed)
    conditions = [*LEAVES, *(combination(chance) for _ in range(chance.choice((5, 60))))]
    chance.shuffle(conditions)
    return conditions

"""Conditions of every kind, and random combinations of them."""

from __future__ import annotations

import random

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeIs,
    AttributeMatches,
    FlagsAny,
    IsRootSpan,
    KindIn,
    Matcher,
    NameIn,
    NameMatches,
    Negated,
    SpanCondition,
    SpanDurationInRange,
    SpanLeaf,
    StatusIn,
    TraceStateMatches,
    Where,
)

HAS_X = Matcher("contains x", lambda value: "x" in value)
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

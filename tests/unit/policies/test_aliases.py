"""Attributes under several names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from policies import build_policy_set
from policies.aliases import NO_ALIASES, SEMCONV, SEMCONV_GROUPS, Aliases
from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeIs,
    Field,
    FieldsMatch,
    FieldsMatcher,
    IsRootSpan,
    Negated,
    Part,
    SpanCondition,
    StatusIn,
    Where,
)
from policies.testing import decide, holds_on_span, resource, span, span_contexts, trace
from sampler.config import ConfigError, parse_policies

TENANT = Aliases([["tenant", "tenant.id", "org"]])


def test_names_begin_with_the_one_asked_for() -> None:
    """A name without group stands alone; one in several groups has the names of all of them, and of no third."""
    assert TENANT.names("org") == ("org", "tenant", "tenant.id")
    assert TENANT.names("user") == ("user",)
    both = Aliases([["a", "b"], ["b", "c"]])
    assert (both.names("b"), both.names("a")) == (("b", "a", "c"), ("a", "b"))


@pytest.mark.parametrize("group", [[], ["a"], ["a", "a"], ["a", ""]])
def test_a_group_needs_two_names(group: list[str]) -> None:
    """Anything else cannot be meant."""
    with pytest.raises(ValueError, match="two different ones"):
        Aliases([group])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("http.status_code", "http.response.status_code"),
        ("http.method", "http.request.method"),
        ("http.url", "url.full"),
        ("http.target", "url.path"),
        ("net.peer.name", "server.address"),
        ("db.system", "db.system.name"),
        ("db.statement", "db.query.text"),
        ("messaging.destination", "messaging.destination.name"),
        ("deployment.environment", "deployment.environment.name"),
    ],
)
def test_semantic_conventions(old: str, new: str) -> None:
    """Renames are known in both directions."""
    assert new in SEMCONV.names(old)
    assert old in SEMCONV.names(new)


def test_the_table_has_no_group_twice() -> None:
    """A pair stands there once."""
    pairs = [frozenset((old, new)) for group in SEMCONV_GROUPS for old in group for new in group if old < new]
    assert len(pairs) == len(set(pairs))


LEAVES: list[SpanCondition] = [
    AttributeIn("tenant", frozenset({"x"})),
    AttributeInRange("tenant", 1, 3),
    AttributeIs("org", value=True),
    AttributeExists("tenant.id", Where.SPAN),
    AttributeExists("other"),
    StatusIn(frozenset({2})),
    IsRootSpan(),
]
conditions = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda terms: AllOf(tuple(terms))),
        st.lists(inner, max_size=3).map(lambda terms: AnyOf(tuple(terms))),
        inner.map(Negated),
    ),
    max_leaves=6,
)
names = st.sampled_from(["tenant", "tenant.id", "org", "other"])
values = st.sampled_from(["x", 2, True, 9])


def _plainly(condition: SpanCondition, attributes: dict[str, Any], *, root: bool) -> bool:
    """The meaning of aliases, told the long way: a leaf holds if it holds for any name."""
    match condition:
        case AllOf(terms):
            return all(_plainly(term, attributes, root=root) for term in terms)
        case AnyOf(terms):
            return any(_plainly(term, attributes, root=root) for term in terms)
        case Negated(term):
            return not _plainly(term, attributes, root=root)
        case AttributeIn() | AttributeInRange() | AttributeIs() | AttributeExists():
            found = [attributes[name] for name in TENANT.names(condition.key) if name in attributes]
            alone = [trace(span("s", attributes={condition.key: value})) for value in found]
            return any(holds_on_span(condition, next(span_contexts(one.resource_spans))) for one in alone)
        case _:
            subject = trace(span("s", root=root))
            return holds_on_span(condition, next(span_contexts(subject.resource_spans)))


@given(conditions, st.dictionaries(names, values), st.booleans())
def test_every_name_counts(condition: SpanCondition, attributes: dict[str, Any], root: bool) -> None:
    """In any expression, below `Negated` too, a leaf holds where one of the names satisfies it."""
    subject = trace(span("s", attributes=attributes, root=root))
    context = next(span_contexts(subject.resource_spans))
    assert holds_on_span(TENANT.applied(condition), context) == _plainly(condition, attributes, root=root)
    assert NO_ALIASES.applied(condition) is condition


def test_fields_get_the_first_name_that_is_there() -> None:
    """The name that was asked for goes first; each field keeps its place."""

    def test(got: tuple[bytes | None, ...]) -> bool:
        texts = [None if value is None else AnyValue.FromString(value).string_value for value in got[:2]]
        return texts == ["asked", None] and got[2] == b"call"

    fields = (
        Field(Part.SPAN_ATTRIBUTE, "tenant.id"),
        Field(Part.RESOURCE_ATTRIBUTE, "tenant"),
        Field(Part.SPAN_NAME),
    )
    applied = TENANT.applied(FieldsMatch(fields, FieldsMatcher("both", test)))
    assert isinstance(applied, FieldsMatch)
    assert len(applied.fields) == 7

    def holds(**attributes: str) -> bool:
        subject = trace(resource({}, span("call", attributes={k.replace("_", "."): v for k, v in attributes.items()})))
        return holds_on_span(applied, next(span_contexts(subject.resource_spans)))

    assert holds(tenant_id="asked", tenant="other", org="third")
    assert holds(tenant="asked", org="other")
    assert holds(org="asked")
    assert not holds(tenant="other", org="asked")
    assert not holds()


def test_other_fields_stay_as_they_are() -> None:
    """A condition on attributes without aliases is not wrapped."""
    condition = FieldsMatch((Field(Part.SPAN_ATTRIBUTE, "x"), Field(Part.SPAN_NAME)), FieldsMatcher("x", bool))
    assert TENANT.applied(condition) == condition


STATUS: dict[str, Any] = {
    "name": "errors",
    "type": "numeric_attribute",
    "numeric_attribute": {"key": "http.status_code", "min_value": 500, "max_value": 599},
}
NEW = trace(span("s", attributes={"http.response.status_code": 503}))


def test_a_policy_sees_all_names() -> None:
    """It asks as before; two policies that ask for two names of one thing share one condition each."""
    renamed = {**STATUS, "name": "new", "numeric_attribute": {**STATUS["numeric_attribute"], "invert_match": True}}
    assert not decide([STATUS], NEW).sampled
    assert decide([STATUS], NEW, aliases=SEMCONV).sampled
    assert not decide([renamed], NEW, aliases=SEMCONV).sampled
    assert len(build_policy_set([STATUS, renamed], aliases=SEMCONV).span_conditions) == 1


def test_aliases_are_part_of_the_content_hash() -> None:
    """Sets that answer differently have different hashes; without aliases nothing changes."""
    hashes = {build_policy_set([STATUS], aliases=one).content_hash for one in (NO_ALIASES, SEMCONV, TENANT)}
    assert len(hashes) == 3
    assert build_policy_set([STATUS]).content_hash in hashes


FILE = """
tail_sampling:
  attribute_aliases: {block}
  policies:
    - {{name: errors, type: numeric_attribute, numeric_attribute: {{key: http.status_code, min_value: 500}}}}
    - {{name: red, type: string_attribute, string_attribute: {{key: tenant, values: [red]}}}}
"""


def test_in_a_policy_file() -> None:
    """Nothing is on unless it is asked for; groups and the built-in table stand beside one another."""
    red = trace(span("s", attributes={"tenant.id": "red"}))

    def kept(block: str) -> list[bool]:
        policy_set = parse_policies(FILE.format(block=block)).policy_set
        return [decide(policy_set, subject).sampled for subject in (NEW, red)]

    assert kept("") == [False, False]
    assert kept("{}") == [False, False]
    assert kept("{semconv: true}") == [True, False]
    assert kept("{groups: [[tenant, tenant.id]]}") == [False, True]
    assert kept("{semconv: true, groups: [[tenant, tenant.id]]}") == [True, True]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{groups: [[tenant]]}", "two different ones"),
        ("{groups: [tenant, tenant.id]}", "two different ones"),
        ("{semconf: true}", "semconv"),
        ("[a, b]", "attribute_aliases"),
    ],
)
def test_file_errors(block: str, message: str) -> None:
    """Say what is wrong, with its place."""
    with pytest.raises(ConfigError, match=message):
        parse_policies(FILE.format(block=block))

"""The key of a trace: which values it has, and that different ones never make the same text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.builtin.dynamic import Dynamic
from policies.dynamic.escape import cut, join, split
from policies.dynamic.fields import KeyReader
from policies.dynamic.texts import number
from policies.reference import span_contexts
from policies.testing import Trace, resource, span, trace
from policies.trace import TraceView

VALUE = st.text(st.sampled_from(",|\\-#aé "), max_size=4)
FIELD = st.sets(VALUE, max_size=3)
GOAL = {"mean_rate": 10}


def key_of(subject: Trace, *fields: Any, limit: int = 256) -> str:
    """The key of a trace by fields as in a policy file."""
    config = Dynamic.Config.model_validate({"key": list(fields), "goal": GOAL})
    view = TraceView(subject.trace_id, subject.summary(), {}, lambda: subject.resource_spans)
    return KeyReader(config.key, limit).read(view)


@given(st.lists(FIELD, min_size=1, max_size=4))
def test_a_key_can_be_taken_apart_again(fields: list[set[str]]) -> None:
    """So different values never share a key."""
    assert split(join(fields)) == [sorted(field) for field in fields]


@given(st.lists(FIELD, min_size=1, max_size=3), st.lists(FIELD, min_size=1, max_size=3))
def test_different_values_make_different_keys(one: list[set[str]], other: list[set[str]]) -> None:
    """And equal ones the same."""
    assert (join(one) == join(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"a,b"}], [{"a"}, {"b"}]),
        ([{"a|b"}], [{"a", "b"}]),
        ([{""}], [set()]),
        ([{"\\-"}], [set()]),
        ([{"x"}, set()], [set(), {"x"}]),
        ([{"\\"}, {""}], [{"\\,"}]),
    ],
)
def test_separators_and_absent_fields_do_not_collide(one: list[set[str]], other: list[set[str]]) -> None:
    """The cases in which Refinery's keys are equal, and their like."""
    assert join(one) != join(other)


def test_a_long_key_is_cut_and_still_its_own() -> None:
    """Its hash tells it from others with the same beginning; one that just fits stays whole."""
    one, other = "x" * 300 + "1", "x" * 300 + "2"
    assert len(cut(one, 64)) == len(cut(other, 64)) == 64
    assert cut(one, 64) != cut(other, 64)
    assert cut("x" * 64, 64) == "x" * 64
    assert len(key_of(trace(span("x" * 2000, root=True)), "root_name", limit=100)) == 100


SHOP = trace(
    resource(
        {"service.name": "shop", "env": "prod"},
        span("GET /cart", 0, 700, root=True, status="OK", attributes={"code": 200, "route": "/cart"}),
    ),
    resource(
        {"service.name": "pay", "env": "prod"},
        span("charge", 0, 30, attributes={"code": "404"}, status="ERROR"),
        span("charge", 0, 30, attributes={"code": 200.0, "env": "own"}),
    ),
)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        (["service"], "shop"),
        (["root_name"], "GET /cart"),
        (["operation"], "shop,GET /cart"),
        (["status"], "OK"),
        (["error"], "error"),
        (["span_count"], "2-3"),
        ([{"is": "span_count"}], "2-3"),
        ([{"span_count": [3, 10]}], "3-9"),
        ([{"span_count": [2, 3]}], "3-"),
        ([{"duration_ms": [100, 1000]}], "100-999"),
        ([{"root": "code"}], "200"),
        ([{"root": "env"}], "prod"),
        ([{"root": "missing"}], "\\-"),
        ([{"any": "code"}], "200|404"),
        ([{"any": "env"}], "own|prod"),
        ([{"resource": "service.name"}], "pay|shop"),
        ([{"resource": "env"}, "service", {"any": "route"}], "prod,shop,/cart"),
    ],
)
def test_fields(fields: list[Any], key: str) -> None:
    """Each kind of field, on one trace."""
    assert key_of(SHOP, *fields) == key


def test_without_a_root_its_fields_are_absent() -> None:
    """Of several roots all values count, whatever their order."""
    assert key_of(trace(span("child")), "service", "root_name", "status", {"root": "x"}) == ",".join(["\\-"] * 4)
    two = [resource({"service.name": name}, span(name, root=True)) for name in ("b", "a")]
    assert key_of(trace(*two), "operation") == key_of(trace(*two[::-1]), "operation") == "a|b,a|b"


def test_of_equal_names_the_first_counts() -> None:
    """As conditions read attributes."""
    subject = trace(span("s", root=True, attributes={"k": "first"}))
    (context,) = span_contexts(subject.resource_spans)
    context.span.attributes.append(
        trace(span(attributes={"k": "x"})).resource_spans[0].scope_spans[0].spans[0].attributes[0]
    )
    assert key_of(subject, {"root": "k"}) == "first"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        ("1", "1"),
        (True, "true"),
        (None, "null"),
        (b"\x01\xff", "01ff"),
        ([1, "a,b", [True]], '[1\\,"a\\,b"\\,[true]]'),
        ({"a": 1, "b": "c"}, '{"a":1\\,"b":"c"}'),
    ],
)
def test_values_as_text(value: Any, text: str) -> None:
    """Numbers by their digits; lists and maps so that different ones differ."""
    assert key_of(trace(span("s", root=True, attributes={"k": value})), {"any": "k"}) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (100000.0, "100000"),
        (1e6, "1000000"),
        (1e20, "100000000000000000000"),
        (0.00001, "0.00001"),
        (200.7, "200.7"),
        (-0.5, "-0.5"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    """A number is spelt the same way wherever it stands."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("servce", "service"),
        ({"root": "a", "any": "b"}, "exactly one of is, root, any, resource, span_count, duration_ms, not 2"),
        ({}, "not 0"),
        ({"span_count": [10, 10]}, "bounds must rise"),
        ({"root": ""}, "at least 1 character"),
    ],
)
def test_mistakes_in_fields_are_told(field: Any, says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        Dynamic.Config.model_validate({"key": [field], "goal": GOAL})

"""What OTTL conditions become: leaves of the scanner where they mean exactly the same, functions of few fields else."""

from __future__ import annotations

import pytest

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeIn,
    AttributeIs,
    Field,
    FieldsMatch,
    IsRootSpan,
    KindIn,
    NameIn,
    Negated,
    Part,
    SpanCondition,
    SpanDurationInRange,
    StatusIn,
    Where,
)
from policies.ottl import OttlError, compile_list
from policies.ottl.compile import MAX_CONDITIONS
from sampler.otlp import compile_plan

INT64 = (-(2**63), 2**63 - 1)


def compiled(text: str, own: str = "span") -> SpanCondition:
    """The condition of one expression."""
    return compile_list([text], own, strict=False).holds


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ('attributes["a"] == "x"', AttributeIn("a", frozenset({"x"}), Where.SPAN)),
        ('"x" == span.attributes["a"]', AttributeIn("a", frozenset({"x"}), Where.SPAN)),
        ('resource.attributes["a"] != "x"', Negated(AttributeIn("a", frozenset({"x"}), Where.RESOURCE))),
        ('scope.attributes["a"] == true', AttributeIs("a", value=True, where=Where.SCOPE)),
        ('name == "x"', NameIn(frozenset({"x"}))),
        ("kind == SPAN_KIND_CLIENT", KindIn(frozenset({3}))),
        ("status.code == 2", StatusIn(frozenset({2}))),
        ("IsRootSpan()", IsRootSpan()),
        ("IsRootSpan() == false", Negated(IsRootSpan())),
        ('end_time - start_time > Duration("250ms")', SpanDurationInRange(250_000_001, INT64[1], unset_is_zero=True)),
        ('Duration("1s") >= end_time - start_time', SpanDurationInRange(INT64[0], 10**9, unset_is_zero=True)),
        (
            "end_time_unix_nano - start_time_unix_nano < 5",
            SpanDurationInRange(INT64[0], 4, unset_is_zero=True),
        ),
        ('name == "x" and IsRootSpan()', AllOf((NameIn(frozenset({"x"})), IsRootSpan()))),
        ("true", AllOf(())),
        ('name == "x" and false', AnyOf(())),
        ("1 + 1 == 2", AllOf(())),
    ],
)
def test_leaves(text: str, condition: SpanCondition) -> None:
    """A comparison that the scanner can answer becomes its leaf."""
    assert compiled(text) == condition


@pytest.mark.parametrize(
    ("text", "fields", "remember"),
    [
        ('attributes["a"] >= 500', [Field(Part.SPAN_ATTRIBUTE, "a")], True),
        ('attributes["a"] == nil', [Field(Part.SPAN_ATTRIBUTE, "a")], True),
        (
            'attributes["a"] != nil and attributes["b"] == nil',
            [Field(Part.SPAN_ATTRIBUTE, "a"), Field(Part.SPAN_ATTRIBUTE, "b")],
            True,
        ),
        ('HasPrefix(name, "x")', [Field(Part.SPAN_NAME)], True),
        ('scope.name == "x"', [Field(Part.SCOPE)], True),
        ("start_time_unix_nano > 5", [Field(Part.START_TIME)], False),
        ('status.message == "x"', [Field(Part.SPAN)], False),
        ("Len(attributes) > 5", [Field(Part.SPAN)], False),
        ('attributes[name] == "x"', [Field(Part.SPAN), Field(Part.SPAN_NAME)], False),
    ],
)
def test_functions_declare_what_they_read(text: str, fields: list[Field], *, remember: bool) -> None:
    """Everything else is one function of exactly the fields it reads, remembered unless they hardly ever repeat."""
    condition = compiled(text)
    assert isinstance(condition, FieldsMatch)
    assert list(condition.fields) == fields
    assert condition.matcher.remember is remember


def test_equal_conditions_share_one_function() -> None:
    """Two policies with the same condition, spaced differently, share one memo."""
    assert compiled('IsMatch(name,"x")') == compiled(' IsMatch( name, "x" )')
    assert compiled('IsMatch(name, "x")') != compiled('IsMatch(name, "y")')
    assert compiled("Len(name) == 1") != compiled("Len(name) == 1.0")


def test_functions_of_many_fields_stay_apart() -> None:
    """Their answers would be remembered by a combination of values that hardly ever comes again."""
    terms = [f'IsString(attributes["{name}"])' for name in "abcd"]
    condition = compiled(" and ".join(terms))
    assert isinstance(condition, AllOf)
    assert [len(term.fields) for term in condition.terms if isinstance(term, FieldsMatch)] == [3, 1]


def test_an_expression_stays_small_in_the_plan() -> None:
    """Errors below `not` and `or` double conditions at each level; a large expression becomes one function instead."""
    text = 'Len(attributes["a0"]) == 1'
    for number in range(1, 25):
        text = f'not ({text} or name == "{number}" and Len(attributes["a{number}"]) == 1)'
    condition = compiled(text)
    assert isinstance(condition, FieldsMatch)
    assert len(condition.fields) == 26
    compile_plan([condition])


@pytest.mark.parametrize("join", [" or ", " and "])
def test_long_lists_stay_flat(join: str) -> None:
    """Many tests that cannot err are one level, and many that can are within what a plan takes."""
    flat = compiled(join.join(f'name == "{number}"' for number in range(150)))
    assert isinstance(flat, AnyOf | AllOf)
    assert len(flat.terms) == 150
    for own in ("span", "spanevent"):
        terms = (f'span.name == "{number}" or Len(span.attributes["{number}"]) == 1' for number in range(60))
        compile_plan([compiled(join.join(f"({term})" for term in terms), own)])


@pytest.mark.parametrize("text", ["true", "IsString(span.name)", 'resource.attributes["a"] != "x"', "not (1 + 1 == 3)"])
def test_conditions_of_events_need_one(text: str) -> None:
    """A condition of the list `spanevent` is asked per event, also where it names nothing of the event."""
    plan = compile_plan([compiled(text, "spanevent")])
    assert [program.of_event for program in plan.programs] == [True]


@pytest.mark.parametrize(
    ("text", "own", "hint"),
    [
        ("nam == 1", "span", "did you mean 'name'?"),
        ("status.cod == 1", "span", "did you mean 'code'?"),
        ("name.length == 1", "span", "no part 'length'"),
        ('name["x"] == 1', "span", "cannot be indexed"),
        ('resource["x"] == 1', "span", 'resource is a context: write resource.attributes["key"]'),
        ('attributes.tier == "x"', "span", '["tier"]'),
        ('trace_state["a"]["b"] == "x"', "span", "exactly one key"),
        ('spanevent.name == "x"', "span", "list `spanevent`"),
        ("IsRootSpan()", "spanevent", "conditions of events"),
        ('span.cache["x"] == nil', "spanevent", "cannot be read from here"),
        ("otelcol.client.addr == nil", "span", "not known when a trace is decided"),
        ("STATUS_CODE_EROR == 1", "span", "did you mean 'STATUS_CODE_ERROR'?"),
        ('isMatch(name, "x")', "span", "did you mean 'IsMatch'?"),
        ("startTime == 1", "span", "small letters with underscores"),
        ('Ismatch(name, "x")', "span", "did you mean 'IsMatch'?"),
        ("Now() == nil", "span", "could not be repeated"),
        ("UUID() == nil", "span", "could not be repeated"),
        ('IsMatch(name, "[")', "span", "invalid regular expression"),
        ("IsMatch(name)", "span", "pattern is missing: IsMatch(target, pattern)"),
        ('IsMatch(name, "a", "b")', "span", "takes 2 arguments"),
        ('IsMatch(name, patern="a")', "span", "did you mean 'pattern'?"),
        ("HasPrefix(name, 5)", "span", "expected string, got int"),
        ('Concat(name, "")', "span", "list in square brackets"),
        ('Time("1", "%d") == nil', "span", "depend on the clock"),
        ('Decode(name, "klingon") == ""', "span", "not supported"),
        (" or ".join(["IsString(name)"] * 201), "span", "more than 200 calls"),
    ],
)
def test_errors_at_load(text: str, own: str, hint: str) -> None:
    """What is not supported is an error that names it, its place, and what was probably meant."""
    with pytest.raises(OttlError) as caught:
        compile_list([text], own, strict=False)
    assert hint in str(caught.value)


def test_the_number_of_conditions_is_bounded() -> None:
    """A list cannot fill the plan."""
    with pytest.raises(OttlError, match="conditions in one list"):
        compile_list(["true"] * (MAX_CONDITIONS + 1), "span", strict=False)

"""Nothing that a condition or a span can say takes a worker's time, memory or stack."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from policies.conditions import FieldsMatch, Part
from policies.ottl import compile_list
from policies.ottl.decode import MAX_DEPTH, value_of
from policies.ottl.errors import EvaluationError
from policies.ottl.functions.parsing import MAX_JSON_DEPTH
from policies.ottl.functions.strings import MAX_PARTS
from policies.ottl.gotext import MAX_SHORT, MAX_TEXT
from policies.testing import any_value


def function(text: str) -> FieldsMatch:
    """The one function that an expression becomes."""
    condition = compile_list([text], "span", strict=False).holds
    assert isinstance(condition, FieldsMatch)
    return condition


def answer(text: str, value: Any) -> bool:
    """The answer where the one attribute that is read has a value."""
    condition = function(text)
    assert len(condition.fields) == 1
    return condition.matcher.test((any_value(value).SerializeToString(),))


def nested(name: str, depth: int) -> str:
    """A converter of a converter of … an attribute."""
    return f"{name}(" * depth + 'attributes["a"]' + ")" * depth


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"Len({nested('Hex', 30)}) >= 0", "x"),
        (f"Len({nested('Base64Encode', 30)}) >= 0", "x" * 1_000),
        ('Len(Concat([attributes["a"], attributes["a"], attributes["a"]], attributes["a"])) >= 0', "x" * MAX_TEXT),
        ('Len(Split(attributes["a"], ",")) >= 0', "," * MAX_PARTS),
        ('Len(Split(attributes["a"], "")) >= 0', "x" * (MAX_PARTS + 1)),
        ('ConvertCase(attributes["a"], "snake") != ""', "x" * (MAX_SHORT + 1)),
        ('FNV(attributes["a"]) != 0', "x" * (MAX_SHORT + 1)),
        ('Len(ParseJSON(attributes["a"])) >= 0', "[" * (MAX_JSON_DEPTH + 1) + "]" * (MAX_JSON_DEPTH + 1)),
        ('Len(ParseJSON(attributes["a"])) >= 0', '"' + "[" * 100_000),
        ('Len(ParseJSON(attributes["a"])) >= 0', "[" * 1_000_000),
        ('Len(ParseJSON(attributes["a"])) >= 0', json.dumps(["x" * MAX_TEXT])),
        ('Int(attributes["a"]) != nil', "9" * 1_000_000),
        ('ParseInt(attributes["a"], 36) > 0', "z" * 1_000_000),
        ('Double(attributes["a"]) > 0.0', "1" * 1_000_000),
        ('Duration(attributes["a"]) > Duration("0")', "1h" * 1_000_000),
        ('Time(attributes["a"], "%Y-%m-%d %H:%M") != nil', " " * 1_000_000),
    ],
)
def test_growth_is_an_error(text: str, value: str) -> None:
    """What would grow beyond the limits errs, so the condition is false; it is so quickly."""
    assert answer(text, value) is False


@pytest.mark.parametrize(
    "term",
    [
        'String(attributes["a"]) != "x"',
        'attributes["a"] != [1]',
        'Len(Sort(attributes["a"])) > 0',
        'not ContainsValue(attributes["a"], 1)',
    ],
)
def test_work_for_one_span_is_bounded(term: str) -> None:
    """An expression that goes through a large value again and again errs before it takes long."""
    text = " and ".join([term] * 100)
    assert answer(text, ["x" * 10] * 40_000) is False
    assert answer(text, ["x" * 10] * 400) is True


def test_just_inside_the_limits() -> None:
    """The limits themselves are not errors."""
    assert answer('Len(Split(attributes["a"], ",")) == 65536', "," * (MAX_PARTS - 1))
    assert answer('Len(ParseJSON(attributes["a"])) == 1', "[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH)
    assert answer('Len(ParseJSON(attributes["a"])) == 2', json.dumps(["[" * 100, "{"]))
    assert answer('Len(Trim(attributes["a"])) == 1048576', "x" * MAX_TEXT)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*c", "(a?){500}a{500}"])
def test_regular_expressions_take_linear_time(pattern: str) -> None:
    """Patterns that other engines need ages for answer at once, written in the condition or read from the span."""
    text = "a" * 20_000 + "!"
    assert answer(f'IsMatch(attributes["a"], "{pattern}")', text) in (True, False)
    dynamic = function('IsMatch(attributes["a"], attributes["b"])')
    values = (any_value(text).SerializeToString(), any_value(pattern).SerializeToString())
    assert dynamic.matcher.test(values) in (True, False)


@pytest.mark.parametrize("pattern", ["(", "x" * 2_000, "(?:(?:a{1000}){1000}){1000}"])
def test_unusable_patterns_of_spans_err(pattern: str) -> None:
    """A pattern read from a span that cannot be used makes the condition false, also negated."""
    for text in ('IsMatch(attributes["a"], attributes["b"])', 'not IsMatch(attributes["a"], attributes["b"])'):
        values = (any_value("aaa").SerializeToString(), any_value(pattern).SerializeToString())
        assert function(text).matcher.test(values) is False


def deep(levels: int) -> bytes:
    """A list in a list in a list …, as bytes, built by hand because protobuf libraries refuse to."""
    value = AnyValue(int_value=1).SerializeToString()
    for _ in range(levels):
        item = b"\x0a" + varint(len(value)) + value
        value = b"\x2a" + varint(len(item)) + item
    return value


def test_depth_of_values_is_bounded() -> None:
    """Values nested deeper than the limit are errors, not an exhausted stack."""
    value_of(deep(MAX_DEPTH))
    for levels in (MAX_DEPTH + 1, 3_000):
        with pytest.raises(EvaluationError):
            value_of(deep(levels))


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


EXPRESSIONS = [
    'attributes["a"]["b"][0] == ParseJSON(attributes["c"])["d"]',
    "Len(events) + Len(links) + flags > 1 and trace_id == TraceID(name)",
    'not (String(resource.attributes) == scope.version or trace_state["a"] == attributes[name])',
    'Sort(attributes["a"]) == attributes["c"] or IsMap(status.message)',
    "end_time_unix_nano * dropped_links_count / start_time_unix_nano >= -Int(name)",
]


@given(st.sampled_from(EXPRESSIONS), st.lists(st.one_of(st.none(), st.binary(max_size=40)), min_size=20, max_size=20))
@settings(max_examples=300, deadline=None)
def test_functions_answer_for_any_bytes(text: str, blobs: list[bytes | None]) -> None:
    """A function gives a boolean for whatever bytes it is handed."""
    whole = compile_list([text], "span", strict=True)
    found: list[FieldsMatch] = []
    pending: list[Any] = [whole.holds, whole.errs]
    while pending:
        condition = pending.pop()
        if isinstance(condition, FieldsMatch):
            found.append(condition)
        else:
            pending += [*getattr(condition, "terms", ()), *filter(None, [getattr(condition, "term", None)])]
    assert found
    for condition in found:
        numbers = (Part.START_TIME, Part.END_TIME, Part.KIND, Part.STATUS_CODE)
        values = tuple(
            bytes(8) if field.part in numbers else blob
            for field, blob in zip(condition.fields, blobs[: len(condition.fields)], strict=True)
        )
        assert condition.matcher.test(values) in (True, False)

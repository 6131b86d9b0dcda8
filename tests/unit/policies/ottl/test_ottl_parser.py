"""The parser of OTTL: places and hints of its errors, and that it raises nothing else, whatever it is given."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.ottl.errors import OttlError
from policies.ottl.lexer import MAX_LENGTH
from policies.ottl.parser import MAX_NESTING, parse
from policies.ottl.syntax import And, Asked, Comparison, Not, Or

WORDS = [
    "(", ")", "[", "]", "{", "}", ",", ".", ":", "==", "!=", "<", ">=", "=", "=>", "+", "-", "*", "/", "_",
    "and", "or", "not", "nil", "true", "false", '"x"', '"\\', "5", "1.5", ".5", "0x01", "0x1", "name", "attributes",
    'attributes["a"]', "span.", "IsMatch", "IsMatch(", "IsRootSpan()", "STATUS_CODE_OK", "Foo", "target=", "é", "\n",
]  # fmt: skip


def place_of_error(text: str) -> tuple[int, int]:
    """The line and column of the error of a text, those of its start where it is none."""
    try:
        parse(text)
    except OttlError as error:
        return error.line, error.column
    return 1, 1


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
@settings(max_examples=400, deadline=None)
def test_only_its_own_error(text: str) -> None:
    """Any text is parsed, or refused with a place inside it."""
    lines = text.split("\n")
    line, column = place_of_error(text)
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1


@pytest.mark.parametrize("bracket", ["(", "[", "{", '{"a": ', "Len(", "not (", "-(", "name[", "[[", "((1)+"])
def test_nesting_is_bounded(bracket: str) -> None:
    """However deep brackets stand inside one another, the answer is an error, not an exhausted stack."""
    with pytest.raises(OttlError):
        parse(bracket * 1_000)


def test_deepest_nesting_is_parsed() -> None:
    """Brackets up to the limit are fine, and one more is named as the fault."""
    parse("(" * MAX_NESTING + "true" + ")" * MAX_NESTING)
    with pytest.raises(OttlError, match="brackets inside one another"):
        parse("(" * (MAX_NESTING + 1) + "true" + ")" * (MAX_NESTING + 1))


def test_length_is_bounded() -> None:
    """An expression longer than the limit is refused before it is read."""
    with pytest.raises(OttlError, match="longer than"):
        parse('name == "' + "x" * MAX_LENGTH + '"')


def test_long_chains_need_no_stack() -> None:
    """Thousands of terms side by side are one level."""
    chain = parse(" and ".join(["true"] * 1_500))
    assert isinstance(chain, And)
    assert len(chain.terms) == 1_500
    parse("1" + " + 1" * 4_000 + " == 2")


def test_precedence() -> None:
    """`and` binds tighter than `or`, `not` tightest, `*` tighter than `+`."""
    whole = parse("true or not IsRootSpan() and 1 + 2 * 3 == 7")
    assert isinstance(whole, Or)
    second = whole.terms[1]
    assert isinstance(second, And)
    assert isinstance(second.terms[0], Not)
    assert isinstance(second.terms[0].term, Asked)
    assert isinstance(second.terms[1], Comparison)


def test_places_take_no_part_in_equality() -> None:
    """The same condition is the same tree, wherever it stands and however it is spaced."""
    assert parse('name=="x"') == parse('  name  ==\n"x"')
    assert repr(parse("not true")) == repr(parse("not  true"))


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        ('name == "x" nd true', 1, 13, "found 'nd'"),
        ('name == "x" and\n  nope', 2, 7, "comparison operator"),
        ("name = 5", 1, 6, "did you mean '=='?"),
        ("name == 'x'", 1, 9, "double quotes"),
        ("name == 5 && true", 1, 11, "write `and`"),
        ("!IsRootSpan()", 1, 1, "write `not`"),
        ('name == "x', 1, 9, "not closed"),
        ("not not true", 1, 5, "only once"),
        ('set(name, "x")', 1, 1, "no converter"),
        ("IsRootSpan", 1, 1, "IsRootSpan(…)"),
        ('"a" + "b" == "ab"', 1, 5, "Concat"),
        ("(x) => x == 1", 1, 5, "lambda"),
        ("9223372036854775808 == 1", 1, 1, "64 bits"),
        ('name == "\\q"', 1, 10, "unknown escape"),
        ("name == 0x123", 1, 9, "two digits a byte"),
    ],
)
def test_errors_point_at_the_culprit(text: str, line: int, column: int, hint: str) -> None:
    """An error names the line and column, shows the place with a caret, and says what to do."""
    with pytest.raises(OttlError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert hint in str(caught.value)
    excerpt, caret = str(caught.value).split("\n")[-2:]
    shown = text.split("\n")[line - 1]
    assert excerpt == f"  {shown}"
    assert caret.index("^") == column + 1

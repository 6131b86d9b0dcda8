"""The text that is looked for before an expression is tried stands in everything the expression matches."""

from __future__ import annotations

import re

import pytest
import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sampler.redaction.needles import needle_of
from sampler.redaction.regexes import Expression


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        ("token=[^&]+", b"token="),
        (r"a\.b+c", b"a.b"),
        ("(x|yy)z=", b"z="),
        ("^Bearer .*$", b"Bearer "),
        ("abc?d", b"ab"),
        ("ab{2}cd", b"cd"),
        ("[]a]bc[^]x]d", b"bc"),
        ("sk_live_[a-z]+", b"sk_live_"),
        ("é+x", "é".encode()),
        ("a|b", None),
        ("(?i)token", None),
        (r"\x41bc", None),
        (r"\p{Greek}x", None),
        (r"\d{16}", None),
    ],
)
def test_needles_of_known_expressions(pattern: str, needle: bytes | None) -> None:
    """The longest text that must be there, None where an expression tells of none."""
    assert needle_of(pattern) == needle


PARTS = ("a", "b", "é", r"\.", r"\d", "[ab]", "[^a]", "(ab|c)", "(a)", "c*", "c+", "b?", "ab{1,2}", ".")


@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_what_matches_holds_the_needle(pattern: str, data: st.DataObject) -> None:
    """Any text that an expression matches holds its needle."""
    text = data.draw(st.from_regex(re.compile(pattern)))
    needle = needle_of(pattern)
    assert needle is None or needle in text.encode(errors="surrogatepass")


@given(
    st.lists(st.sampled_from((*PARTS, "(?i)x", "^", "$", r"\b")), min_size=1, max_size=6).map("".join),
    st.text(st.sampled_from("abcéX5x. \n"), max_size=12),
    st.binary(max_size=6),
    st.binary(max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_what_is_found_in_a_value_is_never_ruled_out(pattern: str, value: str, before: bytes, after: bytes) -> None:
    """Where an expression is found in a value, it may stand in any bytes that the value stands in."""
    try:
        expression = Expression(pattern)
    except re2.error:
        assume(False)
    for text in (value.encode(), value.encode() + b"\xff", b"\xc3" + value.encode()):
        if expression.found_in(text):
            assert expression.may_stand_in(before + text + after)

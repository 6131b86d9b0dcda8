"""Regular expressions of policies: RE2's, bounded, and never another engine's."""

from __future__ import annotations

import pytest

from policies.regex import MAX_DYNAMIC_PATTERN, MAX_PATTERN, MAX_WORK, Regex, RegexCache, RegexError, regex_matcher


def test_found_anywhere_unless_anchored() -> None:
    """An expression matches inside a text; anchors, flags and classes are RE2's."""
    assert Regex("b+").found_in(b"abbc")
    assert not Regex("^b").found_in(b"abbc")
    assert Regex("(?i)ABB").found_in(b"abbc")
    assert Regex(r"^\p{Greek}+$").found_in("λόγος".encode())
    assert Regex("^.$").found_in("é".encode())


def test_groups_of_the_first_match() -> None:
    """Groups come in order, those that took no part as None; names as they stand in the expression."""
    regex = Regex("(?P<word>[a-z]+)|(?P<number>[0-9]+)()")
    assert regex.names == ("word", "number", "")
    assert regex.groups_in(b"-12") == (None, b"12", b"")
    assert regex.groups_in(b"--") is None


@pytest.mark.parametrize("pattern", ["(", "a**", r"(?=a)", r"(a)\1", "x" * (MAX_PATTERN + 1), "\ud800"])
def test_what_re2_does_not_take(pattern: str) -> None:
    """Invalid expressions, look-around, back-references and overlong ones are errors that say why."""
    with pytest.raises(RegexError) as caught:
        Regex(pattern)
    assert str(caught.value)


def test_work_is_bounded() -> None:
    """A large expression does not search a huge text; a small one does."""
    large, small = Regex("(a?){500}b{500}"), Regex("a+b")
    with pytest.raises(RegexError, match="searches at most"):
        large.found_in(b"a" * (MAX_WORK // 100))
    assert not small.found_in(b"a" * (MAX_WORK // 100))
    assert not large.found_in(b"a" * 1_000)


def test_a_cache_is_bounded_and_remembers_failures() -> None:
    """Expressions computed from spans are compiled once, a bounded number of them is kept, and none is long."""
    cache = RegexCache()
    assert cache.get("a+") is cache.get("a+")
    for number in range(500):
        cache.get(f"a{number}")
    assert len(cache._compiled) <= 64
    for pattern in ("(", "(", "x" * (MAX_DYNAMIC_PATTERN + 1)):
        with pytest.raises(RegexError):
            cache.get(pattern)


def test_matcher_of_several() -> None:
    """Any of the expressions may match; an invalid one is named."""
    matcher = regex_matcher(["^a", "z$"])
    assert [matcher.test(text) for text in ("ab", "yz", "by")] == [True, True, False]
    assert matcher == regex_matcher(["^a", "z$"])
    assert matcher != regex_matcher(["^a"])
    with pytest.raises(ValueError, match=r"invalid regex '\['"):
        regex_matcher(["a", "["])

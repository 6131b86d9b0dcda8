"""Expressions of sets and claims."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.intent import (
    Claim,
    Intent,
    Intersection,
    Slot,
    chosen,
    claims,
    edges,
    first_match,
    first_of,
    intersect,
    invert,
    keep_set,
    may_keep,
    wanted,
)
from policies.rset import ALWAYS, NEVER, SPACE, RSet, contains

CLAIM = Claim("limit", 3)

leaves: st.SearchStrategy[Intent] = st.one_of(
    st.integers(0, SPACE), st.sampled_from([Claim("a", 1), Claim("b", 1), Claim("c", 1)])
)
expressions: st.SearchStrategy[Intent] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(intersect),
        inner.map(invert),
        st.lists(inner, max_size=3).map(lambda terms: first_of([(str(i), term) for i, term in enumerate(terms)])),
        st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda rules: first_match([(str(i), *rule) for i, rule in enumerate(rules)])
        ),
    ),
    max_leaves=8,
)


def test_plain_sets_fold_at_once() -> None:
    """Without a claim, combinators give plain sets: AND the maximum of thresholds, NOT the complement."""
    assert intersect([5, 9, 7]) == 9
    assert intersect([]) == ALWAYS
    assert invert(9) == ((0, 9),)
    assert first_of([("a", NEVER)]) == NEVER


def test_a_claim_that_cannot_matter_is_not_made() -> None:
    """Where another term of the `and` keeps nothing, no tokens are asked for."""
    assert intersect([CLAIM, NEVER]) == NEVER
    assert intersect([CLAIM, ALWAYS]) == CLAIM
    assert intersect([CLAIM, 7]) == Intersection((CLAIM, 7))


@given(expressions, st.fixed_dictionaries({name: st.integers(0, SPACE) for name in "abc"}), st.integers(0, SPACE - 1))
def test_settled_expressions_are_sets(intent: Intent, settled: dict[Slot, RSet], randomness: int) -> None:
    """Once all claims are settled, hope and fear agree with membership in the set."""
    inside = contains(keep_set(intent, settled), randomness)
    assert may_keep(intent, randomness, settled, hope=True) == inside
    assert may_keep(intent, randomness, settled, hope=False) == inside


@given(expressions, st.fixed_dictionaries({name: st.integers(0, SPACE) for name in "abc"}), st.integers(0, SPACE - 1))
def test_hope_bounds_what_will_be_settled(intent: Intent, settled: dict[Slot, RSet], randomness: int) -> None:
    """What no grant can save is never kept, what needs no grant always is, whatever is settled later."""
    inside = contains(keep_set(intent, settled), randomness)
    known: dict[Slot, RSet] = {"a": settled["a"]}
    assert may_keep(intent, randomness, known, hope=True) >= inside >= may_keep(intent, randomness, known, hope=False)


def test_a_choice_names_the_first_that_keeps() -> None:
    """The chosen path follows R through nested choices."""
    intent = first_of([("a", 900), ("b", first_of([("c", 500)]))])
    assert [chosen(intent, randomness) for randomness in (950, 600, 100)] == ["a", "b/c", None]
    assert chosen(ALWAYS, 5) is None


def test_the_first_match_decides_alone() -> None:
    """Rules after the first whose condition keeps R do not count, even where its answer does not keep R."""
    intent = first_match([("a", 900, 950), ("b", 500, first_of([("c", 600)])), ("d", ALWAYS, 800), ("e", ALWAYS, 0)])
    assert keep_set(intent) == ((600, 900), (950, SPACE))
    assert [chosen(intent, randomness) for randomness in (960, 920, 700, 550, 100)] == ["a", None, "b/c", None, None]
    assert set(edges(intent)) == {900, 950, 500, 600, 0, 800, SPACE}
    assert first_match([("never", NEVER, CLAIM)]) == NEVER


def test_a_claim_that_cannot_decide_takes_no_part() -> None:
    """A claim takes part where the other terms of its `and` may keep R and no alternative before it is sure to."""
    other = Claim("other", 1)

    def part(intent: Intent, randomness: int = 100, **settled: int) -> bool:
        return wanted(intent, CLAIM.slot, randomness, dict(settled.items()))

    assert part(CLAIM)
    assert not part(other)
    assert part(intersect([CLAIM, 50]))
    assert not part(intersect([CLAIM, 500]))
    assert not part(intersect([CLAIM, other]), other=500)
    assert part(intersect([CLAIM, invert(other)]), other=50)
    assert not part(first_of([("a", 50), ("b", CLAIM)]))
    assert part(first_of([("a", other), ("b", CLAIM)]), other=50)
    assert part(first_match([("a", 500, 0), ("b", ALWAYS, CLAIM)]))
    assert not part(first_match([("a", 50, 0), ("b", ALWAYS, CLAIM)]))
    assert part(first_match([("a", other, 0), ("b", ALWAYS, CLAIM)]), other=50)
    assert not part(first_match([("a", other, CLAIM)]), other=500)
    assert part(first_match([("a", CLAIM, 0)]))


def test_edges_need_settled_claims() -> None:
    """The answer's breaks are those of its sets; an open claim has none yet."""
    assert set(edges(first_of([("a", 900), ("b", ((1, 3),))]))) == {900, SPACE, 1, 3}
    with pytest.raises(ValueError, match="before it is settled"):
        list(edges(invert(CLAIM)))


def test_claims_are_found_wherever_they_stand() -> None:
    """Every claim of an expression is listed in order."""
    other = Claim("other", 1)
    assert list(claims(intersect([7, invert(CLAIM), first_of([("x", 5), ("y", other)])]))) == [CLAIM, other]

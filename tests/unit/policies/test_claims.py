"""Sharing out tokens."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from policies.claims import Admission, Candidate, admit
from policies.intent import Claim
from policies.rset import ALWAYS, NEVER, SPACE, contains, measure

costs_and_r = st.lists(
    st.tuples(st.integers(0, SPACE - 1), st.integers(0, 12)), max_size=12, unique_by=lambda pair: pair[0]
)


def candidates(pairs: list[tuple[int, int]]) -> list[Candidate]:
    """Candidates of (R, cost)."""
    return [Candidate(randomness, Claim("limit", cost)) for randomness, cost in pairs]


def granted(admission: Admission, candidate: Candidate) -> bool:
    """Whether the candidate got its tokens."""
    keep = admission.keep(candidate.claim, candidate.randomness, candidate=True)
    return contains(keep, candidate.randomness)


def test_admits_from_the_top_until_the_first_that_does_not_fit() -> None:
    """T is that one's R + 1, and smaller traces below it get nothing although they would fit."""
    admission = admit(candidates([(900, 4), (800, 3), (700, 5), (600, 1)]), tokens=10, burst=10)
    assert (admission.threshold, admission.spent) == (701, 7)
    assert admission.keep(Claim("limit", 4), 900, candidate=True) == 701


def test_everything_fits() -> None:
    """T is 0 when all fit, so that nobody's weight rises."""
    admission = admit(candidates([(1, 4), (2, 6)]), tokens=10, burst=10)
    assert (admission.threshold, admission.spent) == (ALWAYS, 10)


def test_what_never_fits_blocks_nobody() -> None:
    """A candidate dearer than the tokens or the burst keeps no R, and the others share as if it were not there."""
    admission = admit(candidates([(900, 11), (800, 10)]), tokens=10, burst=20)
    assert admission.keep(Claim("limit", 11), 900, candidate=True) == NEVER
    assert admission.keep(Claim("limit", 10), 800, candidate=True) == ALWAYS
    assert admit(candidates([(900, 5)]), tokens=10, burst=4).spent == 0


def test_equal_randomness_is_left_out_together() -> None:
    """Two traces of one R are kept or dropped together."""
    admission = admit(candidates([(900, 1), (800, 1), (800, 1)]), tokens=2, burst=2)
    assert (admission.threshold, admission.spent) == (801, 1)


def test_debt_is_for_the_topmost_only() -> None:
    """With debt a trace dearer than the tokens may be kept alone, if it is on top and costs no more than the burst."""
    admission = admit(candidates([(900, 8), (800, 1)]), tokens=3, burst=10, debt=True)
    assert (admission.threshold, admission.spent) == (801, 8)
    admission = admit(candidates([(900, 1), (800, 8), (700, 1)]), tokens=3, burst=10, debt=True)
    assert (admission.threshold, admission.spent) == (801, 1)
    assert admission.keep(Claim("limit", 8), 800, candidate=True) == 901
    assert admit(candidates([(900, 11)]), tokens=3, burst=10, debt=True).spent == 0
    for tokens in (0, -3):
        assert admit(candidates([(900, 1)]), tokens=tokens, burst=10, debt=True).spent == 0


@given(costs_and_r, st.integers(-5, 40), st.integers(0, 15))
def test_debt_never_exceeds_the_burst(pairs: list[tuple[int, int]], tokens: int, burst: int) -> None:
    """The granted costs add up to what is spent; more than the tokens is spent only on one trace by itself."""
    pool = candidates(pairs)
    admission = admit(pool, tokens, burst, debt=True)
    kept = [candidate for candidate in pool if granted(admission, candidate)]
    assert sum(candidate.cost for candidate in kept) == admission.spent
    assert all(candidate.cost <= burst for candidate in kept)
    if admission.spent > max(tokens, 0):
        assert len([candidate for candidate in kept if candidate.cost]) == 1


@given(costs_and_r, st.integers(0, 40), st.integers(0, 15))
def test_never_spends_more_than_there_is(pairs: list[tuple[int, int]], tokens: int, burst: int) -> None:
    """The granted costs add up to what is spent, which is at most the tokens; no grant exceeds the burst."""
    pool = candidates(pairs)
    admission = admit(pool, tokens, burst)
    kept = [candidate for candidate in pool if granted(admission, candidate)]
    assert sum(candidate.cost for candidate in kept) == admission.spent <= tokens
    assert all(candidate.cost <= burst for candidate in kept)


@given(costs_and_r.filter(bool), st.integers(-1, 40), st.integers(1, 15), st.integers(0, SPACE - 1), st.booleans())
def test_the_set_says_for_which_r_a_trace_would_have_been_granted(
    pairs: list[tuple[int, int]], tokens: int, burst: int, elsewhere: int, debt: bool
) -> None:
    """With all others as they are, a trace is granted exactly for the R in its set: that is what makes 1/p exact."""
    (_, cost), *others = pairs
    if elsewhere in {randomness for randomness, _ in others}:
        return
    claim = Claim("limit", cost)
    keep = admit(candidates(pairs), tokens, burst, debt=debt).keep(claim, pairs[0][0], candidate=True)
    moved = candidates([(elsewhere, cost), *others])
    assert granted(admit(moved, tokens, burst, debt=debt), moved[0]) == contains(keep, elsewhere)
    bystander = admit(candidates(others), tokens, burst, debt=debt).keep(claim, pairs[0][0], candidate=False)
    assert bystander == keep


def test_weights_are_unbiased() -> None:
    """The sum of 1/p over the granted estimates the number of candidates, and of their spans, over many seeds."""
    rounds, traces, spans = 4000, 0.0, 0.0
    costs = [1, 1, 2, 3, 5, 8, 1, 4]
    for seed in range(rounds):
        draw = random.Random(seed)
        pool = candidates([(draw.getrandbits(56), cost) for cost in costs])
        admission = admit(pool, tokens=9, burst=9)
        for candidate in pool:
            keep = admission.keep(candidate.claim, candidate.randomness, candidate=True)
            if contains(keep, candidate.randomness):
                weight = SPACE / measure(keep)
                traces += weight
                spans += weight * candidate.cost
    assert abs(traces / rounds / len(costs) - 1) < 0.02
    assert abs(spans / rounds / sum(costs) - 1) < 0.03

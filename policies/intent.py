"""What a policy answers: the set of R for which it keeps the trace, or an expression that still holds claims.

A `Claim` asks a limiter for tokens; which R it keeps is known only when all traces of the tick have been asked. The
combinators fold plain sets at once and build an expression only around a claim or around a choice of sub-policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policies.rset import ALWAYS, NEVER, RSet, complement, contains, difference, intersection, intervals, union


@dataclass(frozen=True, slots=True)
class Claim:
    """Wants `cost` tokens of the limiter at `path`; `key` is for limiters that keep several budgets."""

    path: str
    cost: float
    key: str = ""

    @property
    def slot(self) -> Slot:
        """Which budget is asked: a trace's claims of one slot are one claim."""
        return (self.path, self.key) if self.key else self.path


@dataclass(frozen=True, slots=True)
class Intersection:
    """R that every term keeps."""

    terms: tuple[Intent, ...]


@dataclass(frozen=True, slots=True)
class Complement:
    """R that the term does not keep."""

    term: Intent


@dataclass(frozen=True, slots=True)
class FirstOf:
    """R that any term keeps; the first such term, by name, is the one that decides."""

    terms: tuple[tuple[str, Intent], ...]


@dataclass(frozen=True, slots=True)
class FirstMatch:
    """Rules (name, condition, answer): the first whose condition keeps R decides alone, by its answer."""

    rules: tuple[tuple[str, Intent, Intent], ...]


Intent: TypeAlias = RSet | Claim | Intersection | Complement | FirstOf | FirstMatch
Slot: TypeAlias = str | tuple[str, str]
"""Path of a limiter, with the key where it keeps several budgets."""
Settled: TypeAlias = Mapping[Slot, RSet]
"""Sets of the claims of one trace that have been settled."""

NOTHING_SETTLED: Settled = {}


def intersect(terms: Iterable[Intent]) -> Intent:
    """`and`: the R that all terms keep."""
    plain: RSet = ALWAYS
    open_terms: list[Intent] = []
    for term in terms:
        if isinstance(term, int | tuple):
            plain = intersection(plain, term)
        else:
            open_terms.append(term)
    if not open_terms or plain == NEVER:
        return plain
    if plain == ALWAYS and len(open_terms) == 1:
        return open_terms[0] if isinstance(open_terms[0], Claim) else Intersection(tuple(open_terms))
    return Intersection((*open_terms, plain))


def invert(term: Intent) -> Intent:
    """`not`: the R that the term does not keep."""
    return complement(term) if isinstance(term, int | tuple) else Complement(term)


def first_of(terms: Sequence[tuple[str, Intent]]) -> Intent:
    """A choice: the R that any term keeps, with the first one recorded as the decider."""
    live = tuple((name, term) for name, term in terms if term != NEVER)
    return FirstOf(live) if live else NEVER


def first_match(rules: Iterable[tuple[str, Intent, Intent]]) -> Intent:
    """Rules (name, condition, answer), of which the first whose condition keeps R decides by its answer.

    R that no condition keeps is not kept. A rule that decides is recorded only where its answer keeps R.
    """
    live: list[tuple[str, Intent, Intent]] = []
    for rule in rules:
        if rule[1] != NEVER:
            live.append(rule)
        if rule[1] == ALWAYS:
            break
    return FirstMatch(tuple(live)) if live else NEVER


def claims(intent: Intent) -> Iterator[Claim]:
    """Every claim inside an intent, in order."""
    match intent:
        case Claim():
            yield intent
        case Intersection(terms):
            for term in terms:
                yield from claims(term)
        case Complement(term):
            yield from claims(term)
        case FirstOf(named):
            for _, term in named:
                yield from claims(term)
        case FirstMatch(rules):
            for _, condition, answer in rules:
                yield from claims(condition)
                yield from claims(answer)


def keep_set(  # noqa: PLR0911 - one line a kind of intent
    intent: Intent, settled: Settled = NOTHING_SETTLED
) -> RSet:
    """The set of R of an intent; KeyError where a claim inside has not been settled."""
    if isinstance(intent, int):
        return intent
    match intent:
        case Claim():
            return settled[intent.slot]
        case Intersection(terms):
            keep: RSet = ALWAYS
            for term in terms:
                keep = intersection(keep, keep_set(term, settled))
            return keep
        case Complement(term):
            return complement(keep_set(term, settled))
        case FirstOf(named):
            keep = NEVER
            for _, term in named:
                keep = union(keep, keep_set(term, settled))
            return keep
        case FirstMatch(rules):
            return _first_match_set(rules, settled)
        case _:
            return intent


def _first_match_set(rules: Sequence[tuple[str, Intent, Intent]], settled: Settled) -> RSet:
    keep: RSet = NEVER
    undecided: RSet = ALWAYS
    for _, condition, answer in rules:
        decides = intersection(undecided, keep_set(condition, settled))
        keep = union(keep, intersection(decides, keep_set(answer, settled)))
        undecided = difference(undecided, decides)
    return keep


def may_keep(intent: Intent, randomness: int, settled: Settled, *, hope: bool = True) -> bool:
    """Whether R is kept if every claim that is still open keeps it (`hope`) or none does (not `hope`)."""
    return bounds(intent, randomness, settled)[hope]


def bounds(  # noqa: PLR0911 - one line a kind of intent
    intent: Intent, randomness: int, settled: Settled
) -> tuple[bool, bool]:
    """(whether R is sure to be kept, whether it may be), whatever the claims that are still open turn out to keep."""
    if isinstance(intent, int):
        kept = randomness >= intent
        return kept, kept
    match intent:
        case Claim():
            if intent.slot not in settled:
                return False, True
            kept = contains(settled[intent.slot], randomness)
            return kept, kept
        case Intersection(terms):
            parts = [bounds(term, randomness, settled) for term in terms]
            return all(sure for sure, _ in parts), all(may for _, may in parts)
        case Complement(term):
            sure, may = bounds(term, randomness, settled)
            return not may, not sure
        case FirstOf(named):
            parts = [bounds(term, randomness, settled) for _, term in named]
            return any(sure for sure, _ in parts), any(may for _, may in parts)
        case FirstMatch(rules):
            return _first_match_bounds(rules, randomness, settled)
        case _:
            kept = contains(intent, randomness)
            return kept, kept


def _first_match_bounds(
    rules: Sequence[tuple[str, Intent, Intent]], randomness: int, settled: Settled
) -> tuple[bool, bool]:
    """Goes through the rules that may decide, up to the first that is sure to, if an earlier one does not."""
    all_keep, one_may = True, False
    for _, condition, answer in rules:
        decides, may_decide = bounds(condition, randomness, settled)
        if may_decide:
            sure, may = bounds(answer, randomness, settled)
            all_keep, one_may = all_keep and sure, one_may or may
        if decides:
            return all_keep, one_may
    return False, one_may


def wanted(  # noqa: PLR0911, PLR0912 - one line a kind of intent
    intent: Intent, slot: Slot, randomness: int, settled: Settled
) -> bool:
    """Whether the claim of `slot` takes part: the other terms of its `and`s keep R, no earlier alternative is sure to.

    Only for the terms of an `and` does it count what other claims were granted. Elsewhere a claim is taken as open:
    who takes part must not depend on grants that another trace would get for one R and not for another one for which
    it is kept as well, or the sets of R would not be exact.
    """
    if isinstance(intent, int):
        return False
    match intent:
        case Claim():
            return intent.slot == slot
        case Intersection(terms):
            return any(
                wanted(term, slot, randomness, settled)
                and all(
                    _lets_through(other, randomness, settled) for place, other in enumerate(terms) if place != index
                )
                for index, term in enumerate(terms)
            )
        case Complement(term):
            return wanted(term, slot, randomness, settled)
        case FirstOf(named):
            for _, term in named:
                if wanted(term, slot, randomness, settled):
                    return True
                if bounds(term, randomness, NOTHING_SETTLED)[0]:
                    return False
            return False
        case FirstMatch(rules):
            for _, condition, answer in rules:
                if wanted(condition, slot, randomness, settled):
                    return True
                if wanted(answer, slot, randomness, settled) and _lets_through(condition, randomness, settled):
                    return True
                if bounds(condition, randomness, NOTHING_SETTLED)[0]:
                    return False
            return False
        case _:
            return False


def _lets_through(term: Intent, randomness: int, settled: Settled) -> bool:
    """Whether a term of an `and` may keep R: of claims that are terms themselves, what they were granted counts."""
    match term:
        case Claim():
            return bounds(term, randomness, settled)[1]
        case Intersection(terms):
            return all(_lets_through(each, randomness, settled) for each in terms)
        case _:
            return bounds(term, randomness, NOTHING_SETTLED)[1]


def chosen(intent: Intent, randomness: int, settled: Settled = NOTHING_SETTLED) -> str | None:
    """The path of the sub-policy that keeps R, below a policy that picks one; None for all others."""
    match intent:
        case FirstOf(named):
            for name, term in named:
                if contains(keep_set(term, settled), randomness):
                    below = chosen(term, randomness, settled)
                    return name if below is None else f"{name}/{below}"
        case FirstMatch(rules):
            for name, condition, answer in rules:
                if contains(keep_set(condition, settled), randomness):
                    if not contains(keep_set(answer, settled), randomness):
                        return None
                    below = chosen(answer, randomness, settled) or chosen(condition, randomness, settled)
                    return name if below is None else f"{name}/{below}"
    return None


def edges(intent: Intent) -> Iterator[int]:
    """Every R at which the answer of a settled intent, or its decider, may change."""
    match intent:
        case Claim():
            raise ValueError("a claim has no edges before it is settled")
        case Intersection(terms):
            for term in terms:
                yield from edges(term)
        case Complement(term):
            yield from edges(term)
        case FirstOf(named):
            for _, term in named:
                yield from edges(term)
        case FirstMatch(rules):
            for _, condition, answer in rules:
                yield from edges(condition)
                yield from edges(answer)
        case _:
            for low, high in intervals(intent):
                yield low
                yield high

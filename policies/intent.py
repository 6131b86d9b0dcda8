"""What a policy answers: the set of R for which it keeps the trace, or an expression that still holds claims.

A `Claim` asks a limiter for tokens; which R it keeps is known only when all traces of the tick have been asked. The
combinators fold plain sets at once and build an expression only around a claim or around a choice of sub-policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from policies.rset import ALWAYS, NEVER, RSet, complement, contains, intersection, intervals, union


@dataclass(frozen=True, slots=True)
class Claim:
    """Wants `cost` tokens of the limiter at `path`; `key` is for limiters that keep several budgets."""

    path: str
    cost: float
    key: str = ""


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


Intent: TypeAlias = RSet | Claim | Intersection | Complement | FirstOf
Settled: TypeAlias = Mapping[str, RSet]
"""Sets of the claims of one trace that have been settled, by limiter path."""

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


def keep_set(intent: Intent, settled: Settled = NOTHING_SETTLED) -> RSet:
    """The set of R of an intent; KeyError where a claim inside has not been settled."""
    match intent:
        case Claim(path):
            return settled[path]
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
        case _:
            return intent


def may_keep(intent: Intent, randomness: int, settled: Settled, *, hope: bool = True) -> bool:
    """Whether R is kept if every claim that is still open keeps it (`hope`) or none does (not `hope`)."""
    match intent:
        case Claim(path):
            return contains(settled[path], randomness) if path in settled else hope
        case Intersection(terms):
            return all(may_keep(term, randomness, settled, hope=hope) for term in terms)
        case Complement(term):
            return not may_keep(term, randomness, settled, hope=not hope)
        case FirstOf(named):
            return any(may_keep(term, randomness, settled, hope=hope) for _, term in named)
        case _:
            return contains(intent, randomness)


def wanted(  # noqa: PLR0911 - one line a kind of intent
    intent: Intent, path: str, randomness: int, settled: Settled
) -> bool:
    """Whether the claim at `path` decides: the other terms of its `and`s keep R, no earlier alternative does."""
    match intent:
        case Claim():
            return intent.path == path
        case Intersection(terms):
            return any(
                wanted(term, path, randomness, settled)
                and all(may_keep(other, randomness, settled) for place, other in enumerate(terms) if place != index)
                for index, term in enumerate(terms)
            )
        case Complement(term):
            return wanted(term, path, randomness, settled)
        case FirstOf(named):
            for _, term in named:
                if wanted(term, path, randomness, settled):
                    return True
                if may_keep(term, randomness, settled, hope=False):
                    return False
            return False
        case _:
            return False


def chosen(intent: Intent, randomness: int, settled: Settled = NOTHING_SETTLED) -> str | None:
    """The path of the sub-policy that keeps R, below a policy that picks one; None for all others."""
    if not isinstance(intent, FirstOf):
        return None
    for name, term in intent.terms:
        if contains(keep_set(term, settled), randomness):
            below = chosen(term, randomness, settled)
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
        case _:
            for low, high in intervals(intent):
                yield low
                yield high

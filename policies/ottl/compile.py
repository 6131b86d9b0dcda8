"""From lists of OTTL conditions to conditions that the scanner evaluates while spans arrive.

Each test is either a leaf the scanner knows, or a function of the bytes of the fields it reads. An evaluation has three
outcomes, true, false and error, and an error is false for the condition as a whole, also below `not`. So for a tree of
tests two conditions are made where they are needed, *holds* and *fails* (false, without an error):

    holds(not a)   = fails(a)                            fails(not a)   = holds(a)
    holds(a and b) = holds(a) and holds(b)               fails(a and b) = fails(a) or (holds(a) and fails(b))
    holds(a or b)  = holds(a) or (fails(a) and holds(b)) fails(a or b)  = fails(a) and fails(b)

Where a cannot err, fails(a) is the negation of holds(a). Neighbouring functions of few fields become one, and a tree
whose conditions would grow large becomes one function as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.conditions import (
    AllOf,
    AnyOf,
    Field,
    FieldsMatch,
    FieldsMatcher,
    Negated,
    Part,
    SpanCondition,
)
from policies.ottl.build import Builder
from policies.ottl.errors import EvaluationError, OttlError
from policies.ottl.events import on_an_event
from policies.ottl.frame import Frame
from policies.ottl.lower import (
    AllTests,
    AnyTest,
    Known,
    Leaf,
    Opposite,
    Tests,
    answer,
    fields_of,
    is_sure,
    joined,
    lowered,
    says,
)
from policies.ottl.parser import parse

MAX_SHARED_FIELDS = 3
"""Fields of functions that become one: their answers are remembered by the combination of values."""
MAX_PARTS = 200
MAX_DEPTH = 40
"""Parts, and levels, of the condition made of one expression; beyond, the expression becomes one function."""
MAX_CONDITIONS = 100
"""Conditions in one list."""
_NEVER_REPEAT = frozenset({Part.START_TIME, Part.END_TIME, Part.SPAN, Part.EVENT})
_ALWAYS, _NEVER = AllOf(()), AnyOf(())


@dataclass(frozen=True, slots=True)
class Compiled:
    """A list of conditions: where one of them holds, and where one errs before any holds (None: nowhere)."""

    holds: SpanCondition
    errs: SpanCondition | None
    failing: tuple[str, ...] = ()
    """Conditions that err, or are false, for every span, whatever it holds: they cannot be meant."""


class _TooManyPartsError(Exception):
    """The conditions of an expression grow too large."""


def compile_list(expressions: Sequence[str], own: str, *, strict: bool) -> Compiled:
    """The conditions of one list; `own` is "span" or "spanevent". Raises OttlError.

    In a strict list a condition that errs ends the evaluation for that span or event; else it counts as false there
    and the next one is asked.
    """
    if len(expressions) > MAX_CONDITIONS:
        raise OttlError(f"more than {MAX_CONDITIONS} conditions in one list", expressions[MAX_CONDITIONS], 0)
    trees = [lowered(parse(expression), Builder(expression, own)) for expression in expressions]
    failing = tuple(text for text, tree in zip(expressions, trees, strict=True) if _outcome(tree) in (False, None))
    if strict:
        whole = joined(trees, every=False)
        holds = condition_of(whole, own, expected=True)
        errs: SpanCondition | None = None
        if not is_sure(whole):
            raw_fails = condition_of(whole, own, expected=False)
            errs = AllOf((Negated(holds), Negated(raw_fails)))
    else:
        each = [condition_of(tree, own, expected=True) for tree in trees]
        holds = each[0] if len(each) == 1 else AnyOf(tuple(each))
        errs = None
    if own == "spanevent":
        holds = on_an_event(holds)
        errs = None if errs is None else on_an_event(errs)
    return Compiled(holds, errs, failing)


def condition_of(tests: Tests, own: str, *, expected: bool) -> SpanCondition:
    """The condition that tests answer `expected`, without an error."""
    grouped = _grouped(tests)
    try:
        condition = _Maker(own).made(grouped, expected=expected)
    except _TooManyPartsError:
        condition = None
    if condition is None or _depth(condition) > MAX_DEPTH:
        return _function(_merged([tests], tests), own, expected=expected)
    return condition


class _Maker:
    """Makes the condition of one tree, up to a number of parts."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._parts = 0

    def made(self, tests: Tests, *, expected: bool) -> SpanCondition:
        """The condition that tests answer `expected`."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _TooManyPartsError
        match tests:
            case Known(known):
                return _ALWAYS if known is expected else _NEVER
            case Leaf():
                return _leaf(tests, self._own, expected=expected)
            case Opposite(term):
                return self.made(term, expected=not expected)
            case AllTests(terms):
                return self._all(terms) if expected else self._one_fails(terms)
            case AnyTest(terms):
                return self._one_holds(terms) if expected else self._none(terms)

    def _all(self, terms: Sequence[Tests]) -> SpanCondition:
        return AllOf(tuple(self.made(term, expected=True) for term in terms))

    def _none(self, terms: Sequence[Tests]) -> SpanCondition:
        return AllOf(tuple(self.made(term, expected=False) for term in terms))

    def _one_holds(self, terms: Sequence[Tests]) -> SpanCondition:
        return self._first(terms, wanted=True)

    def _one_fails(self, terms: Sequence[Tests]) -> SpanCondition:
        return self._first(terms, wanted=False)

    def _first(self, terms: Sequence[Tests], *, wanted: bool) -> SpanCondition:
        """One term answers `wanted`, and all before it the opposite, without an error."""
        *before, last = terms
        ways = [self.made(last, expected=wanted)]
        for term in reversed(before):
            if not is_sure(term):
                ways = [AllOf((self.made(term, expected=not wanted), _any(ways)))]
            ways.insert(0, self.made(term, expected=wanted))
        return _any(ways)


def _any(ways: Sequence[SpanCondition]) -> SpanCondition:
    return ways[0] if len(ways) == 1 else AnyOf(tuple(ways))


def _depth(condition: SpanCondition) -> int:
    match condition:
        case AllOf(terms) | AnyOf(terms):
            return 1 + max(map(_depth, terms), default=0)
        case Negated(term):
            return 1 + _depth(term)
        case _:
            return 1


def _leaf(leaf: Leaf, own: str, *, expected: bool) -> SpanCondition:
    if leaf.native is not None:
        return leaf.native if expected else Negated(leaf.native)
    if not leaf.fields:
        return _ALWAYS if _outcome(leaf) is expected else _NEVER
    if leaf.sure and not expected:
        return Negated(_function(leaf, own, expected=True))
    return _function(leaf, own, expected=expected)


def _outcome(tests: Tests) -> bool | str | None:
    """True, False or None (an error) where tests read nothing, "" where it depends on the span."""
    if fields_of(tests):
        return ""
    try:
        return answer(tests, Frame((), ()))
    except EvaluationError:
        return None


def _function(leaf: Leaf, own: str, *, expected: bool) -> FieldsMatch:
    fields = tuple(sorted(leaf.fields, key=lambda field: (field.part.value, field.key)))
    test = leaf.test

    def matches(values: tuple[bytes | None, ...]) -> bool:
        try:
            return test(Frame(fields, values)) is expected
        except EvaluationError:
            return False

    remember = not any(field.part in _NEVER_REPEAT for field in fields)
    return FieldsMatch(fields, FieldsMatcher(f"OTTL {own} {expected} {leaf.says}", matches, remember))


def _grouped(tests: Tests) -> Tests:
    """The same tests, with neighbouring functions of few fields as one."""
    match tests:
        case Opposite(term):
            inner = _grouped(term)
            return _merged([inner], Opposite(inner)) if _is_function(inner) else Opposite(inner)
        case AllTests(terms) | AnyTest(terms):
            kind = type(tests)
            runs: list[list[Tests]] = []
            for term in map(_grouped, terms):
                if runs and _fit([*runs[-1], term]):
                    runs[-1].append(term)
                else:
                    runs.append([term])
            merged: list[Tests] = [run[0] if len(run) == 1 else _merged(run, kind(tuple(run))) for run in runs]
            return merged[0] if len(merged) == 1 else kind(tuple(merged))
        case _:
            return tests


def _is_function(tests: Tests) -> bool:
    return isinstance(tests, Leaf) and tests.native is None


def _fit(terms: Sequence[Tests]) -> bool:
    """Whether terms are better asked by one function."""
    if not all(map(_is_function, terms)):
        return False
    fields = frozenset[Field]().union(*map(fields_of, terms))
    fleeting = {any(field.part in _NEVER_REPEAT for field in fields_of(term)) for term in terms}
    return len(fleeting) == 1 and len(fields) <= MAX_SHARED_FIELDS


def _merged(terms: Sequence[Tests], whole: Tests) -> Leaf:
    fields = frozenset[Field]().union(*map(fields_of, terms))
    return Leaf(says(whole), lambda frame: answer(whole, frame), fields, is_sure(whole))

"""From the tree of a condition to a tree of tests, with constants folded as the Collector folds them.

Folding matters: `x and false` is false in the Collector even where x would err.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from policies.conditions import Field, IsRootSpan, SpanCondition
from policies.ottl.build import Builder
from policies.ottl.errors import EvaluationError
from policies.ottl.frame import Frame
from policies.ottl.kinds import type_name
from policies.ottl.native import native_comparison
from policies.ottl.syntax import And, Asked, Comparison, Condition, Constant, Not, Or
from policies.ottl.values import comparison

Test = Callable[[Frame], bool]
"""Answers, or raises EvaluationError."""


@dataclass(frozen=True, slots=True)
class Known:
    """A condition with one answer for every span."""

    answer: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A test of some fields, known by what it says. `native` is the condition that answers exactly the same, if any."""

    says: str
    test: Test
    fields: frozenset[Field]
    sure: bool
    native: SpanCondition | None = None


@dataclass(frozen=True, slots=True)
class AllTests:
    """Every one holds; those after the first that does not are not asked."""

    terms: tuple[Tests, ...]


@dataclass(frozen=True, slots=True)
class AnyTest:
    """One holds; those after it are not asked."""

    terms: tuple[Tests, ...]


@dataclass(frozen=True, slots=True)
class Opposite:
    """The term does not hold; where it errs, so does this."""

    term: Tests


Tests: TypeAlias = Known | Leaf | AllTests | AnyTest | Opposite


def lowered(node: Condition, builder: Builder) -> Tests:
    """The tests of a condition; raises OttlError."""
    match node:
        case Constant(value):
            return Known(value)
        case Comparison():
            return _comparison(node, builder)
        case Asked():
            return _asked(node, builder)
        case Not(term):
            return _opposite(lowered(term, builder))
        case And(terms):
            return joined([lowered(term, builder) for term in terms], every=True)
        case Or(terms):
            return joined([lowered(term, builder) for term in terms], every=False)


def joined(terms: Sequence[Tests], *, every: bool) -> Tests:
    """`and` (every) or `or` of several; one constant can decide alone, others fall away."""
    rest = []
    for term in terms:
        if isinstance(term, Known):
            if term.answer is not every:
                return term
        else:
            rest.append(term)
    if not rest:
        return Known(every)
    if len(rest) == 1:
        return rest[0]
    return AllTests(tuple(rest)) if every else AnyTest(tuple(rest))


def _opposite(term: Tests) -> Tests:
    return Known(not term.answer) if isinstance(term, Known) else Opposite(term)


def _comparison(node: Comparison, builder: Builder) -> Tests:
    left, right = builder.value(node.left), builder.value(node.right)
    compare = comparison(node.operator)
    if left.literal and right.literal:
        return Known(compare(left.value, right.value))
    get_left, get_right = left.get, right.get

    def test(frame: Frame) -> bool:
        sides = (get_left(frame), get_right(frame))
        frame.spend(sides)
        return compare(*sides)

    return Leaf(
        repr(node),
        test,
        left.fields | right.fields,
        left.sure and right.sure,
        native_comparison(node, builder.own),
    )


def _asked(node: Asked, builder: Builder) -> Tests:
    getter = builder.call(node.call)
    get = getter.get
    native = IsRootSpan() if node.call.name == "IsRootSpan" and not node.call.keys else None
    return Leaf(repr(node), lambda frame: _boolean(get(frame)), getter.fields, getter.sure, native)


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise EvaluationError(f"a converter that stands as a condition gave {type_name(value)}, not a boolean")
    return value


def answer(tests: Tests, frame: Frame) -> bool:
    """What tests answer for a span, in the Collector's order; raises EvaluationError."""
    match tests:
        case Known(known):
            return known
        case Leaf():
            return tests.test(frame)
        case AllTests(terms):
            return all(answer(term, frame) for term in terms)
        case AnyTest(terms):
            return any(answer(term, frame) for term in terms)
        case Opposite(term):
            return not answer(term, frame)


def says(tests: Tests) -> str:
    """What tests say: equal texts mean equal answers."""
    match tests:
        case Leaf():
            return tests.says
        case AllTests(terms) | AnyTest(terms):
            return f"{type(tests).__name__}({', '.join(map(says, terms))})"
        case Opposite(term):
            return f"Opposite({says(term)})"
        case Known():
            return repr(tests)


def fields_of(tests: Tests) -> frozenset[Field]:
    """All fields that tests may read."""
    match tests:
        case Known():
            return frozenset()
        case Leaf():
            return tests.fields
        case AllTests(terms) | AnyTest(terms):
            return frozenset[Field]().union(*map(fields_of, terms))
        case Opposite(term):
            return fields_of(term)


def is_sure(tests: Tests) -> bool:
    """Whether tests never err."""
    match tests:
        case Known():
            return True
        case Leaf():
            return tests.sure
        case AllTests(terms) | AnyTest(terms):
            return all(map(is_sure, terms))
        case Opposite(term):
            return is_sure(term)

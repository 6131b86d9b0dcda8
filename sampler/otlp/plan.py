"""The scan plan: the span conditions of all policies as numbered leaf tests and small programs over their answers.

Leaf i owns bit i of the scratch registers. A condition that is one leaf of a span gets the leaf with its own number,
so that its answer is copied with a mask; any other condition is a program. A program that mentions event leaves is run
once per event, the others once per span.

A program works on one answer. It loads the answer of a leaf, negates it, or leaves out the rest of an `AllOf` (of an
`AnyOf`) once the answer is no (yes). So the terms that Python must be asked for stand last and are asked only where
they matter; a program is not run for a trace that has its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from policies.conditions import AllOf, AnyOf, Negated, SpanCondition, SpanLeaf
from sampler.otlp.errors import PlanError
from sampler.otlp.leaves import Kind, Leaf, leaf_of
from sampler.otlp.memo import FieldsMemo, Memo

MAX_CONDITIONS = 256
MAX_LEAVES = 512
MAX_DEPTH = 60

# Instructions of a program. Numbers below MAX_LEAVES load the answer of that leaf. The two that skip are followed by
# the number of code positions to leave out, counted from behind it, where the answer is no (yes).
NOT, TRUE, FALSE, SKIP_IF_NO, SKIP_IF_YES = range(MAX_LEAVES, MAX_LEAVES + 5)


@dataclass(frozen=True, slots=True)
class Program:
    """Code whose last answer is that of condition `condition`."""

    condition: int
    of_event: bool
    code: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScanPlan:
    """What a scanner evaluates; immutable but for the memos of its matchers."""

    conditions: tuple[SpanCondition, ...]
    leaves: tuple[Leaf | None, ...]
    identity: int
    """Bits that answer a leaf and a condition at once."""
    programs: tuple[Program, ...]
    native: dict[str, Any] = field(default_factory=dict, repr=False)
    """Scanners keep their own form of the plan here, under their name."""

    @property
    def matcher_errors(self) -> int:
        """How often a matcher raised; such a value does not match."""
        return sum(memo.errors for memo in self.memos())

    def memos(self) -> list[Memo | FieldsMemo]:
        """The memos of all matchers, each once."""
        found = {id(leaf.memo): leaf.memo for leaf in self.leaves if leaf is not None and leaf.memo is not None}
        return list(found.values())


def compile_plan(conditions: Sequence[SpanCondition]) -> ScanPlan:
    """The plan that answers `conditions[i]` in bit i of a summary; PlanError where that cannot be done."""
    conditions = tuple(conditions)
    if len(conditions) > MAX_CONDITIONS:
        raise PlanError(f"{len(conditions)} span conditions; at most {MAX_CONDITIONS} can be scanned for")
    numbering = _Numbering(conditions)
    programs = []
    for index, condition in enumerate(conditions):
        if numbering.identity >> index & 1:
            continue
        code = _code_of(condition, numbering, 0)
        programs.append(Program(index, code.of_event, tuple(code.positions)))
    return ScanPlan(conditions, numbering.slots(), numbering.identity, tuple(programs))


class _Numbering:
    """Gives every distinct leaf one number; leaves that are whole conditions keep the number of the condition."""

    def __init__(self, conditions: Sequence[SpanCondition]) -> None:
        self.identity = 0
        self._number: dict[SpanLeaf, int] = {}
        self._leaf: dict[int, Leaf] = {}
        self._memos: dict[Any, Any] = {}
        self._next = 0
        for index, condition in enumerate(conditions):
            if isinstance(condition, AllOf | AnyOf | Negated) or condition in self._number:
                continue
            leaf = leaf_of(condition, self._memos)
            if not leaf.of_event and leaf.kind is not Kind.FIELDS:
                self._number[condition] = index
                self._leaf[index] = leaf
                self.identity |= 1 << index

    def number(self, condition: SpanLeaf) -> int:
        number = self._number.get(condition)
        if number is None:
            while self._next in self._leaf:
                self._next += 1
            number = self._next
            if number >= MAX_LEAVES:
                raise PlanError(f"more than {MAX_LEAVES} distinct leaf conditions")
            self._leaf[number] = leaf_of(condition, self._memos)
            self._number[condition] = number
        return number

    def leaf(self, number: int) -> Leaf:
        return self._leaf[number]

    def slots(self) -> tuple[Leaf | None, ...]:
        return tuple(self._leaf.get(number) for number in range(max(self._leaf, default=-1) + 1))


class _Code(NamedTuple):
    positions: list[int]
    of_event: bool
    """Whether it mentions events."""
    asks_python: bool
    """Whether it has a leaf that hands fields to a test in Python."""


def _code_of(condition: SpanCondition, numbering: _Numbering, depth: int) -> _Code:
    if depth > MAX_DEPTH:
        raise PlanError(f"a condition is nested deeper than {MAX_DEPTH} levels")
    if isinstance(condition, Negated):
        term = _code_of(condition.term, numbering, depth + 1)
        return term._replace(positions=[*term.positions, NOT])
    if isinstance(condition, AllOf | AnyOf):
        terms = [_code_of(term, numbering, depth + 1) for term in condition.terms]
        return _joined(terms, conjunction=isinstance(condition, AllOf))
    number = numbering.number(condition)
    leaf = numbering.leaf(number)
    return _Code([number], leaf.of_event, leaf.kind is Kind.FIELDS)


def _joined(terms: list[_Code], *, conjunction: bool) -> _Code:
    """The terms one after the other, those that ask Python last, with a way out behind each but the last."""
    if not terms:
        return _Code([TRUE if conjunction else FALSE], of_event=False, asks_python=False)
    skip = SKIP_IF_NO if conjunction else SKIP_IF_YES
    ordered = sorted(terms, key=lambda term: term.asks_python)
    left = sum(len(term.positions) + 2 for term in ordered) - 2
    positions: list[int] = []
    for term in ordered:
        positions += term.positions
        left -= len(term.positions) + 2
        if left >= 0:
            positions += [skip, left]
    return _Code(positions, any(term.of_event for term in terms), ordered[-1].asks_python)

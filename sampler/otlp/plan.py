"""The scan plan: the span conditions of all policies as numbered leaf tests and small programs over their answers.

Leaf i owns bit i of the scratch registers. A condition that is one leaf of a span gets the leaf with its own number,
so that its answer is copied with a mask; any other condition is a postfix program. A program that mentions event leaves
is run once per event, the others once per span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.conditions import AllOf, AnyOf, Negated, SpanCondition, SpanLeaf
from sampler.otlp.errors import PlanError
from sampler.otlp.leaves import Leaf, Memo, leaf_of

MAX_CONDITIONS = 256
MAX_LEAVES = 512
MAX_DEPTH = 60

# Instructions of a program. Numbers below MAX_LEAVES push the bit of that leaf.
AND, OR, NOT, TRUE, FALSE = range(MAX_LEAVES, MAX_LEAVES + 5)


@dataclass(frozen=True, slots=True)
class Program:
    """Postfix code whose result is the answer of condition `condition`."""

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

    def memos(self) -> list[Memo]:
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
        code: list[int] = []
        of_event = _emit(condition, numbering, code, 0)
        programs.append(Program(index, of_event, tuple(code)))
    return ScanPlan(conditions, numbering.slots(), numbering.identity, tuple(programs))


class _Numbering:
    """Gives every distinct leaf one number; leaves that are whole conditions keep the number of the condition."""

    def __init__(self, conditions: Sequence[SpanCondition]) -> None:
        self.identity = 0
        self._number: dict[SpanLeaf, int] = {}
        self._leaf: dict[int, Leaf] = {}
        self._memos: dict[Any, Memo] = {}
        self._next = 0
        for index, condition in enumerate(conditions):
            if isinstance(condition, AllOf | AnyOf | Negated) or condition in self._number:
                continue
            leaf = leaf_of(condition, self._memos)
            if not leaf.of_event:
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


def _emit(condition: SpanCondition, numbering: _Numbering, code: list[int], depth: int) -> bool:
    """Append the code of a condition; says whether it mentions events."""
    if depth > MAX_DEPTH:
        raise PlanError(f"a condition is nested deeper than {MAX_DEPTH} levels")
    if isinstance(condition, Negated):
        of_event = _emit(condition.term, numbering, code, depth + 1)
        code.append(NOT)
        return of_event
    if isinstance(condition, AllOf | AnyOf):
        conjunction = isinstance(condition, AllOf)
        of_event = False
        if not condition.terms:
            code.append(TRUE if conjunction else FALSE)
        for position, term in enumerate(condition.terms):
            of_event |= _emit(term, numbering, code, depth + 1)
            if position:
                code.append(AND if conjunction else OR)
        return of_event
    number = numbering.number(condition)
    code.append(number)
    return numbering.leaf(number).of_event

"""A policy set's budget: which R of its traces have which priority, and the cut that follows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from typing import Any, TypeAlias

from policies.budget import REASON, Budget, BudgetRule, Region, Wanted, cut, regions_by_priority
from policies.build import TopPolicy
from policies.claims import Tick
from policies.errors import PolicyConfigError, nearest
from policies.intent import Intent, keep_set
from policies.randomness import RandomnessSource
from policies.rset import ALWAYS, NEVER, SPACE, RSet, contains, difference, from_intervals, measure, union
from policies.settle import Case
from policies.trace import Summary
from policies.verdict import Verdict

RandomnessOf: TypeAlias = Callable[[bytes, Summary], tuple[int, RandomnessSource]]
NOBODY_REFUSED: Mapping[bytes, int] = {}


@dataclass(slots=True)
class _Alike:
    """Traces of a tick of whose R the same have the same priorities."""

    regions: Sequence[Region]
    let_in: int
    """The lowest R that was let in."""
    costs: list[int] = field(default_factory=list)
    """Of each trace."""
    keep: RSet = NEVER
    """The R that are kept under the budget."""

    def wanted(self) -> Iterator[Wanted]:
        """What policies want of them."""
        whole, squares = sum(self.costs), sum(map(mul, self.costs, self.costs))
        traces = len(self.costs)
        for priority, region in self.regions:
            chance = measure(region) / (SPACE - self.let_in)
            yield priority, traces, chance * whole, chance * chance * squares
            traces = 0


class BudgetedSet:
    """The budget of one list of policies."""

    def __init__(self, rule: BudgetRule, policies: Sequence[TopPolicy]) -> None:
        """`policies` with those that drop first. PolicyConfigError where a priority names none of the others."""
        names = [top.name for top in policies if not top.policy.drops]
        for name in rule.priorities:
            if name not in names:
                raise PolicyConfigError(
                    (), f'budget.priorities: there is no policy "{name}" that keeps traces', nearest(name, names)
                )
        self.rule = rule
        self.asks_policies = any(rule.priorities.values())
        """Whether it must know which policy keeps which R: a trace's `keep` alone does not say."""
        self._budget = Budget(rule)
        self._drops = sum(top.policy.drops for top in policies)
        self._priorities = [rule.priorities.get(top.name, 0) for top in policies]
        self.key = self._budget.key
        self.initial_state = self._budget.initial_state

    @property
    def ticks(self) -> int:
        """How many ticks were decided."""
        return self._budget.ticks

    def describe(self) -> str:
        """What it allows."""
        return f"budget: {self.rule.per_second:,.0f} {self.rule.unit} a second of all that is kept"

    @property
    def pressure(self) -> float:
        """What was wanted in the latest tick, in parts of the budget: above 1 something is cut."""
        return self._budget.pressure

    @property
    def shares(self) -> dict[int, float]:
        """What was kept in the latest tick of what was wanted, by priority; 1 is all."""
        return dict(self._budget.shares)

    def apply(
        self,
        tick: Tick,
        traces: Sequence[tuple[bytes, Summary, Any]],
        verdicts: Sequence[Verdict],
        answers: Sequence[Sequence[Intent]],
        randomness_of: RandomnessOf,
        state: dict[str, Any],
        let_in: Mapping[bytes, int] = NOBODY_REFUSED,
    ) -> list[Verdict]:
        """The verdicts on the traces of a tick under the budget.

        `answers` are what the policies said of each trace, without claims, needed only where it `asks_policies`;
        `let_in` has the lowest R that was let in of traces for which that was not 0. The state under `key` is replaced,
        not changed.
        """
        alike = self._alike(traces, verdicts, answers if self.asks_policies else verdicts, let_in)
        groups = {id(each): each for each in alike}.values()
        wanted = [part for each in groups for part in each.wanted()]
        state[self.key] = self._budget.learn(tick, wanted, state.get(self.key, {}))
        if self._budget.pressure <= 1:
            return list(verdicts)
        for each in groups:
            each.keep = cut(each.regions, self._budget.shares)
        under: dict[tuple[int, int, bool], Verdict] = {}
        equal: dict[Verdict, Verdict] = {}
        found = []
        for (trace_id, summary, _), verdict, group in zip(traces, verdicts, alike, strict=True):
            keep = group.keep
            if keep == verdict.keep or verdict.decision == "dropped":
                found.append(verdict)
                continue
            kept = not verdict.sampled or contains(keep, randomness_of(trace_id, summary)[0])
            key = id(verdict), id(group), kept
            new = under.get(key)
            if new is None:
                # Equal verdicts stay one object, because millions are held.
                new = _under(verdict, keep, kept=kept)
                new = under[key] = equal.setdefault(new, new)
            found.append(new)
        return found

    def again(self, verdict: Verdict, summary: Summary, case: Case) -> Verdict:
        """The verdict on a trace that is decided again: under the shares of the latest tick, not counted again."""
        regions = self._regions(case.intents if self.asks_policies else verdict, self._least(summary), ALWAYS)
        keep = cut(regions, self._budget.shares)
        if keep == verdict.keep or verdict.decision == "dropped":
            return verdict
        return _under(verdict, keep, kept=not verdict.sampled or contains(keep, case.randomness))

    def _alike(
        self,
        traces: Sequence[tuple[bytes, Summary, Any]],
        verdicts: Sequence[Verdict],
        answers: Sequence[Any],
        let_in: Mapping[bytes, int],
    ) -> list[_Alike]:
        """The group of each trace; answers that are one object have the same regions."""
        cost_of = self.rule.cost_of
        found: tuple[dict[int, _Alike], dict[int, _Alike]] = ({}, {})
        of_let_in: dict[Hashable, _Alike] = {}
        alike = []
        for (trace_id, summary, _), answer in zip(traces, answers, strict=True):
            threshold = let_in.get(trace_id, ALWAYS) if let_in else ALWAYS
            by_answer: Any = of_let_in if threshold else found[summary.has_error]
            key: Any = (id(answer), threshold, summary.has_error) if threshold else id(answer)
            group = by_answer.get(key)
            if group is None:
                regions = self._regions(answer, self._least(summary), threshold)
                group = by_answer[key] = _Alike(regions, threshold)
            group.costs.append(cost_of(summary))
            alike.append(group)
        return alike

    def _least(self, summary: Summary) -> int:
        return self.rule.error_priority if summary.has_error else 0

    def _regions(self, answer: Verdict | Sequence[Intent], least: int, let_in: int) -> Sequence[Region]:
        """The R of each priority, by the answers of the policies, or what they keep together."""
        dropped: RSet = from_intervals(((0, let_in),))
        if isinstance(answer, Verdict):
            keep = difference(answer.keep, dropped)
            return () if keep == NEVER else ((least, keep),)
        sets = [keep_set(intent) for intent in answer]
        for each in sets[: self._drops]:
            dropped = union(dropped, each)
        keeping = zip(self._priorities[self._drops :], sets[self._drops :], strict=True)
        return regions_by_priority(keeping, dropped, least)


def settled_answers(cases: Iterable[Case]) -> list[Sequence[Intent]]:
    """The answers of the policies on each trace with claims settled; equal ones are one object."""
    known: dict[Sequence[Intent], Sequence[Intent]] = {}
    found = []
    for case in cases:
        sets = tuple([keep_set(intent, case.settled) for intent in case.intents])
        found.append(known.setdefault(sets, sets))
    return found


def _under(verdict: Verdict, keep: RSet, *, kept: bool) -> Verdict:
    """A verdict with this set of R, in which its own lies or, unless `kept`, does not lie any more."""
    return replace(verdict, keep=keep) if kept else replace(verdict, decision="not_sampled", keep=keep, reason=REASON)

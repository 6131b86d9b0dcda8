"""The second phase of a tick: limiters share out their tokens among the traces that want them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.build import TopPolicy
from policies.claims import Candidate, Settlement
from policies.contract import Limiter
from policies.intent import Claim, Intent, claims, may_keep, wanted
from policies.randomness import RandomnessSource
from policies.rset import ALWAYS, NEVER, RSet


@dataclass(slots=True)
class Case:
    """One trace between the phases: its R, the answers of all policies, and its claims settled so far."""

    randomness: int
    source: RandomnessSource
    intents: list[Intent]
    settled: dict[str, RSet] = field(default_factory=dict)


class Settling:
    """Settles limiters in the order of the list, those of drop policies first, each knowing those before it."""

    def __init__(
        self,
        policies: Sequence[TopPolicy],
        failed: Callable[[TopPolicy, Exception], None],
        *,
        sample_on_first_match: bool,
    ) -> None:
        """`policies` in order of evaluation; `failed` is told of a limiter that raises, under its policy."""
        self._policies = tuple(policies)
        self._drops = sum(top.policy.drops for top in policies)
        self._failed = failed
        self._first_match = sample_on_first_match

    def run(self, tick_ms: int, cases: Sequence[Case], state: dict[str, Any]) -> None:
        """Fills `settled` of every case; `state` holds the limiters' states by path."""
        for index, top in enumerate(self._policies):
            for limiter in top.limiters:
                claiming = [
                    (case, claim)
                    for case in cases
                    for claim in claims(case.intents[index])
                    if claim.path == limiter.context.path
                ]
                if claiming:
                    self._settle(index, limiter, tick_ms, claiming, state)

    def _settle(
        self, index: int, limiter: Limiter, tick_ms: int, claiming: Sequence[tuple[Case, Claim]], state: dict[str, Any]
    ) -> None:
        path = limiter.context.path
        taking_part = [self._takes_part(index, path, case) for case, _ in claiming]
        candidates = [
            Candidate(case.randomness, claim)
            for (case, claim), candidate in zip(claiming, taking_part, strict=True)
            if candidate
        ]
        try:
            own = copy.deepcopy(state[path]) if path in state else limiter.initial_state()
            settlement: Settlement = limiter.settle(tick_ms, candidates, own)
            sets = [
                settlement.keep(claim, case.randomness, candidate=candidate)
                for (case, claim), candidate in zip(claiming, taking_part, strict=True)
            ]
        except Exception as error:
            top = self._policies[index]
            for case, _ in claiming:
                self._failed(top, error)
                case.intents[index] = ALWAYS if top.keep_on_error else NEVER
            return
        state[path] = own
        for (case, _), keep in zip(claiming, sets, strict=True):
            case.settled[path] = keep

    def _takes_part(self, index: int, path: str, case: Case) -> bool:
        """Whether the claim decides: nothing drops the trace and the other terms of its `and` keep it."""
        before = range(self._drops)
        if self._first_match:
            before = range(max(index, self._drops))
        beaten = any(
            may_keep(case.intents[other], case.randomness, case.settled, hope=False)
            for other in before
            if other != index
        )
        return not beaten and wanted(case.intents[index], path, case.randomness, case.settled)

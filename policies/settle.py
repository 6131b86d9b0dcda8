"""The second phase of a tick: limiters share out their tokens among the traces that want them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policies.build import TopPolicy
from policies.claims import Candidate, Settlement, Tick
from policies.contract import Limiter
from policies.guard import Guard, checked_set
from policies.intent import NOTHING_SETTLED, Claim, Intent, Slot, claims, may_keep, wanted
from policies.randomness import RandomnessSource
from policies.rset import ALWAYS, NEVER, RSet
from policies.state import state_key


@dataclass(slots=True)
class Case:
    """One trace between the phases: its R, the answers of all policies, and its claims settled so far."""

    randomness: int
    source: RandomnessSource
    intents: list[Intent]
    settled: dict[Slot, RSet] = field(default_factory=dict)


class Settling:
    """Settles limiters in the order of the list, those of drop policies first, each knowing those before it."""

    def __init__(
        self,
        policies: Sequence[TopPolicy],
        guards: Mapping[int, Guard],
        failed: Callable[[TopPolicy, BaseException], None],
        *,
        sample_on_first_match: bool,
    ) -> None:
        """`policies` in order of evaluation, `guards` by their `id`.

        `failed` is told of a limiter that raises, under its policy.
        """
        self._policies = tuple(policies)
        self._guards = guards
        self._drops = sum(top.policy.drops for top in policies)
        self._failed = failed
        self._first_match = sample_on_first_match
        self._keys = {limiter.context.path: state_key(limiter) for top in policies for limiter in top.limiters}

    def run(self, tick: Tick, cases: Sequence[Case], state: dict[str, Any]) -> None:
        """Fills `settled` of every case; `state` holds the limiters' states by `policies.state.state_key`."""
        for index, top in enumerate(self._policies):
            claiming = _claims_by_path(index, cases) if top.limiters else {}
            for limiter in top.limiters:
                # A limiter that failed has taken the other claims of its traces with it.
                still = [each for each in claiming.get(limiter.context.path, ()) if not _plain(each[0].intents[index])]
                if still:
                    self._settle(index, limiter, tick, still, state)

    def _settle(
        self, index: int, limiter: Limiter, tick: Tick, claiming: Sequence[tuple[Case, Claim]], state: dict[str, Any]
    ) -> None:
        key = self._keys[limiter.context.path]
        if tick.exchange is not None and not limiter.exchanges:
            tick = replace(tick, exchange=None)
        taking_part = [self._takes_part(index, claim, case) for case, claim in claiming]
        candidates = [
            Candidate(case.randomness, claim)
            for (case, claim), candidate in zip(claiming, taking_part, strict=True)
            if candidate
        ]
        try:
            own = copy.deepcopy(state[key]) if key in state else limiter.initial_state()
            settlement: Settlement = self._guards[id(self._policies[index])].settle(limiter, tick, candidates, own)
            sets = [
                checked_set(settlement.keep(claim, case.randomness, candidate=candidate))
                for (case, claim), candidate in zip(claiming, taking_part, strict=True)
            ]
        except (Exception, SystemExit) as error:
            top = self._policies[index]
            for case, _ in claiming:
                self._failed(top, error)
                case.intents[index] = ALWAYS if top.keep_on_error else NEVER
            return
        state[key] = own
        for (case, claim), keep in zip(claiming, sets, strict=True):
            case.settled[claim.slot] = keep

    def _takes_part(self, index: int, claim: Claim, case: Case) -> bool:
        """Whether the claim decides: nothing is sure to drop the trace and the other terms of its `and` keep it."""
        before = range(self._drops)
        if self._first_match:
            before = range(max(index, self._drops))
        beaten = any(
            may_keep(case.intents[other], case.randomness, NOTHING_SETTLED, hope=False)
            for other in before
            if other != index
        )
        return not beaten and wanted(case.intents[index], claim.slot, case.randomness, case.settled)


def _claims_by_path(index: int, cases: Sequence[Case]) -> dict[str, list[tuple[Case, Claim]]]:
    """The claims in the answers of one policy, each slot of a trace once, by the path of their limiter."""
    by_path: dict[str, list[tuple[Case, Claim]]] = {}
    for case in cases:
        intent = case.intents[index]
        if isinstance(intent, Claim):
            by_path.setdefault(intent.path, []).append((case, intent))
        elif not _plain(intent):
            for claim in {claim.slot: claim for claim in claims(intent)}.values():
                by_path.setdefault(claim.path, []).append((case, claim))
    return by_path


def _plain(intent: Intent) -> bool:
    """Whether an answer holds no claims because it is a set of R."""
    return isinstance(intent, int | tuple)

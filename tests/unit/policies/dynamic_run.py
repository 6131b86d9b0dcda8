"""Runs the policy `dynamic` over made traffic: claims go straight to `settle`, partition by partition, tick by tick."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from policies.build import tree
from policies.builtin.dynamic import Dynamic
from policies.claims import Candidate, Tick
from policies.intent import Claim
from policies.partition_exchange import MemoryExchange
from policies.rset import SPACE
from tests.unit.policies.sample_policies import build, spec

INTERVAL_MS = 5_000
TICKS = INTERVAL_MS // 250
Traffic = Callable[[int, int], Iterable[tuple[str, float]]]
"""(interval, tick) -> (key, cost) of each trace."""


def policy(**config: Any) -> Dynamic:
    """The policy; without a goal it keeps 80 traces a second, 400 an interval."""
    settings = {"key": ["root_name"], "goal": {"traces_per_second": 80}, "interval_ms": INTERVAL_MS, **config}
    (found,) = (each for each in tree(build(spec("dynamic", "d", **settings)).limiters[0]) if isinstance(each, Dynamic))
    return found


def zipf(keys: int, per_tick: int, seed: int = 1) -> Traffic:
    """Traffic in which the i-th key comes 1/i as often as the first."""
    weights = [1 / (number + 1) for number in range(keys)]
    names = [f"k{number}" for number in range(keys)]

    def traffic(interval: int, tick: int) -> Iterable[tuple[str, float]]:
        draw = random.Random(f"{seed} {interval} {tick}")
        return [(key, 1.0) for key in draw.choices(names, weights, k=per_tick)]

    return traffic


class Run:
    """A tier of one process: its partitions, and what each interval would keep on average."""

    def __init__(self, subject: Dynamic, partitions: int = 1, *, exchange: bool = False) -> None:
        self.subject = subject
        self.exchange = MemoryExchange(partitions) if exchange else None
        self.states: list[dict[str, Any]] = [subject.initial_state() for _ in range(partitions)]
        self.chances: dict[str, float] = {}
        """The latest chance of each key."""
        self.by_key: dict[str, float] = {}
        """What was kept of each key in the latest interval, on average."""
        self._draw = random.Random(7)

    def settle(
        self,
        ms: int,
        partition: int,
        claims: Iterable[tuple[str, float]],
        reach: Callable[[int], bool] = lambda _: True,
    ) -> float:
        """A tick of one partition; what is kept of it on average. `reach`: which R the claims get through with."""
        exchange = self.exchange.of(partition) if self.exchange is not None else None
        tick = Tick(ms, 1 / len(self.states), exchange)
        candidates = [Candidate(self._draw.getrandbits(56), Claim("d", cost, key)) for key, cost in claims]
        candidates = [each for each in candidates if reach(each.randomness)]
        state = json.loads(json.dumps(self.states[partition]))
        settlement = self.subject.settle(tick, candidates, state)
        self.states[partition] = state
        kept = 0.0
        for each in candidates:
            keep = settlement.keep(each.claim, each.randomness, candidate=True)
            assert isinstance(keep, int)
            chance = 1 - keep / SPACE
            self.chances[each.claim.key] = chance
            self.by_key[each.claim.key] = self.by_key.get(each.claim.key, 0.0) + chance * each.cost
            kept += chance * each.cost if reach(0) else each.cost * (each.randomness >= keep)
        return kept

    def interval(
        self,
        number: int,
        traffic: Traffic,
        *,
        ticks: range = range(TICKS),
        reach: Callable[[int], bool] = lambda _: True,
    ) -> float:
        """One interval: what is kept in it on average. A trace's partition follows from its place."""
        kept, count = 0.0, len(self.states)
        self.by_key = {}
        for tick in ticks:
            ms = number * INTERVAL_MS + tick * 250
            claims = list(traffic(number, tick))
            for partition in range(count):
                mine = claims[partition::count]
                if mine:
                    kept += self.settle(ms, partition, mine, reach)
            if self.exchange is not None:
                self.exchange.advance(ms)
        return kept

    def intervals(self, numbers: Iterable[int], traffic: Traffic) -> list[float]:
        """What is kept in each."""
        return [self.interval(number, traffic) for number in numbers]

    def last_of(self, keys: Iterable[str]) -> Mapping[str, float]:
        """The latest chances of these keys."""
        return {key: self.chances[key] for key in keys}

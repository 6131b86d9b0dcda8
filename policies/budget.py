"""One budget for all that a policy set keeps: what goes beyond it is cut where it matters least.

Every trace has for each R a priority: the highest of the policies that keep it there (0 where none is declared), and at
least `error_priority` where the trace holds an error. What the policies want at a priority is, on average, the cost of
each trace times the measure of its R of that priority, whatever its own R is. Where all of it together is more than the
budget, the lowest priority is cut first, down to `minimum_share`, then the next one. To cut to a share f means that of
the R of a priority the upper f are kept: so probabilities stay exact, and of nested thresholds one threshold remains.

What is wanted is learned in intervals of stream time: from the exchange that of all partitions, two intervals ago;
without one this partition's own, of the interval before. Where this partition sees much more now than it saw then, more
than chance explains, its growth counts at once, as that of all.

A trace may have been let in while others were refused for a low R (`let_in`: the lowest that was not). It then has the
part of its R that was let in, and stands for those refused: its cost is divided by the chance it had to be let in.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from policies.claims import Tick
from policies.exchange import BEHIND, Exchange
from policies.rset import NEVER, SPACE, RSet, difference, from_intervals, intervals, measure, union
from policies.trace import Summary

Region: TypeAlias = tuple[int, RSet]
"""A priority and the R at which a trace has it. Those of one trace do not overlap."""
Wanted: TypeAlias = tuple[int, int, float, float]
"""Of some traces: a priority, their number, what they cost on average, and the sum of the squares of that of each."""
Shares: TypeAlias = Mapping[int, float]
"""What is kept of each priority, 0 to 1; one that is absent is kept whole."""

BURST = 1.5
"""Present demand counts at once where it is so many times what was known."""
RECENT_MS = 2_000
"""Present demand is a mean in which what is so old weighs 1 / e."""
BURST_MS = 750
"""The least stream time that it must stand on."""
BURST_TRACES = 30
"""And the least number of traces."""
BURST_ERRORS = 2.5
"""By how many standard errors it must be more than what was known: a few huge traces are no burst."""
REASON = "budget"
"""The reason of verdicts on traces that a policy wanted and the budget cut."""


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """What may be kept in a second of stream time, by all partitions together."""

    per_second: float
    unit: Literal["spans", "bytes"]
    """Of a trace: spans as they arrived, or bytes as they arrived, uncompressed."""
    interval_ms: int = 10_000
    priorities: Mapping[str, int] = field(default_factory=dict)
    """By name of the policy; 0 where it is absent."""
    error_priority: int = 100
    minimum_share: float = 0.01
    """To what share a priority is cut before the next one is; all are cut further where that is still too much."""

    @property
    def settings(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {
            "per_second": self.per_second, "unit": self.unit, "interval_ms": self.interval_ms,
            "priorities": dict(sorted(self.priorities.items())), "error_priority": self.error_priority,
            "minimum_share": self.minimum_share,
        }  # fmt: skip

    @property
    def cost_of(self) -> Callable[[Summary], int]:
        """What keeping a trace costs."""
        return attrgetter("span_count" if self.unit == "spans" else "size_bytes")


def shares_for(demand: Mapping[int, float], budget: float, minimum_share: float) -> dict[int, float]:
    """What to keep of each priority so that all together is `budget`; both per second.

    The lowest priority gives first, down to `minimum_share`. Where the minimum of all is still too much, all are cut
    in proportion. Nothing is cut where all fits.
    """
    shares = dict.fromkeys(demand, 1.0)
    excess = sum(demand.values()) - budget
    for priority in sorted(demand):
        if excess <= 0:
            return shares
        cut = min(excess, demand[priority] * (1 - minimum_share))
        if cut > 0:
            shares[priority] = max(minimum_share, 1 - cut / demand[priority])
            excess -= cut
    if excess > 0:
        rest = budget / sum(share * demand[priority] for priority, share in shares.items())
        shares = {priority: share * rest for priority, share in shares.items()}
    return shares


def cut(regions: Sequence[Region], shares: Shares) -> RSet:
    """The R that are kept of a trace."""
    keep: RSet = NEVER
    for priority, region in regions:
        keep = union(keep, upper_part(region, shares.get(priority, 1.0)))
    return keep


def upper_part(region: RSet, share: float) -> RSet:
    """The upper R of a set, `share` of its measure (rounded to one R)."""
    if share >= 1:
        return region
    wanted = round(share * measure(region))
    if isinstance(region, int):
        return SPACE - wanted
    kept = []
    for low, high in reversed(intervals(region)):
        kept.append((max(low, high - wanted), high))
        wanted -= min(wanted, high - low)
        if not wanted:
            break
    return from_intervals(kept)


def regions_by_priority(sets: Iterable[tuple[int, RSet]], dropped: RSet, least: int) -> list[Region]:
    """The R of each priority, the highest first.

    `sets` are (priority, what a policy keeps), `dropped` what is not kept whatever they say; no priority is below
    `least`.
    """
    by_priority: dict[int, RSet] = {}
    for priority, keep in sets:
        at = max(priority, least)
        by_priority[at] = union(by_priority.get(at, NEVER), keep)
    regions, above = [], dropped
    for priority in sorted(by_priority, reverse=True):
        region = difference(by_priority[priority], above)
        if region != NEVER:
            regions.append((priority, region))
        above = union(above, by_priority[priority])
    return regions


class Budget:
    """Says what is kept of each priority under a rule, tick by tick. What it learns lies in the state passed in."""

    def __init__(self, rule: BudgetRule) -> None:
        self.rule = rule
        settings = json.dumps(rule.settings, sort_keys=True)
        self.key = f"budget@{hashlib.sha256(settings.encode()).hexdigest()[:12]}"
        """Where its state is, and under which name it tells the exchange."""
        self.ticks = 0
        """How many ticks were decided, of whatever partition."""
        self.pressure = 0.0
        """What was wanted, latest, in parts of the budget: above 1 something is cut."""
        self.shares: Shares = {}
        """What is kept, latest, of each priority."""

    def initial_state(self) -> dict[str, Any]:
        """The state of a partition that has decided nothing yet."""
        return {"interval": None, "now": {}, "known": {}, "own": {}, "part": 0.0, "stale": True, "recent": None}

    def learn(self, tick: Tick, wanted: Iterable[Wanted], state: Mapping[str, Any]) -> dict[str, Any]:
        """Take in what policies want of the traces of a tick, of which `shares` are then kept; the state after it.

        `state` stays as it is. Ticks come in rising order. The same arguments give the same shares and state, whatever
        was asked before.
        """
        after = {**self.initial_state(), **state}
        after["now"] = dict(after["now"])
        self._begin(tick, after)
        self._count(tick, wanted, after)
        demand = self._demand(tick, after)
        self.ticks += 1
        self.pressure = sum(demand.values()) / self.rule.per_second
        self.shares = shares_for(demand, self.rule.per_second, self.rule.minimum_share)
        return after

    def _begin(self, tick: Tick, state: dict[str, Any]) -> None:
        """Bring up to the tick, in what was wanted per second by priority: `known`, that of all partitions, `own`, that
        of this one in the same interval, and `part`, what this one has of all.
        """
        interval, each_ms = tick.ms // self.rule.interval_ms, self.rule.interval_ms
        begins = state["interval"] != interval
        if begins:
            before = state["now"] if state["interval"] == interval - 1 else {}
            if tick.exchange is not None and state["now"]:
                # Its end may have come between two owners of the partition, of whom only the state tells.
                self._publish(tick.exchange, state)
            state.update(interval=interval, now={})
            if tick.exchange is None:
                own = {name: cost * 1000 / each_ms for name, cost in before.items()}
                known = {name: cost / tick.share for name, cost in own.items()}
                state.update(known=known, own=own, part=tick.share, stale=False)
        if tick.exchange is not None and (begins or state["stale"]):
            sums = tick.exchange.sums(self.key, interval - BEHIND)
            known = {name: values[0] * 1000 / each_ms for name, values in sums.counts.items()}
            own = {name: values[0] * 1000 / each_ms for name, values in sums.own.items()}
            whole, mine = sum(known.values()), sum(own.values())
            part = mine / whole if mine and whole else tick.share
            state.update(known=known, own=own, part=part, stale=sums.stale)

    def _count(self, tick: Tick, wanted: Iterable[Wanted], state: dict[str, Any]) -> None:
        """Add what this tick wants to that of the interval, `now`, and to the fading sums of late, `recent`."""
        before = state["recent"]
        passed_ms = tick.ms - before["ms"] if before is not None and tick.ms >= before["ms"] else 0
        fading = math.exp(-passed_ms / RECENT_MS)
        if before is None or tick.ms < before["ms"]:
            before = {"over_ms": 0.0, "traces": 0.0, "squares": 0.0, "costs": {}}
        costs = {name: cost * fading for name, cost in before["costs"].items()}
        traces, squares = before["traces"] * fading, before["squares"] * fading * fading
        now: dict[str, float] = state["now"]
        for priority, count, cost, square in wanted:
            name = str(priority)
            now[name] = now.get(name, 0.0) + cost
            costs[name] = costs.get(name, 0.0) + cost
            traces, squares = traces + count, squares + square
        # The traces of a tick came since the tick before, so time and traces have equal weights.
        over_ms = before["over_ms"] * fading + min(passed_ms, RECENT_MS)
        if not over_ms:
            costs, traces, squares = {}, 0.0, 0.0
        state["recent"] = {"ms": tick.ms, "over_ms": over_ms, "traces": traces, "squares": squares, "costs": costs}
        if tick.exchange is not None and now:
            self._publish(tick.exchange, state)

    def _publish(self, exchange: Exchange, state: Mapping[str, Any]) -> None:
        counts = {name: (cost,) for name, cost in state["now"].items()}
        exchange.publish(self.key, state["interval"], self.rule.interval_ms, counts)

    @staticmethod
    def _demand(tick: Tick, state: Mapping[str, Any]) -> dict[int, float]:
        """What all partitions want per second, by priority."""
        known: dict[str, float] = state["known"]
        own, recent, over_ms = state["own"], state["recent"], state["recent"]["over_ms"]
        if over_ms >= BURST_MS and recent["traces"] >= BURST_TRACES:
            present = {name: cost * 1000 / over_ms for name, cost in recent["costs"].items()}
            error, expected = math.sqrt(recent["squares"]) * 1000 / over_ms, sum(own.values())
            if sum(present.values()) > max(BURST * expected, expected + BURST_ERRORS * error):
                # A partition that has hardly had a part says little of the others.
                part = max(state["part"], tick.share)
                growth = {name: max(0.0, rate - own.get(name, 0.0)) / part for name, rate in present.items()}
                known = {name: known.get(name, 0.0) + growth.get(name, 0.0) for name in {*known, *growth}}
        return {int(name): cost for name, cost in sorted(known.items())}

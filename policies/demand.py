"""A partition's part of the tokens of the tier, by what was asked for in each partition.

Of a bucket's tokens a partition has in interval k the part that its traces had in the demand of interval k - 2, as all
partitions have counted it; demand is what candidates cost that fit in the burst. To each partition one more trace of
mean cost is added, so that with few traces parts are nearly equal, and FLOOR of the tokens is always shared equally, so
that traffic that begins in a silent partition is not without a chance. Parts of all partitions add up to 1. Where the
sums are not to be had it is `Tick.share`, equal parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from policies.claims import Candidate, Tick
from policies.contract import Limiter
from policies.exchange import BEHIND, Sums
from policies.state import state_key
from policies.tokens import Part, TokenBucket

INTERVAL_MS = 5_000
"""Long beside the way of counts through a topic, short beside the time in which traffic moves between partitions."""
FLOOR = 0.02
"""Of a bucket, the part that partitions share equally; what silent ones have of it is not granted."""
STATE = "tier"
"""Where it keeps what it knows in the state of its limiter."""


class TierParts:
    """The partition's parts of the buckets of one limiter."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._key = ""

    def of(
        self,
        tick: Tick,
        state: dict[str, Any],
        buckets: Mapping[str, TokenBucket],
        asking: Mapping[str, Sequence[Candidate]],
    ) -> Mapping[str, Part]:
        """The part of each bucket in a tick, whose candidates are counted; nothing where there is no exchange."""
        exchange = tick.exchange
        if exchange is None:
            return {}
        key = self._key = self._key or state_key(self._limiter)
        interval = tick.ms // INTERVAL_MS
        known: dict[str, Any] = state.setdefault(STATE, {"interval": None, "stale": True, "shares": {}, "asked": {}})
        begins = known["interval"] != interval
        if begins and known["asked"]:
            # Its end may have come between two owners of the partition, of whom only the state tells.
            exchange.publish(key, known["interval"], INTERVAL_MS, known["asked"])
        before: dict[str, float] = known["shares"]
        if begins or known["stale"]:
            sums = exchange.sums(key, interval - BEHIND)
            shares = {name: share_of(sums, name, tick.share) for name in buckets}
            known.update(interval=interval, stale=sums.stale, shares=shares)
        if begins:
            known["asked"] = {}
        asked: dict[str, list[float]] = known["asked"]
        for name, candidates in asking.items():
            costs = [candidate.cost for candidate in candidates if candidate.cost <= buckets[name].burst]
            if costs:
                cost, traces = asked.get(name, (0.0, 0))
                asked[name] = [cost + sum(costs), traces + len(costs)]
        if asked:
            exchange.publish(key, interval, INTERVAL_MS, dict(asked))
        # Within an interval a share that has become known counts since the tick before.
        since_ms = interval * INTERVAL_MS if begins else 0
        shares = known["shares"]
        return {name: Part(shares[name], before.get(name, shares[name]), since_ms) for name in buckets}


def share_of(sums: Sums, name: str, equal: float) -> float:
    """The part of a partition in the demand on one bucket; `equal` where only its own counts are known."""
    cost, traces = sums.counts.get(name, (0.0, 0.0))
    if sums.partitions <= 1 or traces <= 0 or cost <= 0:
        return equal
    mean = cost / traces
    own = sums.own.get(name, (0.0, 0.0))[0]
    return FLOOR * equal + (1 - FLOOR) * (own + mean) / (cost + mean * sums.partitions)

"""Where partitions' knowledge lives beside their state, which must stay small.

Nothing is lost with it: with an exchange a partition comes back from what it published and from the state's marks,
without one from the state alone.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

from policies.claims import Tick
from policies.dynamic.partition import PLACES, Partition, recovered
from policies.dynamic.plans import Rules
from policies.dynamic.stored import MAX_KEYS, packed, unpacked
from policies.exchange import BEHIND, Exchange, TenantExchange

_RECENT = 64
"""Partitions without exchange whose latest state is remembered in its live form."""

_BY_EXCHANGE: WeakKeyDictionary[Exchange, dict[str, Partition]] = WeakKeyDictionary()
"""By exchange and policy. A reload makes new policies, and they go on with what is here; it is gone with the partition,
whose exchange nobody else holds."""


class Knowledge:
    """Finds the knowledge of the partition whose tick is settled, and puts it back."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._recent: OrderedDict[str, Partition] = OrderedDict()

    def of(self, tick: Tick, state: dict[str, Any], policy: str) -> Partition:
        """The partition as its state says it was left."""
        if tick.exchange is None:
            text = state.get("known")
            if text is None:
                return self._fresh(tick)
            return self._recent.pop(text, None) or unpacked(self._rules, text)
        place, key = _place(tick.exchange, policy)
        known = _BY_EXCHANGE.setdefault(place, {}).get(key)
        if known is not None and [known.interval, known.counted] == state.get("at"):
            return known
        found = self._recovered(tick, tick.exchange, state, policy)
        _BY_EXCHANGE[place][key] = found
        return found

    def put(self, partition: Partition, tick: Tick, state: dict[str, Any]) -> None:
        """Leave the partition as it is after a tick."""
        state.clear()
        if tick.exchange is not None:
            state["at"] = [partition.interval, partition.counted]
            return
        state["known"] = text = packed(partition)
        self._recent[text] = partition
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def _fresh(self, tick: Tick) -> Partition:
        interval = tick.ms // self._rules.interval_ms
        found = Partition(self._rules, interval, tick.ms - interval * self._rules.interval_ms)
        if tick.exchange is None:
            found.counts.capacity = min(found.counts.capacity, MAX_KEYS)
        return found

    def _recovered(self, tick: Tick, exchange: Exchange, state: dict[str, Any], policy: str) -> Partition:
        if "known" in state:
            found = unpacked(self._rules, state["known"])
            found.counts.capacity = PLACES * self._rules.max_keys
            return found
        if "at" not in state:
            return self._fresh(tick)
        interval, counted = state["at"]
        now = tick.ms // self._rules.interval_ms
        own = exchange.sums(policy, now - BEHIND).own
        return recovered(self._rules, now, own, counted if interval == now else 0.0)


def _place(exchange: Exchange, policy: str) -> tuple[Exchange, str]:
    if isinstance(exchange, TenantExchange):
        return exchange.exchange, policy + exchange.suffix
    return exchange, policy

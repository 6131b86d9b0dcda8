"""The exchange as one partition sees it, over the counts of the tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from math import isfinite

from policies.exchange import Counts, Sums
from policies.tier_counts import Report, TierCounts

MAX_KEYS = 50_000
"""Keys that one partition reports for one interval of one policy; of more, those with the largest first numbers."""
MAX_KEY_CHARACTERS = 4096
"""A longer key is left out."""
MAX_NUMBERS = 16
"""Numbers of one key."""
MAX_OPEN = 4096
"""Intervals of all policies whose end has not been told; beyond them the oldest are reported."""


class PartitionExchange:
    """Implements `policies.exchange.Exchange` for one partition."""

    def __init__(self, tier: TierCounts, partition: int, *, refresh: Callable[[], object] | None = None) -> None:
        """`refresh` is called before sums are taken: what has come meanwhile is to be added."""
        self.partition = partition
        self._tier = tier
        self._refresh = refresh
        self._open: dict[tuple[str, int], tuple[int, Mapping[str, Sequence[float]]]] = {}
        self._finished: list[Report] = []
        self.refused = 0
        """Counts that were no numbers by key."""
        self.keys_cut = 0
        """Keys left out because they were too long, or an interval had more than MAX_KEYS."""

    def publish(self, policy: str, interval: int, interval_ms: int, counts: Mapping[str, Sequence[float]]) -> None:
        """See `policies.exchange.Exchange.publish`; TypeError where it is not called so."""
        if not (type(policy) is str and type(interval) is int and type(interval_ms) is int and interval_ms > 0):
            raise TypeError("publish(policy: str, interval: int, interval_ms: int, counts): a text and whole numbers")
        self._open[policy, interval] = (interval_ms, counts)
        if len(self._open) > MAX_OPEN:
            self._finish(*min(self._open, key=lambda key: key[1]))

    def sums(self, policy: str, interval: int) -> Sums:
        """See `policies.exchange.Exchange.sums`."""
        for key in [key for key in self._open if key[0] == policy and key[1] <= interval]:
            self._finish(*key)
        if self._refresh is not None:
            self._refresh()
        return self._tier.sums(self.partition, policy, interval)

    def finish(self, stream_ms: int) -> list[Report]:
        """Stream time has come to `stream_ms`: what was counted in intervals that have ended, each handed out once."""
        for key in [key for key, (interval_ms, _) in self._open.items() if (key[1] + 1) * interval_ms <= stream_ms]:
            self._finish(*key)
        finished, self._finished = self._finished, []
        return finished

    def _finish(self, policy: str, interval: int) -> None:
        interval_ms, counts = self._open.pop((policy, interval))
        try:
            frozen = freeze(counts)
        except (TypeError, ValueError, AttributeError, LookupError):
            self._tier.refused += 1
            return
        self._tier.keys_cut += len(counts) - len(frozen)
        report = Report(policy, interval, interval_ms, frozen)
        if not self._tier.has(self.partition, report):
            self._tier.add(self.partition, report)
            self._finished.append(report)


class MemoryExchange:
    """The exchange of a whole tier in one process: counts are there at once."""

    def __init__(self, partitions: int) -> None:
        self.tier = TierCounts(partitions)
        self._of = [PartitionExchange(self.tier, partition) for partition in range(partitions)]

    def of(self, partition: int) -> PartitionExchange:
        """The exchange for the ticks of one partition."""
        return self._of[partition]

    def advance(self, stream_ms: int, partition: int | None = None) -> None:
        """Stream time of one partition, or of all, has come to `stream_ms`: intervals before it are reported."""
        for each in self._of if partition is None else [self._of[partition]]:
            each.finish(stream_ms)
            self.tier.clock(each.partition, stream_ms)


def freeze(counts: Mapping[str, Sequence[float]]) -> Counts:
    """Counts as they are stored, at most MAX_KEYS; TypeError or ValueError where they are no finite numbers by key."""
    items = counts.items()
    chosen = nlargest(MAX_KEYS, items, key=lambda item: (item[1][0], item[0])) if len(counts) > MAX_KEYS else items
    frozen = {key: tuple(map(float, values)) for key, values in chosen if len(key) <= MAX_KEY_CHARACTERS}
    for key, values in frozen.items():
        if type(key) is not str or len(values) > MAX_NUMBERS or not all(map(isfinite, values)):
            raise ValueError(f"counts of {key!r} are no list of at most {MAX_NUMBERS} finite numbers by a text")
    return frozen

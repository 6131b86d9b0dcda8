"""What limiters learn of the traffic of all partitions: the contract between them and whoever carries the counts.

Stream time is cut into intervals, of a length that each policy chooses; interval number k holds the milliseconds of
stream time with ms // interval_ms == k. In every interval each partition counts what a limiter sees there, by key. The
exchange adds the counts of all partitions up. Interval k is decided by the sums of k - 2, since those of k - 1 may
still be on their way; every partition then decides by the same numbers.

    sums = tick.exchange.sums(policy, tick.ms // INTERVAL_MS - 2)

`policies.partition_exchange.MemoryExchange` is a whole tier in one process, for tests, benchmarks and simulations. A
limiter that uses an exchange says `exchanges = True`; without one (`Tick.exchange` is None) it goes by its own counts
and `tick.share`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Counts: TypeAlias = Mapping[str, tuple[float, ...]]
"""By key a short list of numbers; what they are the policy says."""

BEHIND = 2
"""Interval k is decided by the sums of interval k - BEHIND."""
MAX_AGE = 3
"""Sums that lie so many intervals before those asked for still serve in their place; older ones do not."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The counts of one interval, added up over the partitions; nothing in it may be changed."""

    interval: int
    """Which interval they are of: the one asked for, or where `stale` an earlier one."""
    counts: Counts
    """By key, the sums place by place."""
    own: Counts
    """The part of the partition that asks."""
    partitions: int
    """How many partitions reported, those without traffic among them. 1: only the partition that asks, whose counts
    have been divided by its share."""
    stale: bool
    """Not all partitions have reported the interval asked for. What is given is the newest complete one, at most
    MAX_AGE intervals older, or else the partition's own divided by its share."""


class Exchange(Protocol):
    """The exchange as one partition sees it. `policy` is the limiter's `policies.state.state_key`."""

    def publish(self, policy: str, interval: int, interval_ms: int, counts: Mapping[str, Sequence[float]]) -> None:
        """Hand over what this partition has counted in an interval; a later call for the same interval replaces it.

        It may be called before the interval has ended, and should be in every tick that counts something: a limiter is
        asked only when there are claims, so it may never hear of the end. `counts` is read when stream time has passed
        the end, and until then may go on growing. Cut to the largest where there are more than the exchange carries.
        """
        ...

    def sums(self, policy: str, interval: int) -> Sums:
        """The sums of an interval, or what serves in their place. Dear the first time: ask once an interval, and
        again in the ticks after a stale answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class TenantExchange:
    """The exchange for the policy set of one tenant, whose limiters may have the keys of other sets' limiters."""

    exchange: Exchange
    suffix: str

    def publish(self, policy: str, interval: int, interval_ms: int, counts: Mapping[str, Sequence[float]]) -> None:
        """See `Exchange.publish`."""
        self.exchange.publish(policy + self.suffix, interval, interval_ms, counts)

    def sums(self, policy: str, interval: int) -> Sums:
        """See `Exchange.sums`."""
        return self.exchange.sums(policy + self.suffix, interval)

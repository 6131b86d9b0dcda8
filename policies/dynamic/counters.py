"""What one partition counts of each key in an interval, in bounded memory.

While there are no more keys than places, every key is counted. Beyond that Space-Saving (Metwally, Agrawal, El Abbadi,
2005) decides which keys have a place: a key without one takes that of the smallest, and inherits its rank, so that a
key that comes often enough rises above those that come once. What the displaced key had is not lost but added to the
rest, so counts and the rest together are all that came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from heapq import heapify, heappop, heapreplace
from math import fsum

REST = "\\rest"
"""The published key of all that has no place; no key of a trace is written so."""
ALL = "\\all"
"""The published key of the numbers that speak of all traffic."""

NOW, PAST, RANK, MARK, MARK_BEFORE = range(5)
"""Places in an entry: this interval; one before it, as learned; inherited rank; `now` at the latest two marks."""

UNSURE = 0.25
"""The part of a key's count that may be missing from it."""

Entry = list[float]
Learn = Callable[[str, float, float], float]
"""(key, this interval, past) -> past of the next interval."""


class Counts:
    """The counts of one interval; changed by `add` and `mark`, and left as it is once it has been `rolled`."""

    __slots__ = ("_heap", "capacity", "entries", "reserved", "rest", "whole")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: dict[str, Entry] = {}
        self.rest: Entry = [0.0] * 5
        self.whole: Entry = [0.0] * 5
        """All that was counted."""
        self.reserved: Collection[str] = ()
        """Keys that nobody takes the place of."""
        self._heap: list[tuple[float, str]] | None = None

    def add(self, amounts: Mapping[str, float]) -> None:
        """Count a tick, all of a key at once: the outcome does not depend on the order of keys."""
        entries = self.entries
        new = []
        self.whole[NOW] += fsum(amounts.values())
        for key, amount in amounts.items():
            entry = entries.get(key)
            if entry is None:
                new.append((-amount, key))
            else:
                entry[NOW] += amount
        for amount, key in sorted(new):
            self._admit(key, -amount)

    def _admit(self, key: str, amount: float) -> None:
        rank = 0.0
        if len(self.entries) >= self.capacity:
            smallest = self._smallest()
            if smallest is None:
                self.rest[NOW] += amount
                return
            rank = self._remove(smallest)
        self.entries[key] = entry = [amount, 0.0, rank, 0.0, 0.0]
        if self._heap is not None:
            if rank:
                heapreplace(self._heap, (rank_of(entry), key))
            else:
                self._heap = None

    def _remove(self, key: str) -> float:
        """Take the place of a key; its rank."""
        gone = self.entries.pop(key)
        self.rest[NOW] += gone[NOW]
        self.rest[PAST] += gone[PAST]
        return rank_of(gone)

    def _smallest(self) -> str | None:
        """The key of the lowest rank among those whose place is not reserved.

        Ranks only rise, so one in the heap may be too low, never too high.
        """
        if self._heap is None:
            self._heap = [(rank_of(entry), key) for key, entry in self.entries.items() if key not in self.reserved]
            heapify(self._heap)
        heap = self._heap
        while heap:
            rank, key = heap[0]
            entry = self.entries.get(key)
            if entry is None:
                heappop(heap)
            elif (now := rank_of(entry)) != rank:
                heapreplace(heap, (now, key))
            else:
                return key
        return None

    def reserve(self, parts: Mapping[str, float]) -> None:
        """Keep a place for each of these keys, given with what came of it here before, as far as there are places.

        So all partitions count the keys that have a share whole, also those of which little comes here.
        """
        self.reserved, self._heap = parts.keys(), None
        missing = sorted(key for key in parts if key not in self.entries)
        for key in parts:
            if key in self.entries:
                self.entries[key][RANK] = 0.0
        for key in missing:
            if len(self.entries) >= self.capacity:
                smallest = self._smallest()
                if smallest is None:
                    return
                self._remove(smallest)
            self.entries[key] = [0.0, parts[key], 0.0, 0.0, 0.0]

    def mark(self) -> None:
        """Note how far the counts have come, for `recent`."""
        for entry in self._every():
            entry[MARK_BEFORE], entry[MARK] = entry[MARK], entry[NOW]

    def scale(self, factor: float) -> None:
        """As if so many times as much had been counted."""
        for entry in self._every():
            entry[NOW] *= factor

    def fill_in(self, missing: float) -> None:
        """Count so much more, in the proportions of the past."""
        past = fsum(entry[PAST] for entry in self.entries.values()) + self.rest[PAST]
        if past > 0:
            for entry in (*self.entries.values(), self.rest):
                entry[NOW] += missing * entry[PAST] / past
            self.whole[NOW] += missing

    def _every(self) -> Iterator[Entry]:
        yield from self.entries.values()
        yield self.rest
        yield self.whole

    def rolled(self, learn: Learn, least: float) -> Counts:
        """The counts of the next interval, with nothing counted yet; keys that have less than `least` left are gone."""
        following = Counts(self.capacity)
        following.reserved = self.reserved
        for key, entry in self.entries.items():
            past = learn(key, entry[NOW], entry[PAST])
            if past >= least:
                following.entries[key] = [0.0, past, entry[RANK] / 2, 0.0, 0.0]
        for key, entry, its in ((REST, self.rest, following.rest), (ALL, self.whole, following.whole)):
            its[PAST] = learn(key, entry[NOW], entry[PAST])
        return following

    def known(self) -> Iterator[tuple[str, Entry]]:
        """The keys whose counts hold nearly all that came of them, with their entries.

        What a key had before it got its place is at most its inherited rank. One of which much may be missing would
        seem rarer than it is; it is better counted with the rest.
        """
        return (item for item in self.entries.items() if item[1][RANK] <= UNSURE * (item[1][NOW] + item[1][PAST]))

    def cut_to(self, places: int) -> None:
        """Keep no more than so many keys, the largest; the others join the rest."""
        self._heap = None
        ranked = sorted(self.entries, key=lambda key: (-rank_of(self.entries[key]), key))
        for key in ranked[places:]:
            gone = self.entries.pop(key)
            self.rest = [mine + its for mine, its in zip(self.rest, gone, strict=True)]
        self.capacity = min(self.capacity, max(1, places))


def rank_of(entry: Entry) -> float:
    """What decides who has a place."""
    return entry[NOW] + entry[PAST] + entry[RANK]


def largest(traffic: Mapping[str, float], places: int) -> Collection[str]:
    """The keys of most traffic, at most so many."""
    if len(traffic) <= places:
        return traffic.keys()
    return sorted(traffic, key=lambda key: (-traffic[key], key))[:places]

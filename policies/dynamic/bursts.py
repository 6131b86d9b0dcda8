"""Bursts, found while they go on: what has come since some moments ago, against what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from policies.dynamic.counters import MARK_BEFORE, NOW, PAST, REST, Counts
from policies.dynamic.plans import TICK_MS, Expected, Plan, Rules

MARKS = 8
"""Marks an interval: what is recent has come within the last one to two of so many parts of it."""
LEAST_TRACES = 16
"""Traces more than expected below which nothing is called a burst."""
LEAST_PART = 0.02
"""The same as a part of an interval's traffic."""
SURGE = 1.1
"""All traffic together has risen where it is so many times what was learned, beyond chance."""
SURE = 5.0
"""Standard errors that lie beyond chance, were all traces to cost the same; they do not, so there are some to spare."""
WORTH = 0.1
"""A surge that is found to be larger by less than this part is not planned anew for."""
AHEAD_INTERVALS = 2
"""So long a burst is expected to go on, from this partition's own counts: then the sums of all hold it."""


class Bursts:
    """Watches one partition, in its own counts: what is usual is its part of what the tier expects, or its own past.

    Keys that rise are raised one by one. Where all traffic surges, all other keys are taken to have risen alike.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.elapsed = 0.0
        """The part of the interval that has passed."""
        self.marked = 0.0
        self.marked_before = 0.0
        self.raised: dict[str, float] = {}
        """What is expected now of the keys that have risen."""
        self.since: dict[str, int] = {}
        """The interval in which they last rose."""
        self.others = 0.0
        """What is expected now of all others together; 0 where that is no more than was learned."""
        self.surged = -1 - AHEAD_INTERVALS
        """The interval of the latest surge."""

    @property
    def calm(self) -> bool:
        """Whether nothing is expected but what was learned."""
        return not self.since and not self.others

    def begin(self, counts: Counts, interval: int) -> None:
        """An interval is over. Until the sums of it are known, what rose is expected to go on as it did."""
        window = 1.0 - self.marked_before
        ahead: dict[str, float] = {}
        for key, since in list(self.since.items()):
            entry = counts.rest if key == REST else counts.entries.get(key)
            if entry is None or interval - since >= AHEAD_INTERVALS:
                del self.since[key]
                continue
            whole, recent = entry[NOW], (entry[NOW] - entry[MARK_BEFORE]) / window
            # Of two numbers that agree the one that rests on more is the better.
            ahead[key] = whole if whole >= 0.7 * recent else recent
        self.raised = ahead
        going_on = interval - self.surged < AHEAD_INTERVALS
        self.others = self._others(counts, window) if going_on else 0.0
        self.elapsed = self.marked = self.marked_before = 0.0

    def move_on(self, at_ms: int, counts: Counts) -> bool:
        """A tick so many milliseconds after the begin of the interval is to be counted; whether a mark was passed."""
        self.elapsed = min(1.0, (at_ms + TICK_MS) / self._rules.interval_ms)
        if at_ms / self._rules.interval_ms < self.marked + 1 / MARKS:
            return False
        counts.mark()
        self.marked_before, self.marked = self.marked, at_ms / self._rules.interval_ms
        return True

    def look(
        self,
        counts: Counts,
        touched: Iterable[str],
        current: Plan,
        learned: Expected,
        interval: int,
        scale: float,
        mean_cost: float,
    ) -> bool:
        """Whether a key that was touched, or all together, have risen; then there is another plan to be made."""
        window = self.elapsed - self.marked_before
        if not self._rules.burst or window <= 0:
            return False
        need = max(LEAST_PART * current.expected.total / scale, LEAST_TRACES * mean_cost)
        found = False
        for key in (*touched, REST):
            entry = counts.rest if key == REST else counts.entries.get(key)
            if entry is not None:
                amount = entry[NOW] - entry[MARK_BEFORE]
                if amount >= need:
                    usual = max(entry[PAST], current.expected.of(key) / scale, self.raised.get(key, 0.0)) * window
                    if amount - usual >= need and amount >= self._rules.burst * usual:
                        self.raised[key], self.since[key] = amount / window, interval
                        found = True
        came, usual = counts.whole[NOW] - counts.whole[MARK_BEFORE], learned.total / scale * window
        if came >= SURGE * usual and came - usual >= max(need, SURE * sqrt(came * mean_cost)):
            self.surged = interval
            others = self._others(counts, window)
            if abs(others - self.others) > WORTH * self.others:
                self.others, found = others, True
        return found

    def _others(self, counts: Counts, window: float) -> float:
        """What comes in an interval, going by what is recent, of all that has not been raised."""
        came = counts.whole[NOW] - counts.whole[MARK_BEFORE]
        for key in self.raised:
            entry = counts.rest if key == REST else counts.entries.get(key)
            came -= entry[NOW] - entry[MARK_BEFORE] if entry is not None else 0.0
        return max(0.0, came / window)

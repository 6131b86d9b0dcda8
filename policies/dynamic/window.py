"""How counts become the past of the next interval: a moving average, or the mean of a window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum

from policies.dynamic.counters import ALL, NOW, PAST, REST, Counts
from policies.dynamic.learning import Averages
from policies.dynamic.plans import Rules

LEAST = 0.05
"""Traces an interval, on average, below which a key is forgotten."""


class Memory:
    """The counts of the intervals that a window takes in, newest last; nothing for a moving average."""

    def __init__(self, rules: Rules, intervals: Iterable[Mapping[str, float]] = ()) -> None:
        self._rules = rules
        self.intervals: list[dict[str, float]] = [dict(each) for each in intervals]

    def rolled(self, counts: Counts, averages: Averages, mean_cost: float) -> Counts:
        """The counts of the next interval."""
        if self._rules.mode == "windowed":
            self._take(counts, averages)
            size, known = len(self.intervals), self.intervals

            def mean(key: str, now: float, past: float) -> float:
                return fsum(each.get(key, 0.0) for each in known) / size

            following = counts.rolled(mean, LEAST * mean_cost)
        else:
            following = counts.rolled(averages.next_past, LEAST * mean_cost)
            if not averages.begins_anew(ALL, 0.0, 0.0):
                # What single keys have risen by, all traffic has too, as far as that much came.
                jumps = fsum(averages.jump(key, entry[NOW], entry[PAST]) for key, entry in counts.entries.items())
                average = following.whole[PAST]
                following.whole[PAST] = min(average + jumps, max(average, counts.whole[NOW]))
        averages.begun()
        return following

    def _take(self, counts: Counts, averages: Averages) -> None:
        """Add an interval; before the first one stands what the past is known to have been."""
        window, entries = self._rules.window, {**counts.entries, REST: counts.rest, ALL: counts.whole}
        if not self.intervals and any(entry[PAST] for entry in entries.values()):
            self.intervals = [{key: entry[PAST] for key, entry in entries.items()} for _ in range(window - 1)]
        everything = averages.begins_anew(ALL, 0.0, 0.0)
        for key, entry in entries.items():
            if averages.begins_anew(key, entry[NOW], entry[PAST]):
                for each in self.intervals:
                    if not everything:
                        before = each.get(ALL, 0.0)
                        risen = before + entry[NOW] - each.get(key, 0.0)
                        each[ALL] = min(risen, max(before, counts.whole[NOW]))
                    each[key] = entry[NOW]
        self.intervals.append({key: entry[NOW] for key, entry in entries.items() if entry[NOW]})
        del self.intervals[:-window]

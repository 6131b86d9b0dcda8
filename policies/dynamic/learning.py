"""From what was counted to what is expected: averages that follow bursts, and how well the goal was met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from policies.dynamic.counters import ALL, REST
from policies.dynamic.plans import Expected, Rules

ANEW_INTERVALS = 3
"""So long the plain count goes before the average, once traffic has become another: then the average has begun anew."""
MATTERS = 0.01
"""A rise of less than this part of all traffic is left to the average."""
DISCOUNT = 0.8
"""What an interval leaves of what was known before of how well the goal was met: slow, beside changes of traffic."""
SURE = 4.0
"""Standard errors beyond which a difference is not chance."""
MIN_CORRECTION, MAX_CORRECTION = 1e-4, 4.0
_NO_KEYS = frozenset({ALL, REST})


class Averages:
    """What is expected of a key, given its count and the average before it.

    The average of a key that is new, or that has risen in a burst, would come too late: for ANEW_INTERVALS the plain
    count takes its place, until the average has begun anew from there. The same goes for all keys where all traffic
    together has risen, or fallen, like that.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.rose: dict[str, int] = {}
        """The interval in which a key rose, by key."""
        self.turned = -ANEW_INTERVALS
        """The interval in which all traffic rose or fell."""
        self.fell = -2
        """The latest interval with much less traffic than before."""
        self._anew: set[str] = set()
        self._all_anew = False

    def learn(self, counts: Mapping[str, Sequence[float]], interval: int) -> Expected | None:
        """What to expect by the counts (this interval, past) of an interval; None where nothing came in it."""
        total = counts.get(ALL, (0.0,))[0]
        if total <= 0:
            return None
        rules, rose = self._rules, self.rose
        for key in [key for key, since in rose.items() if interval - since >= ANEW_INTERVALS]:
            del rose[key]
        past_total = counts[ALL][1]
        self._look_at_all(total, past_total, interval)
        turned = past_total <= 0 or interval - self.turned < ANEW_INTERVALS
        traffic: dict[str, float] = {}
        everything = average_total = total if turned else rules.averaged(total, past_total)
        for key, (now, past, *_) in counts.items():
            if key in _NO_KEYS:
                continue
            if self._rises(now, past, total) and interval > rose.get(key, -1):
                self._anew.add(key)
                rose[key] = interval
            average = rules.averaged(now, past)
            amount = now if turned or (key in rose and now > average) else average
            if amount > 0:
                traffic[key] = amount
                everything += 0.0 if turned else amount - average
        # What some keys have gained others may have lost: in all there is no more than came.
        return Expected(traffic, min(everything, max(total, average_total))).limited(rules.max_keys)

    def _look_at_all(self, now: float, past: float, interval: int) -> None:
        """A fall counts when it is seen twice: before a pause traffic may end in the middle of an interval."""
        burst = self._rules.burst
        falls = burst > 0 and 0 < now * burst <= past
        rises = burst > 0 and 0 < burst * past <= now
        another = rises or (falls and self.fell == interval - 1)
        if falls:
            self.fell = interval
        if another and interval > self.turned:
            self.turned, self._all_anew = interval, True

    def _rises(self, now: float, past: float, total: float) -> bool:
        """Whether a count lies so far above the average that it is another traffic; what is small may wait."""
        if now - past < MATTERS * total:
            return False
        return past <= 0 or 0 < self._rules.burst * past <= now

    def begin_all(self) -> None:
        """There is no past: all averages begin from the next count."""
        self._all_anew = True

    def begins_anew(self, key: str, now: float, past: float) -> bool:
        """Whether the average of a key begins from this count."""
        return self._all_anew or (key in self._anew and now > past)

    def next_past(self, key: str, now: float, past: float) -> float:
        """The average that stands for the past in the next interval."""
        if self.begins_anew(key, now, past):
            return now
        return self._rules.averaged(now, past)

    def jump(self, key: str, now: float, past: float) -> float:
        """By how much the average that begins anew lies above the one that would have been."""
        return self.next_past(key, now, past) - self._rules.averaged(now, past)

    def begun(self) -> None:
        """All that were to begin anew have done so."""
        self._anew.clear()
        self._all_anew = False


class Ledger:
    """What a partition planned to keep, would keep on average, and kept: of this interval, and of those before it.

    The plan is right for the traffic that was expected. Where keys come and go, are few, or stand below other policies
    that thin them out, another amount is kept in the long run; the ratio corrects the goal. Intervals with a burst do
    not count: they say nothing of others.
    """

    __slots__ = ("cost", "now", "past", "traces")

    def __init__(self) -> None:
        self.cost = 0.0
        self.traces = 0
        self.now = [0.0] * 4
        """(as planned for the traffic that came, expected by the chances given, kept, variance of what is kept)."""
        self.past = [0.0] * 4
        """The same of the intervals before, each discounted by those after it."""

    @property
    def mean_cost(self) -> float:
        """What a trace of this interval costs on average."""
        return self.cost / max(1, self.traces)

    def rolled(self, *, sound: bool) -> Ledger:
        """That of the next interval; an interval that was not `sound` leaves the past as it was."""
        following = Ledger()
        following.past = self.past
        if sound and self.now[0] > 0:
            discounts = (DISCOUNT, DISCOUNT, DISCOUNT, DISCOUNT**2)
            following.past = [now + rate * old for now, rate, old in zip(self.now, discounts, self.past, strict=True)]
        return following


def correction(numbers: Sequence[float]) -> float:
    """The factor on the goal by a ledger's past, added up over partitions; 1 where there is no experience."""
    planned, chances, kept, variance = numbers if len(numbers) == 4 else (0.0,) * 4
    if planned <= 0 or chances <= 0:
        return 1.0
    ratio = chances / planned
    if kept > 0 and abs(kept - chances) > SURE * sqrt(variance) + 0.02 * chances:
        ratio *= kept / chances
    return min(MAX_CORRECTION, max(MIN_CORRECTION, 1 / ratio))

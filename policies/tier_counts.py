"""The counts of all partitions, by policy and interval, and the sums that limiters ask for.

Whatever the order in which counts arrive, and however often, the sums are the same: an interval of a policy has one
set of counts for each source partition, and a later arrival replaces an earlier one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, NamedTuple, TypeAlias

from policies.exchange import BEHIND, MAX_AGE, Counts, Sums

HISTORY = 12
"""Intervals kept of each policy and partition, so that partitions that lag find what the others used."""
LEAST_HISTORY = MAX_AGE + 3
"""Intervals kept where there are many keys."""
MAX_COUNTS = 1_000_000
"""Keys kept over all policies, partitions and intervals, some 200 bytes each."""
SET_BACK_MS = 600_000
"""Stream time that is set back by more belongs to a topic that was created again."""
NOTHING: Counts = {}

NEVER = -1
"""The newest interval where there is none."""

Answer: TypeAlias = Literal["complete", "older", "alone"]
"""The interval asked for; one shortly before it; the partition's own counts."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one partition counted in one interval of a policy."""

    policy: str
    interval: int
    interval_ms: int
    counts: Counts


class Reported(NamedTuple):
    """Of which intervals there are reports: bit i of `bits` stands for interval `newest` - i, for i below HISTORY."""

    newest: int
    bits: int

    def tells(self, interval: int) -> bool | None:
        """Whether there is a report of the interval; None where it is too long ago to say."""
        age = self.newest - interval
        return None if age >= HISTORY else age >= 0 and bool(self.bits >> age & 1)


NO_REPORTS = Reported(NEVER, 0)
"""Of a policy that runs and has counted nothing yet."""


@dataclass(slots=True)
class _Clock:
    stream_ms: int
    deaf: bool
    reported: Mapping[str, Reported] | None


@dataclass(slots=True)
class _Part:
    """What is known of one partition: the counts of its latest intervals."""

    newest: int = NEVER
    intervals: dict[int, Counts] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(map(len, self.intervals.values()))


@dataclass(slots=True)
class _Policy:
    interval_ms: int
    parts: dict[int, _Part] = field(default_factory=dict)
    merged: dict[int, Counts] = field(default_factory=dict)


class TierCounts:
    """What is known of all partitions. For one thread."""

    def __init__(self, partitions: int, *, max_counts: int = MAX_COUNTS) -> None:
        self.partitions = partitions
        self._max_counts = max_counts
        self._policies: dict[str, _Policy] = {}
        self._clocks: dict[int, _Clock] = {}
        self._history = HISTORY
        self.cut_off = False
        """Whether others are not heard, or do not hear: then nothing but a partition's own counts is given."""
        self.held = 0
        """Keys held, over all policies, partitions and intervals."""
        self.left_out = 0
        """Reports that were not taken because there were too many keys."""
        self.refused = 0
        """Counts of this process that were no numbers by key."""
        self.keys_cut = 0
        """Keys of this process left out because they were too long, or too many."""
        self.answers: Counter[Answer] = Counter()
        """How often sums were asked for, by what was given."""
        self.latest: dict[tuple[str, int], Answer] = {}
        """What each partition was given last, by policy and partition."""

    def add(self, partition: int, report: Report) -> bool:
        """Take what a partition has counted; False where it is not taken: no such partition, too old, or too much."""
        if not 0 <= partition < self.partitions:
            return False
        policy = self._policies.get(report.policy)
        if policy is None or policy.interval_ms != report.interval_ms:
            self.forget(report.policy)
            policy = self._policies[report.policy] = _Policy(report.interval_ms)
        part = policy.parts.setdefault(partition, _Part())
        if (part.newest - report.interval) * report.interval_ms > SET_BACK_MS:
            self._clear(policy, part)
        if report.interval <= part.newest - self._history:
            return False
        part.newest = max(part.newest, report.interval)
        self._trim(policy, part)
        more = len(report.counts) - len(part.intervals.get(report.interval, NOTHING))
        if not self._make_room(more):
            self.left_out += 1
            return False
        self.held += more
        part.intervals[report.interval] = report.counts
        policy.merged.pop(report.interval, None)
        return True

    def has(self, partition: int, report: Report) -> bool:
        """Whether the very same is known already."""
        policy = self._policies.get(report.policy)
        part = policy.parts.get(partition) if policy is not None else None
        return part is not None and part.intervals.get(report.interval) == report.counts

    def clock(
        self, partition: int, stream_ms: int, *, reported: Mapping[str, Reported] | None = None, deaf: bool = False
    ) -> None:
        """The stream time of a partition: what it has not reported of the intervals before it, it has not seen.

        `reported` tells what it did report, in case some of it got lost, for each policy that runs there; None is all
        policies and all of it. `deaf` tells that its worker does not hear of the others, so that it decides by its own
        counts and the others should too.
        """
        clock = self._clocks.get(partition)
        if clock is not None and 0 < clock.stream_ms - stream_ms <= SET_BACK_MS:
            stream_ms = clock.stream_ms  # a new owner reads again what the former one has reported
        if 0 <= partition < self.partitions:
            self._clocks[partition] = _Clock(stream_ms, deaf, reported)

    def reported(self, partition: int) -> dict[str, Reported]:
        """Of which intervals of each policy there are reports of a partition."""
        found = {}
        for key, policy in self._policies.items():
            part = policy.parts.get(partition)
            if part is not None and part.intervals:
                bits = sum(1 << part.newest - interval for interval in part.intervals)
                found[key] = Reported(part.newest, bits)
        return found

    def sums(self, partition: int, policy_key: str, interval: int) -> Sums:
        """What is to be given to a partition that asks for an interval; see `policies.exchange.Exchange.sums`."""
        policy = self._policies.get(policy_key)
        part = policy.parts.get(partition) if policy is not None else None
        own = part.intervals if part is not None else {}
        if policy is not None and not self.cut_off:
            newest = max((each.newest for each in policy.parts.values()), default=NEVER)
            # Where the newest report is further ahead, the others decided without this partition: so it decides without
            # them, or together they would spend more than there is.
            oldest = interval - MAX_AGE if newest - interval <= MAX_AGE + BEHIND else interval + 1
            for at in range(interval, oldest - 1, -1):
                if self._complete(policy_key, policy, at, partition):
                    self._note(policy_key, partition, "complete" if at == interval else "older")
                    mine = own.get(at, NOTHING)
                    return Sums(at, self._merged(policy, at), mine, self.partitions, stale=at != interval)
        self._note(policy_key, partition, "alone")
        at = max((each for each in own if interval - MAX_AGE <= each <= interval), default=interval)
        mine = own.get(at, NOTHING)
        scaled = {key: tuple(value * self.partitions for value in values) for key, values in mine.items()}
        return Sums(at, scaled, mine, 1, stale=True)

    def forget(self, policy_key: str, partition: int | None = None) -> None:
        """Forget what one partition, or all, have counted for a policy."""
        policy = self._policies.get(policy_key)
        if policy is None:
            return
        for each in [partition] if partition is not None else list(policy.parts):
            part = policy.parts.pop(each, None)
            self.held -= part.size if part is not None else 0
            self.latest.pop((policy_key, each), None)
        policy.merged.clear()
        if not policy.parts:
            del self._policies[policy_key]

    def asked_only(self, policies: Collection[str], partitions: Collection[int]) -> None:
        """Of the latest answers only those to these policies and partitions still count."""
        for key in [key for key in self.latest if key[0] not in policies or key[1] not in partitions]:
            del self.latest[key]

    def _note(self, policy_key: str, partition: int, answer: Answer) -> None:
        self.answers[answer] += 1
        self.latest[policy_key, partition] = answer

    def _complete(self, policy_key: str, policy: _Policy, interval: int, asking: int) -> bool:
        """Whether all partitions have reported an interval. Who asks for it has passed it."""
        end_ms = (interval + 1) * policy.interval_ms
        for partition in range(self.partitions):
            if partition == asking:
                continue
            clock, part = self._clocks.get(partition), policy.parts.get(partition)
            if clock is not None and clock.deaf:
                return False
            if part is not None and interval in part.intervals:
                continue
            if part is not None and interval <= part.newest - self._history:
                return False
            if clock is None or clock.stream_ms < end_ms:
                return False
            if clock.reported is not None:
                told = clock.reported.get(policy_key)
                if told is None or told.tells(interval) is not False:
                    return False
        return True

    def _merged(self, policy: _Policy, interval: int) -> Counts:
        merged = policy.merged.get(interval)
        if merged is None:
            found = (part.intervals.get(interval) for _, part in sorted(policy.parts.items()))
            merged = policy.merged[interval] = add_up([each for each in found if each is not None])
            for old in sorted(policy.merged)[:-HISTORY]:
                del policy.merged[old]
        return merged

    def _make_room(self, more: int) -> bool:
        while self.held + more > self._max_counts and self._history > LEAST_HISTORY:
            self._history -= 1
            for policy in self._policies.values():
                for part in policy.parts.values():
                    self._trim(policy, part)
        return self.held + more <= self._max_counts

    def _trim(self, policy: _Policy, part: _Part) -> None:
        for old in [each for each in part.intervals if each <= part.newest - self._history]:
            self.held -= len(part.intervals.pop(old))
            policy.merged.pop(old, None)

    def _clear(self, policy: _Policy, part: _Part) -> None:
        self.held -= part.size
        part.newest = NEVER
        part.intervals.clear()
        policy.merged.clear()


def add_up(parts: Sequence[Counts]) -> Counts:
    """The sums of counts, by key and place; a missing place is 0."""
    if len(parts) == 1:
        return parts[0]
    total: dict[str, tuple[float, ...]] = {}
    for part in parts:
        for key, values in part.items():
            before = total.get(key)
            if before is None:
                total[key] = values
            else:
                total[key] = tuple(a + b for a, b in zip_longest(before, values, fillvalue=0.0))
    return total

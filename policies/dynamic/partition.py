"""What the policy knows and does in one partition, interval by interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum

from policies.claims import Candidate, Settlement, Tick
from policies.dynamic.bursts import Bursts
from policies.dynamic.counters import ALL, NOW, PAST, RANK, REST, Counts
from policies.dynamic.learning import Averages, Ledger, correction
from policies.dynamic.plans import Expected, Plan, Rules, plan
from policies.dynamic.published import Published
from policies.dynamic.start import Start
from policies.dynamic.window import Memory
from policies.exchange import BEHIND, Sums
from policies.exchange import Counts as TierCounts

PLACES = 4
"""Keys that are counted for each that may have a share: one that loses its place would seem smaller than it is."""
USUAL = 3
"""After so many intervals with bursts they are what is usual."""
LEAST_COVERED = 0.1
"""The part of the first interval that must have been seen for its counts to say anything of a whole one."""


class Partition:
    """One partition's counts, and the plan by which it decides."""

    def __init__(self, rules: Rules, interval: int, since_ms: int) -> None:
        """`since_ms`: of the first interval so much had passed when the first tick came; 0 where all of it is seen."""
        self.rules = rules
        self.interval = interval
        self.since_ms = since_ms
        self.counts = Counts(PLACES * rules.max_keys)
        self.averages = Averages(rules)
        self.memory = Memory(rules)
        self.ledger = Ledger()
        self.bursts = Bursts(rules)
        self.start = Start()
        self.expected: Expected | None = None
        """What was learned last; None before anything was."""
        self.correction = 1.0
        self.experienced = False
        """Whether the correction rests on whole intervals."""
        self.scale = 1.0
        """Traffic of the tier for each unit of this partition's."""
        self.plan: Plan | None = None
        self.asked = -1
        """The interval in which sums were last asked for and complete."""
        self.published: Published | None = None
        self.restless = 0
        """Intervals without calm, one after the other."""
        self._heard = (-1, 0)

    @property
    def covered(self) -> float:
        """The part of the interval that was seen."""
        return 1.0 - self.since_ms / self.rules.interval_ms

    @property
    def counted(self) -> float:
        """What was counted in this interval."""
        return self.counts.whole[NOW]

    @property
    def sound(self) -> bool:
        """Whether the interval says something of others: bursts do not, unless there always are some."""
        return self.bursts.calm or self.restless >= USUAL

    def advance(self, tick: Tick, policy: str) -> None:
        """Come to the time of a tick: close the interval before, and plan this one."""
        interval, exchange = tick.ms // self.rules.interval_ms, tick.exchange
        begins = interval > self.interval
        if begins:
            self._close(interval, tick.share, alone=exchange is None)
        if exchange is not None and self.asked != interval:
            self._hear(exchange.sums(policy, interval - BEHIND), tick.share, begins=begins)
        if self.bursts.move_on(max(0, tick.ms - self.interval * self.rules.interval_ms), self.counts):
            self._correct_at_once()

    def _close(self, interval: int, share: float, *, alone: bool) -> None:
        covered = self.covered
        self.bursts.begin(self.counts, self.interval)
        if covered < 1:
            self.counts.scale(1 / covered if covered >= LEAST_COVERED else 0.0)
        if alone and self.counted > 0:
            own = {key: (entry[NOW], entry[PAST]) for key, entry in self.counts.known()}
            self.averages.learn({**own, ALL: (self.counted, self.counts.whole[PAST])}, self.interval)
        sound = self.sound
        self.restless = 0 if self.bursts.calm else self.restless + 1
        if self.published is not None:
            self.published.close(sound=sound)
        if self.counted > 0:
            if self.counts.whole[PAST] <= 0:
                self.averages.begin_all()
            self.counts = self.memory.rolled(self.counts, self.averages, self.ledger.mean_cost)
            self.ledger = self.ledger.rolled(sound=sound)
        else:
            self.counts = self.counts.rolled(lambda _key, _now, past: past, 0.0)
        self.interval, self.since_ms, self.published = interval, 0, None
        if alone:
            self._learn_from(self.ledger.past)
            for _, entry in self.counts.known():
                entry[RANK] = 0.0
            self.expect_own(1 / share)
            self.replan()

    def expect_own(self, scale: float) -> None:
        """Expect of the tier so many times what this partition's own past says, of the keys that are sure."""
        self.scale = scale
        entries = self.counts.entries.items()
        traffic = {key: entry[PAST] * scale for key, entry in entries if entry[PAST] > 0 and not entry[RANK]}
        everything = self.counts.whole[PAST] * scale
        if everything > 0:
            self.expected = Expected(traffic, everything).limited(self.rules.max_keys)
            self.counts.reserved = self.expected.traffic.keys()

    def _hear(self, sums: Sums, share: float, *, begins: bool) -> None:
        """Plan by what all partitions have counted; asked again after a stale answer, which often is the same."""
        if not sums.stale:
            self.asked = self.interval
        answer = sums.interval, sums.partitions
        if answer == self._heard and not begins:
            return
        self._heard = answer
        expected = self.averages.learn(sums.counts, sums.interval)
        if expected is not None:
            self.expected = expected
            self._learn_from(sums.counts[ALL][2:])
            own, everyone = sums.own.get(ALL, (0.0,))[0], sums.counts[ALL][0]
            self.scale = everyone / own if own > 0 else 1 / share
            self.counts.reserve({key: amount / self.scale for key, amount in expected.traffic.items()})
        self.replan()

    def replan(self) -> None:
        """Plan by what is expected and what has risen since."""
        bursts = self.bursts
        if self.expected is not None:
            raised = {key: amount * self._scale_of(key, self.expected) for key, amount in bursts.raised.items()}
            expected = self.expected.with_bursts(raised, bursts.others * self.scale)
            self.plan = plan(self.rules, expected, self.correction)

    def _learn_from(self, past: Sequence[float]) -> None:
        self.experienced = any(past)
        if self.experienced:
            self.correction = correction(past)

    def _correct_at_once(self) -> None:
        """Go by what this interval has shown so far, as long as there is no experience of whole ones."""
        planned, chances, *_ = self.ledger.now
        if self.plan is not None and not self.experienced and planned > 0 and self.bursts.calm:
            self.correction = correction([planned, chances, 0.0, 0.0])
            self.replan()

    def _scale_of(self, key: str, expected: Expected) -> float:
        """Traffic of the tier for each unit of this partition's, of one key: it may come here more than elsewhere."""
        entry = self.counts.rest if key == REST else self.counts.entries.get(key)
        of_tier = expected.of(key)
        if entry is None or of_tier <= 0:
            return self.scale
        return of_tier / max(entry[PAST], of_tier / self.scale)

    def take(self, tick: Tick, candidates: Sequence[Candidate]) -> Settlement:
        """Settle a tick and count it. The chances follow from what came before it, but for those of the start."""
        if self.plan is None:
            return self._begin(tick, candidates)
        current = self.plan
        amounts = self._record(current, candidates)
        self.counts.add(amounts)
        assert self.expected is not None, "there is no plan without something expected"
        look = self.bursts.look(
            self.counts, amounts, current, self.expected, self.interval, self.scale, self.ledger.mean_cost
        )
        if look:
            self.replan()
        return current

    def _begin(self, tick: Tick, candidates: Sequence[Candidate]) -> Settlement:
        before = {key: entry[NOW] + entry[PAST] for key, entry in self.counts.entries.items()}
        settlement = self.start.settle(self.rules, tick.ms, tick.share, candidates, before)
        amounts: dict[str, float] = {}
        for candidate in candidates:
            claim = candidate.claim
            amounts[claim.key] = amounts.get(claim.key, 0.0) + claim.cost
        self.counts.add(amounts)
        self.ledger.cost += fsum(amounts.values())
        self.ledger.traces += len(candidates)
        return settlement

    def _record(self, current: Plan, candidates: Sequence[Candidate]) -> Mapping[str, float]:
        """Enter a tick into the ledger, and say what came of each key."""
        seen: dict[str, list[float]] = {}
        for candidate in candidates:
            claim = candidate.claim
            cost = claim.cost
            entry = seen.get(claim.key)
            if entry is None:
                entry = seen[claim.key] = [0.0, 0.0, 0.0, current.threshold(claim.key)]
            entry[0] += cost
            entry[1] += cost * cost
            if candidate.randomness >= entry[3]:
                entry[2] += cost
        ledger, numbers = self.ledger, self.ledger.now
        ledger.traces += len(candidates)
        rows = [(current.chance(key), *entry) for key, entry in seen.items()]
        cost = fsum(row[1] for row in rows)
        ledger.cost += cost
        # Sums that do not depend on the order of keys.
        numbers[0] += current.mean * cost
        numbers[1] += fsum(chance * amount for chance, amount, *_ in rows)
        numbers[2] += fsum(row[3] for row in rows)
        numbers[3] += fsum(chance * (1 - chance) * squares for chance, _, squares, *_ in rows)
        return {key: entry[0] for key, entry in seen.items()}

    def publish(self, tick: Tick, policy: str) -> None:
        """Hand over what has been counted; nothing of a first interval that was hardly seen."""
        if tick.exchange is None or self.covered < LEAST_COVERED:
            return
        if self.published is None:
            self.published = Published(self.counts, self.ledger, lambda: self.sound, 1 / self.covered)
        tick.exchange.publish(policy, self.interval, self.rules.interval_ms, self.published)


def recovered(rules: Rules, interval: int, own: TierCounts, counted: float) -> Partition:
    """A partition whose worker knows no more than what it published, and that so much was counted since."""
    found = Partition(rules, interval, 0)
    averages, counts = found.averages, found.counts
    for key, (now, past, *_) in own.items():
        average = averages.next_past(key, now, past)
        if key in {ALL, REST}:
            (counts.whole if key == ALL else counts.rest)[PAST] = average
        else:
            counts.entries[key] = [0.0, average, 0.0, 0.0, 0.0]
    found.ledger.past = list(own.get(ALL, ()))[2:] or [0.0] * 4
    found.counts.fill_in(counted)
    return found

"""Runs the policy `dynamic` over traffic, and keeps what `benchmarks.sampling_quality` judges."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from benchmarks.key_spaces import INTERVAL_MS, TICKS, KeySpace
from policies.partition_exchange import MemoryExchange
from policies.policy_set import PolicySet, build_policy_set
from policies.reference import PlainSummary
from policies.testing import resource, span
from policies.verdict import Verdict
from sampler.otlp import fnv1a64

PARTITIONS = 4
WINDOW = 4
"""Intervals over which counts are estimated: a minute."""
LEAST_KEPT = 30
"""Keys of which fewer traces are kept in a window, on average, have no estimate."""


@dataclass(slots=True)
class Interval:
    """What came and what was kept in an interval, in the unit of the goal."""

    came: float = 0.0
    kept: float = 0.0
    expected: float = 0.0
    """What is kept on average: the sum over the probabilities of all."""


@dataclass(slots=True)
class Estimate:
    """One key in one window: traces that came, kept on average, estimated, and the variance estimated with them."""

    truth: int = 0
    expected: float = 0.0
    estimate: float = 0.0
    variance: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether it is judged: enough is kept on average, and not everything, or there is nothing to estimate."""
        return LEAST_KEPT <= self.expected < self.truth

    @property
    def error(self) -> float:
        """In parts of the truth."""
        return self.estimate / self.truth - 1

    @property
    def covered(self) -> bool:
        """Whether the 95 % interval round the estimate holds the truth."""
        return abs(self.estimate - self.truth) <= 1.96 * sqrt(self.variance)


@dataclass(slots=True)
class Outcome:
    """A run: intervals, estimates, and how many of the keys that came in an interval had a trace kept."""

    intervals: list[Interval] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    seen: int = 0
    """Keys that came, over all intervals from the first steady one."""
    shown: int = 0
    """Those with at least one kept trace."""
    uniform: float = 0.0
    """As many as uniform sampling at the same budget would show, on average."""


class Judge:
    """Takes verdicts with their keys, interval by interval, and makes an outcome of them."""

    def __init__(self, steady_from: int) -> None:
        self.outcome = Outcome()
        self._steady_from = steady_from
        self._now = Interval()
        self._keys: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._window: dict[str, Estimate] = defaultdict(Estimate)

    def take(self, key: str, cost: float, verdict: Verdict) -> None:
        """One trace."""
        chance, now, entry, estimate = verdict.probability, self._now, self._keys[key], self._window[key]
        now.came += cost
        now.expected += chance * cost
        entry[0] += 1
        estimate.truth += 1
        estimate.expected += chance
        if verdict.sampled:
            now.kept += cost
            entry[1] += 1
            estimate.estimate += 1 / chance
            estimate.variance += (1 - chance) / chance**2

    def close(self) -> None:
        """An interval is over."""
        outcome = self.outcome
        if len(outcome.intervals) >= self._steady_from:
            traces, kept = (sum(entry[place] for entry in self._keys.values()) for place in (0, 1))
            missed = 1 - kept / traces if traces else 1.0
            outcome.seen += len(self._keys)
            outcome.shown += sum(entry[1] > 0 for entry in self._keys.values())
            outcome.uniform += sum(1 - missed ** entry[0] for entry in self._keys.values())
        outcome.intervals.append(self._now)
        self._now = Interval()
        self._keys.clear()
        if len(outcome.intervals) % WINDOW == 0:
            outcome.estimates += [each for each in self._window.values() if each.counts]
            self._window.clear()


def policy_set(settings: Mapping[str, Any]) -> PolicySet:
    """The policy `dynamic` alone."""
    built = build_policy_set([{"name": "d", "type": "dynamic", "dynamic": settings}])
    built.randomness.use(fnv1a64)
    return built


def run(space: KeySpace, intervals: int, seed: int = 1) -> Outcome:
    """Four partitions that exchange their counts, tick by tick."""
    goal = {"spans_per_second" if space.spans else "traces_per_second": space.goal * 1000 / INTERVAL_MS}
    policies = policy_set({"key": ["root_name"], "goal": goal, "interval_ms": INTERVAL_MS, **space.settings})
    exchange = MemoryExchange(PARTITIONS)
    states = [policies.initial_state() for _ in range(PARTITIONS)]
    judge, draw = Judge(space.steady_from), random.Random(f"{seed} {space.name}")
    units: dict[str, Any] = {}
    for interval in range(intervals):
        for tick in range(TICKS):
            ms = interval * INTERVAL_MS + tick * 250
            due: list[list[tuple[str, Any]]] = [[] for _ in range(PARTITIONS)]
            for key, spans in space.traffic(interval, tick):
                trace_id = draw.randbytes(16)
                unit = units.get(key) or units.setdefault(
                    key, (resource({"service.name": "shop"}, span(key, root=True)),)
                )
                summary = PlainSummary(span_count=spans, size_bytes=400 * spans, has_root=True)
                due[trace_id[0] % PARTITIONS].append((key, (trace_id, summary, lambda unit=unit: unit)))
            for partition, traces in enumerate(due):
                if traces:
                    inputs = [each for _, each in traces]
                    verdicts = policies.decide(
                        ms, inputs, states[partition], share=1 / PARTITIONS, exchange=exchange.of(partition)
                    )
                    for (key, (_, summary, _)), verdict in zip(traces, verdicts, strict=True):
                        judge.take(key, summary.span_count if space.spans else 1, verdict)
            exchange.advance(ms)
        judge.close()
    if policies.errors:
        raise SystemExit(f"the policy failed: {policies.last_errors}")
    return judge.outcome


def settled_after(intervals: Sequence[Interval], burst: int, goal: float, within: float) -> int:
    """Intervals from that of the burst until the goal is met and stays met, on average over the chances given."""
    off = [place for place, each in enumerate(intervals[burst : burst + 6]) if abs(each.expected / goal - 1) > within]
    return off[-1] + 1 if off else 0


def pooled(estimates: Iterable[Estimate]) -> tuple[int, float, float, float]:
    """(how many, mean error, its standard error, share of intervals that hold the truth) of estimates."""
    judged = list(estimates)
    if len(judged) < 2:
        return len(judged), 0.0, 0.0, 0.0
    mean = sum(each.error for each in judged) / len(judged)
    spread = sum((each.error - mean) ** 2 for each in judged) / (len(judged) - 1)
    return len(judged), mean, sqrt(spread / len(judged)), sum(each.covered for each in judged) / len(judged)

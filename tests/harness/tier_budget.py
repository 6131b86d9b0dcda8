"""Three workers over unequal partitions, of which one dies: what token buckets and `dynamic` keep of it all."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.demand import INTERVAL_MS
from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.skewed import SkewedTraffic
from tests.harness.tier import Tier

WEIGHTS = (0.5, 0.2, 0.1, 0.1, 0.06, 0.04)
KEYS = {"limited": 0.5, "a": 0.3, "b": 0.15, "c": 0.05}
TRACES_PER_S = 400
SPANS = 2
GOAL = 120
"""Spans a second, of either policy."""
INTERVALS = 3
WINDOW_MS = INTERVALS * INTERVAL_MS
WAIT_MS = 1000
TRIES = 6
POLICIES: dict[str, Any] = {
    "decision_wait": f"{WAIT_MS}ms",
    "policies": [
        {"name": "limited", "type": "and", "and": {"and_sub_policy": [
            {"name": "some", "type": "string_attribute", "string_attribute": {"key": "key", "values": ["limited"]}},
            {"name": "rate", "type": "rate_limiting", "rate_limiting": {"spans_per_second": GOAL}},
        ]}},
        {"name": "shared", "type": "and", "and": {"and_sub_policy": [
            {"name": "others", "type": "string_attribute",
             "string_attribute": {"key": "key", "values": ["limited"], "invert_match": True}},
            {"name": "keys", "type": "dynamic", "dynamic": {
                "key": [{"root": "key"}], "goal": {"spans_per_second": GOAL}, "interval_ms": INTERVAL_MS}},
        ]}},
    ],
}  # fmt: skip


def total(tier: Tier, workers: list[int], name: str, labels: str = "") -> float:
    """A metric summed over the workers that run."""
    return sum(tier.metric(number, f"tailsampler_{name}", labels) for number in workers)


def undisturbed(tier: Tier, workers: list[int]) -> tuple[int, int]:
    """A span of time, in milliseconds, of which all is decided and in which no limiter had to go by its own counts.

    On a machine that is too slow for that for a while, another span is tried.
    """

    def alone() -> float:
        return total(tier, workers, "keyspace_sums_total", '{sums="alone"}')

    def complete() -> float:
        return total(tier, workers, "keyspace_sums_total", '{sums="complete"}')

    def exchanging() -> bool:
        return (
            total(tier, workers, "partitions_assigned") == len(WEIGHTS)
            and total(tier, workers, "keyspace_stale", '{sums="alone"}') == 0
            and complete() >= known + 2 * len(WEIGHTS)
        )

    known = complete()
    for _ in range(TRIES):
        wait_until(exchanging, 60, "sums of the tier in every partition")
        before = alone()
        # The moving average has seen a few intervals by then.
        begin_ms = (int(time.time() * 1000) // INTERVAL_MS + 2) * INTERVAL_MS
        end_ms = begin_ms + WINDOW_MS
        wait_for(end_ms)
        wait_committed(tier)
        if alone() == before:
            return begin_ms, end_ms
    raise AssertionError(f"in {TRIES} spans of {WINDOW_MS} ms some worker was out of touch with the others")


def wait_for(moment_ms: int) -> None:
    """Until the clock has passed a moment."""
    wait_until(lambda: time.time() * 1000 > moment_ms, 4 * WINDOW_MS / 1000, "a moment of time")


def wait_committed(tier: Tier) -> None:
    """Until all that is in the span topic now is decided, and its watermark committed."""
    topic = tier.topics["spans"]
    ends = tier.kafka.end_offsets(topic)

    def passed() -> bool:
        committed = tier.kafka.committed(tier.group, topic)
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    wait_until(passed, 90, f"commits up to {ends}")


class Outcome:
    """What came and what was kept, by what the topics hold. Times are those of the decisions."""

    def __init__(self, tier: Tier) -> None:
        self.came: dict[str, tuple[int, str]] = {}
        """Moment of the decision, by stream time, and key of every trace."""
        for record in tier.kafka.read_all(tier.topics["spans"]):
            span = TracesData.FromString(record.value or b"").resource_spans[0].scope_spans[0].spans[0]
            (key,) = (each.value.string_value for each in span.attributes if each.key == "key")
            self.came[span.trace_id.hex()] = (record.timestamp_ms + WAIT_MS, key)
        self.rates: dict[str, float] = {}
        """`sampling.rate` of every kept trace."""
        for record in tier.kafka.read_all(tier.topics["sampled"]):
            span = TracesData.FromString(record.value or b"").resource_spans[0].scope_spans[0].spans[0]
            (rate,) = (each.value.double_value for each in span.attributes if each.key == "sampling.rate")
            self.rates[span.trace_id.hex()] = rate

    def limited(self, span: tuple[int, int]) -> float:
        """Spans kept a second by the token bucket."""
        kept = sum(
            SPANS for trace_id, (at_ms, key) in self.came.items()
            if key == "limited" and span[0] <= at_ms < span[1] and trace_id in self.rates
        )  # fmt: skip
        return kept * 1000 / (span[1] - span[0])

    def shared(self, span: tuple[int, int]) -> float:
        """Spans a second that are kept by the dynamic policy on average, by the chances that it gave each key.

        What was kept itself is a draw: of so few traces it lies 3 % off by chance.
        """
        came: Counter[tuple[str, int]] = Counter()
        chances: dict[tuple[str, int], list[float]] = defaultdict(list)
        for trace_id, (at_ms, key) in self.came.items():
            if key != "limited" and span[0] <= at_ms < span[1]:
                place = key, at_ms // INTERVAL_MS
                came[place] += SPANS
                if trace_id in self.rates:
                    chances[place].append(1 / self.rates[trace_id])
        expected = sum(came[place] * sum(each) / len(each) for place, each in chances.items())
        return expected * 1000 / (span[1] - span[0])

    def unevenness(self, span: tuple[int, int]) -> float:
        """How far the traffic of an interval, in this span of time or shortly before, lay off its mean.

        A machine that is busy delays whatever makes the traffic; chances that were planned for other traffic are off
        by as much.
        """
        by_interval = Counter(
            at_ms // INTERVAL_MS for at_ms, _ in self.came.values() if span[0] - 2 * INTERVAL_MS <= at_ms < span[1]
        )
        mean = sum(by_interval.values()) / len(by_interval)
        return max(abs(count / mean - 1) for count in by_interval.values())


@dataclass(frozen=True, slots=True)
class Kept:
    """Spans a second in a span of time: by the token bucket, and by `dynamic`; how uneven the traffic was."""

    limited: float
    shared: float
    unevenness: float


@dataclass(frozen=True, slots=True)
class Budgets:
    """With three workers, from then until two have settled, and with two after one was killed."""

    three: Kept
    between: Kept
    two: Kept


def run_budgets(kafka: KafkaCluster, folder: Path) -> Budgets:
    """Run the tier over some of its intervals, kill -9 one of its workers, and look at what the topics hold."""
    with (
        Tier(kafka, "budget", folder, POLICIES, partitions=len(WEIGHTS)) as tier,
        SkewedTraffic(kafka.bootstrap, tier.topics["spans"], WEIGHTS, TRACES_PER_S, spans=SPANS, keys=KEYS),
    ):
        for _ in range(3):
            tier.start_worker(wait=False)
        for number in range(3):
            tier.wait_ready(number)
        three = undisturbed(tier, [0, 1, 2])
        tier.workers[1].kill()
        two = undisturbed(tier, [0, 2])
    outcome = Outcome(tier)
    return Budgets(
        *(
            Kept(outcome.limited(span), outcome.shared(span), outcome.unevenness(span))
            for span in (three, (three[1], two[0]), two)
        )
    )

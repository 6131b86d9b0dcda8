"""A worker's link to the tier: real threads and a broker inside this process, partitions that the test moves on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from policies.exchange import Exchange
from sampler.clock import monotonic_s
from sampler.embedded.broker import EmbeddedBroker
from sampler.metrics import KeyspaceMetrics
from sampler.stream.keyspace import WARM_S
from sampler.stream.span_source import SourceView
from sampler.stream.tier_link import EMPTY_BEHIND_MS, TierLink
from tests.harness.process import wait_until
from tests.unit.policies.sample_policies import build, spec

TOPIC = "keyspace"
NOW_MS = 1_700_000_000_000
LIMITED = build(spec("rate_limiting", "rate", spans_per_second=10))
(KEY,) = LIMITED.exchange_keys
INTERVAL_MS = 5000
INTERVAL = NOW_MS // INTERVAL_MS


@dataclass
class Time:
    now_ms: int


@dataclass
class Engine:
    """What the link asks of an engine."""

    partition: int
    time: Time


@dataclass
class Partitions:
    """Stands for the pipeline and the source: partitions with their stream time, and how far each is read."""

    engines: list[Engine]
    seen: dict[int, SourceView] = field(default_factory=dict)

    def views(self, now_s: float) -> dict[int, SourceView]:
        return self.seen


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker with the keyspace topic."""
    with EmbeddedBroker({TOPIC: 2}) as running:
        yield running


def link_of(broker: EmbeddedBroker, *partitions: int, stream_ms: int = NOW_MS) -> tuple[TierLink, Partitions]:
    """A link of a worker that has these of three partitions."""
    conf: dict[str, Any] = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    work = Partitions([Engine(partition, Time(stream_ms)) for partition in partitions])
    link = TierLink(
        TOPIC, 3, cast(Any, work), {**conf, "group.id": "test"}, conf, KeyspaceMetrics(CollectorRegistry()),
        monotonic_s, lambda: NOW_MS,
    )  # fmt: skip
    link.attach(cast(Any, work))
    link.use_policies(LIMITED)
    return link, work


def exchange_of(link: TierLink, partition: int) -> Exchange:
    """The exchange of a partition that is taken up."""
    found = link.exchange_of(partition)
    assert found is not None
    return found


def metric(link: TierLink, name: str, **labels: str) -> float:
    """The value of a metric of a link."""
    return link._report._metrics.registry.get_sample_value(f"tailsampler_keyspace_{name}", labels) or 0.0


def test_two_workers_learn_of_each_other_and_say_how_it_goes(broker: EmbeddedBroker) -> None:
    """What one counts the other gets from the topic, also where it has several partitions; the metrics follow."""
    (first, mine), (second, theirs) = link_of(broker, 0, 1), link_of(broker, 2)
    counting = {p: exchange_of(link, p) for p, link in ((0, first), (1, first), (2, second))}
    for partition, exchange in counting.items():
        exchange.publish(KEY, INTERVAL, INTERVAL_MS, {"": (10.0**partition, 1.0)})
    for engine in (*mine.engines, *theirs.engines):
        engine.time.now_ms += INTERVAL_MS

    def complete() -> bool:
        for link in (first, second):
            link.look(monotonic_s())
        return not any(exchange.sums(KEY, INTERVAL).stale for exchange in counting.values())

    wait_until(complete, 30, "sums of all partitions")
    assert {tuple(each.sums(KEY, INTERVAL).counts[""]) for each in counting.values()} == {(111.0, 3.0)}
    first._report.report()
    assert metric(first, "sums_total", sums="complete") > 0
    assert metric(first, "stale", sums="alone") == 0
    assert metric(first, "keys") == 3
    assert counting[0].sums(KEY, INTERVAL + 9).stale
    first._report.report()
    assert metric(first, "stale", sums="alone") == 1
    wait_until(lambda: (first.look(monotonic_s()), metric(first, "records_written_total"))[1] >= 4, 30, "all written")
    for link in (first, second):
        link.close()


def test_a_worker_that_starts_knows_what_was_counted_before(broker: EmbeddedBroker) -> None:
    """It is not warm before the topic is read; then its first question is answered in full."""
    old, work = link_of(broker, 0, 1, 2)
    counting = [exchange_of(old, partition) for partition in range(3)]
    for interval in range(INTERVAL, INTERVAL + 3):
        for exchange in counting:
            exchange.publish(KEY, interval, INTERVAL_MS, {"": (5.0, 1.0)})
    for engine in work.engines:
        engine.time.now_ms += 3 * INTERVAL_MS
    old.tell_all(monotonic_s())
    wait_until(lambda: old._keyspace._reader.partitions > 0, 30, "the topic is found")
    for engine in work.engines:
        engine.time.now_ms += 2000
    old.tell_all(monotonic_s())
    old.close()
    new, _ = link_of(broker, 1, stream_ms=NOW_MS + 4 * INTERVAL_MS)
    began_s = monotonic_s()
    wait_until(lambda: new.warm(began_s), 30, "the topic is read")
    sums = exchange_of(new, 1).sums(KEY, INTERVAL + 2)
    assert (sums.counts, sums.own, sums.stale) == ({"": (15.0, 3.0)}, {"": (5.0, 1.0)}, False)
    new.close()


def test_a_worker_without_such_policies_does_not_wait(broker: EmbeddedBroker) -> None:
    """It may decide at once, touches no topic, and ends at once."""
    link, _ = link_of(broker, 0)
    idle = TierLink(
        TOPIC, 3, cast(Any, None), {}, {}, KeyspaceMetrics(CollectorRegistry()), monotonic_s, lambda: NOW_MS
    )
    idle.use_policies(build(spec("always_sample", "all")))
    assert idle.warm(monotonic_s())
    idle.look(monotonic_s())
    idle.close()
    assert link.warm(monotonic_s() + WARM_S + 1)
    link.close()


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (SourceView(7, 7, True), {0: NOW_MS - EMPTY_BEHIND_MS, 1: NOW_MS}),
        (SourceView(7, 9, True), {1: NOW_MS}),
        (SourceView(7, 7, False), {1: NOW_MS}),
        (None, {1: NOW_MS}),
    ],
    ids=["read to its end", "records wait", "the broker is silent", "not fetched"],
)
def test_a_partition_without_a_record_is_at_the_present_where_it_is_known_to_be_empty(
    broker: EmbeddedBroker, view: SourceView | None, told: dict[int, int]
) -> None:
    """Else the tier would wait for ever for partitions that nobody writes to; and not for those that lag."""
    link, work = link_of(broker, 1)
    work.engines.append(Engine(0, Time(-1)))
    work.seen = {} if view is None else {0: view}
    assert link._stream_ms() == told
    link.close()

"""The exchange of the tier: workers that come, go, fall silent and lose touch, over a topic in memory."""

from __future__ import annotations

import logging
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler.stream.keyspace import TOUCH_S, WARM_S
from sampler.stream.keyspace_removal import EVERY_S, UNUSED_MS
from tests.unit.stream.keyspace_lab import INTERVAL_MS, POLICY, START, START_MS, Topic, Worker, go_to

NOW = START * INTERVAL_MS


def tier(topic: Topic, *partitions: tuple[int, ...]) -> list[Worker]:
    """Workers with these partitions each, at the beginning of the first interval."""
    total = sum(map(len, partitions))
    return [Worker(topic, total, dict.fromkeys(mine, NOW)) for mine in partitions]


def test_every_worker_has_the_same_sums() -> None:
    """What the partitions of all workers have counted, those without traffic included."""
    workers = tier(Topic(), (0, 1), (2,), (3,))
    go_to(workers, START)
    for place, worker in enumerate(workers):
        worker.count(START, {partition: 10.0 * (place + 1) for partition in worker.stream_ms if partition != 3})
    go_to(workers, START + 1)
    go_to(workers, START + 2)
    for worker in workers:
        for partition in worker.stream_ms:
            assert worker.sums(partition, START) == (40, False)


def test_a_worker_that_is_lost_neither_halves_nor_doubles() -> None:
    """Its partitions count as they last did, then nothing but the own counts; with their next owner the sums are true
    again, though it has read none of them before.
    """
    topic = Topic()
    first, second = tier(topic, (0, 1), (2,))
    for interval in range(START, START + 4):
        go_to([first, second], interval)
        for worker in (first, second):
            worker.count(interval, dict.fromkeys(worker.stream_ms, 10.0))
    go_to([first, second], START + 4)
    told = []
    for interval in range(START + 4, START + 11):
        first.count(interval, dict.fromkeys(first.stream_ms, 10.0))
        go_to([first], interval + 1)
        told.append(first.sums(0, interval))
    assert told == [(30, True)] * 7
    assert first.keyspace.tier.answers["older"] == 3
    assert first.keyspace.tier.answers["alone"] == 4
    first.own({**first.stream_ms, 2: (START + 4) * INTERVAL_MS})
    for interval in range(START + 4, START + 12):
        first.count(interval, dict.fromkeys(first.stream_ms, 10.0))
    first.go_to(START + 12)
    assert first.sums(0, START + 11) == (30, False)


def test_a_worker_that_joins_knows_what_the_topic_holds() -> None:
    """Also from a topic that was compacted: the intervals that are asked for first have survived."""
    topic = Topic()
    old = tier(topic, (0, 1, 2))[0]
    for interval in range(START, START + 9):
        go_to([old], interval)
        old.count(interval, {0: 1.0, 1: 2.0, 2: 4.0})
    go_to([old], START + 9)
    new = Worker(topic.compacted(), 3, {2: (START + 9) * INTERVAL_MS})
    new.look()
    assert new.sums(2, START + 7) == (7, False)
    assert len(topic.compacted().records) < len(topic.records) / 2


@pytest.mark.parametrize("broken", ["hears", "speaks"])
def test_a_worker_out_of_touch_and_the_others_go_by_equal_parts(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """It hears nothing, or is not heard: together they would spend too much if only one of them knew. Then it ends."""
    caplog.set_level(logging.INFO)
    workers = tier(Topic(), (0,), (1,))
    well, ill = workers
    for interval in range(START, START + 12):
        setattr(ill.link, broken, not START + 3 <= interval < START + 9)
        go_to(workers, interval)
        for worker in workers:
            worker.now_s += INTERVAL_MS / 1000
            worker.count(interval, dict.fromkeys(worker.stream_ms, 10.0))
        if interval == START + 8:
            assert ill.sums(1, interval - 2) == (20, True)
            assert well.sums(0, interval - 2) == (20, True)
            assert (ill.keyspace.tier.latest, well.keyspace.tier.latest) == (
                {(POLICY, 1): "alone"}, {(POLICY, 0): "alone"},
            )  # fmt: skip
            assert ill.keyspace.lag_s > TOUCH_S
    assert ill.sums(1, START + 10) == (20, False)
    assert well.sums(0, START + 10) == (20, False)
    assert ill.keyspace.lag_s == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_worker_that_has_all_partitions_needs_no_topic() -> None:
    """It knows all there is to know by itself."""
    alone = tier(Topic(), (0, 1))[0]
    alone.link.hears = alone.link.speaks = False
    for interval in range(START, START + 5):
        alone.count(interval, {0: 3.0, 1: 4.0})
        alone.go_to(interval + 1, seconds=10)
    assert alone.sums(0, START + 3) == (7, False)


def test_without_the_topic_partitions_go_by_equal_parts() -> None:
    """A topic that is missing, or brokers that never answered: nothing is sent into the void, and nothing waits."""
    workers = tier(Topic(), (0,), (1,))
    for worker in workers:
        worker.link.partitions, worker.link.missing = 0, True
        assert worker.keyspace.warm(worker.now_s)
    for interval in range(START, START + 5):
        go_to(workers, interval)
        for worker in workers:
            worker.now_s += TOUCH_S
            worker.count(interval, dict.fromkeys(worker.stream_ms, 5.0))
    assert workers[0].sums(0, START + 2) == (10, True)
    assert workers[0].link.log.records == []


def test_deciding_begins_when_the_topic_is_read_and_waits_no_longer_than_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fresh worker is warm; one whose topic cannot be read goes on without, and says so. Once begun, it stays so."""
    quick, slow = tier(Topic(), (0,), (1,))
    quick.link.caught_up = slow.link.caught_up = False
    assert not quick.keyspace.warm(quick.now_s)
    quick.link.caught_up = True
    assert quick.keyspace.warm(quick.now_s)
    quick.link.caught_up = False
    assert quick.keyspace.warm(quick.now_s)
    assert not slow.keyspace.warm(slow.now_s + WARM_S - 0.1)
    assert not caplog.records
    assert slow.keyspace.warm(slow.now_s + WARM_S)
    assert "equal parts" in caplog.text


def test_nothing_is_started_where_no_policy_asks() -> None:
    """Neither a thread nor a record, until a reload brings such a policy; then nothing waits."""
    topic = Topic()
    worker = Worker(topic, 2, {0: NOW})
    idle = Worker(Topic(), 1, {})
    assert not idle.link.started, "one partition has nobody to ask"
    assert idle.keyspace.exchange_of(0) is None
    fresh = type(worker.keyspace)(2, worker.link, _Unused(), lambda: 0.0, lambda: 0)
    fresh.use_policies(frozenset())
    fresh.look(1.0, lambda: {0: NOW})
    assert fresh.warm(1.0)
    assert not fresh.running
    fresh.close()
    assert not worker.link.closed


class _Unused:
    """A writer that must not be used."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was called")


def test_counts_of_policies_that_are_gone_are_removed_after_an_hour() -> None:
    """By whoever has the partition, when nobody has written any for so long; other policies' stay."""
    topic = Topic()
    worker = tier(topic, (0, 1))[0]
    worker.count(START, {0: 1.0, 1: 1.0})
    worker.go_to(START + 1)
    worker.keyspace.use_policies({"other@4567"})
    worker.exchange[0].publish("other@4567", START + 1, INTERVAL_MS, {"": (5.0,)})
    topic.now_ms = START_MS + UNUSED_MS + 1
    worker.go_to(START + 2)
    worker.own({0: (START + 2) * INTERVAL_MS})
    worker.now_s += EVERY_S
    worker.look()
    gone = [key for key, value, _ in topic.records if value is None]
    assert gone == [key for key, _, _ in topic.records if POLICY.encode() in key and b",0,%d," % (START % 4) in key][:1]
    assert all(b"other" not in key for key in gone)
    worker.now_s += EVERY_S
    worker.look()
    worker.now_s += EVERY_S
    worker.look()
    assert [key for key, value, _ in topic.records if value is None] == gone
    assert worker.keyspace.tier.reported(0).keys() == {"other@4567"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sums_are_true_whatever_happens_to_workers(data: st.DataObject) -> None:
    """Partitions move between three workers, one starts anew, ticks are repeated: sums that are called complete are
    those of what the partitions have counted.
    """
    topic, partitions = Topic(), 5
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    workers = [Worker(topic, partitions, {}) for _ in range(3)]
    truth: dict[tuple[int, int], float] = {}
    complete = 0
    for interval in range(START, START + 12):
        if draw.random() < 0.2:
            workers[draw.randrange(3)] = Worker(topic, partitions, {})
        owners = [draw.randrange(3) if draw.random() < 0.3 else (partition % 3) for partition in range(partitions)]
        for place, worker in enumerate(workers):
            worker.own({p: interval * INTERVAL_MS for p in range(partitions) if owners[p] == place})
        for partition, owner in enumerate(owners):
            if draw.random() < 0.8:
                truth[partition, interval] = float(draw.randrange(100))
                for value in (1.0, truth[partition, interval]):
                    workers[owner].count(interval, {partition: value})
        go_to(workers, interval + 1)
        go_to(workers, interval + 1)
        for worker in workers:
            for partition in worker.stream_ms:
                for asked in range(interval, max(START, interval - 3) - 1, -1):
                    found = worker.exchange[partition].sums(POLICY, asked)
                    if found.partitions > 1 and found.interval >= START:
                        complete += not found.stale
                        expected = sum(truth.get((p, found.interval), 0.0) for p in range(partitions))
                        assert found.counts.get("", (0.0,))[0] == expected
    assert complete > 50

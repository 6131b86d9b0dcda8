"""The span source on a real Kafka: what is held back and let go comes again, each record once and in order."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from sampler.clock import monotonic_s
from sampler.stream.span_source import SpanSource
from tests.harness.kafka import KafkaCluster

pytestmark = pytest.mark.kafka

PARTITIONS = 4
RECORDS = 30_000


def test_read_ahead_that_is_let_go_is_read_again(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """Partitions are paused and resumed at random, all of them now and then, with fetches of any size."""
    topic, rng = topics("source"), random.Random(1)
    kafka.create_topic(topic, PARTITIONS)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 50, "log_level": 0})
    for number in range(RECORDS):
        producer.produce(topic, b"%d " % number + b"x" * 300, partition=number % PARTITIONS)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(30) == 0
    source = SpanSource({"bootstrap.servers": kafka.bootstrap, "group.id": topic}, topic, initial="earliest",
                        monotonic_s=monotonic_s)  # fmt: skip
    try:
        source.assign(dict.fromkeys(range(PARTITIONS), 0), 1)
        found: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
        position = dict.fromkeys(range(PARTITIONS), 0)
        deadline_s, pauses = monotonic_s() + 60, 0
        while sum(map(len, found.values())) < RECORDS:
            assert monotonic_s() < deadline_s, position
            active = {partition for partition in range(PARTITIONS) if rng.random() < 0.6}
            if rng.random() < 0.2:
                active, pauses = set(), pauses + 1
            source.fetch_share = rng.choice([0.01, 0.25, 1.0])
            for batch in source.fetch(active, 0.02):
                assert batch.partition in active or not batch.records
                assert batch.start_offset == position[batch.partition]
                position[batch.partition] = batch.next_offset
                found[batch.partition] += [int(value.split()[0]) for _, _, value in batch.records]
        assert pauses > 5
        assert found == {p: list(range(p, RECORDS, PARTITIONS)) for p in range(PARTITIONS)}
        assert source.gaps == 0
        views = source.views(monotonic_s())
        assert {number: view.position for number, view in views.items()} == position
    finally:
        source.close()

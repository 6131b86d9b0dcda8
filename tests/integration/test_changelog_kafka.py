"""The head start of recovery on a real Kafka: databases are as a record-by-record reading would leave them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from rocksdict import Options, Rdict

from sampler.clock import monotonic_s
from sampler.stream.changelog import read_changelog
from tests.harness.kafka import KafkaCluster

pytestmark = pytest.mark.kafka

OFFSET_KEY = b"offset"
PARTITIONS = 3
TIMEOUT_S = 30.0


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[dict[int, Rdict]]:
    """An empty database for each partition."""
    found = {p: Rdict(str(tmp_path / f"{p}.db"), options=Options(raw_mode=True)) for p in range(PARTITIONS)}
    yield found
    for db in found.values():
        db.close()


def write(kafka: KafkaCluster, topic: str, changes: list[tuple[int, bytes, bytes | None]]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for partition, key, value in changes:
        producer.produce(topic, key=key, value=value, partition=partition)
    assert producer.flush(30) == 0


def test_databases_follow_the_changelog_from_where_they_are(
    kafka: KafkaCluster, topics: Callable[[str], str], databases: dict[int, Rdict]
) -> None:
    """Sets and deletions in their order, each read once over two readings; an empty partition stays empty."""
    topic, rng = topics("changelog"), random.Random(1)
    kafka.create_topic(topic, PARTITIONS, config={"cleanup.policy": "compact"})
    conf = {"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0}
    wanted: dict[int, dict[bytes, bytes]] = {partition: {} for partition in range(PARTITIONS)}
    ends = dict.fromkeys(range(PARTITIONS), 0)
    for _ in range(2):
        changes = [
            (rng.randrange(2), b"key %d" % rng.randrange(50), None if rng.random() < 0.3 else rng.randbytes(20))
            for _ in range(2000)
        ]
        for partition, key, value in changes:
            ends[partition] += 1
            if value is None:
                wanted[partition].pop(key, None)
            else:
                wanted[partition][key] = value
        write(kafka, topic, changes)
        read = read_changelog(conf, topic, databases, OFFSET_KEY, timeout_s=TIMEOUT_S, monotonic_s=monotonic_s)
        assert read == len(changes)
        for partition, db in databases.items():
            last = {OFFSET_KEY: b"%d" % (ends[partition] - 1)} if ends[partition] else {}
            assert dict(db.items()) == wanted[partition] | last


def test_an_offset_beyond_the_changelog_is_left_to_faust(
    kafka: KafkaCluster, topics: Callable[[str], str], databases: dict[int, Rdict]
) -> None:
    """A database of another changelog is not filled from the beginning of this one: Faust names it and stops."""
    topic = topics("changelog")
    kafka.create_topic(topic, PARTITIONS, config={"cleanup.policy": "compact"})
    write(kafka, topic, [(0, b"key", b"value")])
    databases[0].put(OFFSET_KEY, b"500")
    conf = {"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0}
    read_changelog(conf, topic, databases, OFFSET_KEY, timeout_s=TIMEOUT_S, monotonic_s=monotonic_s)
    assert dict(databases[0].items()) == {OFFSET_KEY: b"500"}


def test_brokers_that_do_not_answer_are_waited_for_no_longer_than_said(databases: dict[int, Rdict]) -> None:
    """Then Faust goes on, which has its own way to wait."""
    conf = {"bootstrap.servers": "127.0.0.1:1", "group.id": "none", "log_level": 0}
    start_s = monotonic_s()
    assert read_changelog(conf, "none", databases, OFFSET_KEY, timeout_s=1.0, monotonic_s=monotonic_s) == 0
    assert monotonic_s() - start_s < 10

"""Loads as topics of a real Kafka."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # not marked as its own

from benchmarks.loads import PARTITIONS, LoadRecord
from tests.harness.kafka import KafkaCluster

FLUSH_S = 120.0
JAVA_HEAP = "1g"
POLL_EVERY = 1_000


class _Deliveries:
    """The first delivery that failed."""

    def __init__(self) -> None:
        self.error: KafkaError | None = None

    def __call__(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self.error is None:
            self.error = error


def fill(kafka: KafkaCluster, topic: str, records: Iterable[LoadRecord]) -> int:
    """Create a topic that takes the records' own timestamps, write them uncompressed, and return their number.

    RuntimeError where the broker did not take all of them.
    """
    kafka.create_topic(topic, PARTITIONS, config={"message.timestamp.type": "CreateTime"})
    deliveries = _Deliveries()
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "log_level": 3,  # a fresh broker's coordinator may let the idempotent producer ask twice
            "compression.type": "none",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 256 * 1024,
            "acks": "all",
            "enable.idempotence": True,
        }
    )
    written = 0
    for record in records:
        while True:
            try:
                producer.produce(
                    topic, record.value, record.key, record.partition, deliveries, timestamp=record.timestamp_ms
                )
            except BufferError:
                producer.poll(0.05)
                continue
            break
        written += 1
        if written % POLL_EVERY == 0:
            producer.poll(0)
    left = producer.flush(FLUSH_S)
    if left or deliveries.error is not None:
        raise RuntimeError(f"{topic}: {left} records not written within {FLUSH_S:g} s, error: {deliveries.error}")
    return written


def written(kafka: KafkaCluster, topic: str) -> int:
    """Records in a topic of a benchmark at this moment; one request, so that it can be asked often."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(topic, partition): latest for partition in range(PARTITIONS)}
    return sum(future.result(30).offset for future in kafka.admin_client.list_offsets(asked).values())


def delete(kafka: KafkaCluster, topics: Iterable[str]) -> None:
    """Delete topics, so that the next run finds the disk and the page cache as this one did."""
    for future in kafka.admin_client.delete_topics(list(topics), operation_timeout=30).values():
        future.result(30)

"""Reads whole topics and committed offsets with confluent-kafka, for tests and benchmarks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from confluent_kafka import Consumer, KafkaException, TopicPartition

Setting: TypeAlias = str | int | float | bool
"""A value of a client setting."""

REQUEST_S = 30.0
BATCH = 10_000
BATCH_WAIT_S = 0.1


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic; `headers` in their order."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


def committed_offsets(client: Mapping[str, Setting], group: str, topic: str) -> dict[int, int]:
    """Offset committed by a group per partition; partitions without one, and unknown groups, are absent."""
    consumer = Consumer({**client, "group.id": group, "enable.auto.commit": False})
    try:
        asked = [TopicPartition(topic, partition) for partition in _partitions(consumer, topic)]
        found = consumer.committed(asked, timeout=REQUEST_S)
    finally:
        consumer.close()
    return {each.partition: each.offset for each in found if each.offset >= 0}


def partition_ends(client: Mapping[str, Setting], topic: str) -> dict[int, int]:
    """Offset after the last record, per partition."""
    consumer = _reader(client)
    try:
        return {partition: high for partition, (_, high) in _bounds(consumer, topic).items()}
    finally:
        consumer.close()


def read_topic(client: Mapping[str, Setting], topic: str, timeout_s: float) -> list[Record]:
    """Every record that is in a topic at this moment, sorted by partition and offset.

    Records that compaction or an aborted transaction took away are not waited for. TimeoutError after `timeout_s`.
    """
    consumer = _reader(client)
    try:
        bounds = _bounds(consumer, topic)
        pending = {partition: high for partition, (low, high) in bounds.items() if high > low}
        consumer.assign([TopicPartition(topic, partition, bounds[partition][0]) for partition in pending])
        records: list[Record] = []
        end = time.monotonic() + timeout_s
        while pending:
            if time.monotonic() > end:
                raise TimeoutError(f"{topic}: not read to its end within {timeout_s:g} s, partitions left: {pending}")
            for message in consumer.consume(BATCH, BATCH_WAIT_S):
                if message.error():
                    raise KafkaException(message.error())
                record = _record(message)
                if record.offset < bounds[record.partition][1]:
                    records.append(record)
            positions = consumer.position([TopicPartition(topic, partition) for partition in pending])
            pending = {each.partition: pending[each.partition] for each in positions if not _read(each, pending)}
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _read(position: TopicPartition, ends: Mapping[int, int]) -> bool:
    """Whether a consumer's position is at or behind the end noted for its partition."""
    return bool(position.offset >= ends[position.partition])


def _reader(client: Mapping[str, Setting]) -> Consumer:
    """A consumer that commits nothing; records that vanish before it reads them are an error."""
    return Consumer({**client, "group.id": "tests.reader", "enable.auto.commit": False, "auto.offset.reset": "error"})


def _bounds(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """First offset and the one after the last, per partition."""
    bounds: dict[int, tuple[int, int]] = {}
    for partition in _partitions(consumer, topic):
        found = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=REQUEST_S)
        if found is None:
            raise TimeoutError(f"{topic}: no offsets of partition {partition} within {REQUEST_S:g} s")
        bounds[partition] = found
    return bounds


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    """The partitions of a topic; KafkaException where it does not exist."""
    metadata = consumer.list_topics(topic, timeout=REQUEST_S).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return sorted(metadata.partitions)


def _record(message: Any) -> Record:
    """The parts of a message that tests look at."""
    return Record(
        message.key(),
        message.value(),
        message.partition(),
        message.offset(),
        tuple(message.headers() or ()),
        message.timestamp()[1],
    )

"""`python -m benchmarks.consumers confluent|aiokafka BROKERS TOPIC`: a consumer that reads value and key of every
record that is in a topic and does nothing with them; prints its figures as one JSON object.

Its CPU is counted from its assignment to its last record: the limit of what a worker on the same library can reach.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.measure import peak_rss_mb

TIMEOUT_S = 300.0
REQUEST_S = 30.0
BATCH = 10_000
BATCH_WAIT_S = 0.03

Figures: TypeAlias = tuple[int, int, float]
"""Records, bytes of values and keys, CPU seconds."""


def cpu_s() -> float:
    """User and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read_with_confluent(brokers: str, topic: str) -> Figures:
    """With librdkafka and the settings of its queues that a worker uses."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "benchmarks.confluent",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 32 * 1024,
            "queued.min.messages": 20_000,
        }
    )
    try:
        partitions = [
            TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, REQUEST_S).topics[topic].partitions
        ]
        expected = sum(consumer.get_watermark_offsets(p, timeout=REQUEST_S)[1] for p in partitions)
        started_s, records, size = cpu_s(), 0, 0
        deadline_s = time.monotonic() + TIMEOUT_S
        consumer.assign(partitions)
        while records < expected:
            _check(deadline_s)
            for message in consumer.consume(BATCH, BATCH_WAIT_S):
                if message.error():
                    raise KafkaException(message.error())
                size += len(message.value() or b"") + len(message.key() or b"")
                records += 1
        return records, size, cpu_s() - started_s
    finally:
        consumer.close()


async def read_with_aiokafka(brokers: str, topic: str) -> Figures:
    """With aiokafka, in the batches it hands out itself."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [AioPartition(topic, p) for p in range(await _partitions(brokers, topic))]
        expected = sum((await consumer.end_offsets(partitions)).values())
        started_s, records, size = cpu_s(), 0, 0
        deadline_s = time.monotonic() + TIMEOUT_S
        consumer.assign(partitions)
        while records < expected:
            _check(deadline_s)
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                for message in batch:
                    size += len(message.value or b"") + len(message.key or b"")
                records += len(batch)
        return records, size, cpu_s() - started_s
    finally:
        await consumer.stop()


async def _partitions(brokers: str, topic: str) -> int:
    reader = AIOKafkaConsumer(topic, bootstrap_servers=brokers, enable_auto_commit=False)
    await reader.start()
    try:
        return len(reader.partitions_for_topic(topic) or ())
    finally:
        await reader.stop()


def _check(deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise TimeoutError(f"the topic was not read to its end within {TIMEOUT_S:g} s")


def main(library: str, brokers: str, topic: str) -> None:
    """Read the topic and print what it took."""
    if library == "confluent":
        records, size, used_s = read_with_confluent(brokers, topic)
    else:
        records, size, used_s = asyncio.run(read_with_aiokafka(brokers, topic))
    figures = {"records": records, "bytes": size, "cpu_s": used_s, "rss_mb": peak_rss_mb(os.getpid())}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:4])

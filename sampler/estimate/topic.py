"""Reads the sampled topic as far as it goes now, from its beginning or from a moment on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

REQUEST_S = 15.0
BATCH = 1000
WAIT_S = 0.2
PATIENCE = 150
"""Empty answers in a row, of WAIT_S each, after which the topic is given up."""


class TopicReadError(Exception):
    """The topic cannot be read: which, where, and why."""


def read_topic(conf: Mapping[str, Any], topic: str, since_ms: int | None = None) -> Iterator[bytes]:
    """The values of the records from `since_ms` on (milliseconds of Unix time; None is the beginning).

    Reading ends where the topic ended when it began. TopicReadError where Kafka does not give it.
    """
    consumer = Consumer({**conf, "group.id": "tailsampler.estimate", "enable.auto.commit": False,
                         "enable.partition.eof": False, "log_level": 0})  # fmt: skip
    try:
        starts = _starts(consumer, topic, since_ms)
        ends = {each.partition: consumer.get_watermark_offsets(each, timeout=REQUEST_S)[1] for each in starts}
        open_ends = {each.partition: ends[each.partition] for each in starts if each.offset < ends[each.partition]}
        consumer.assign([each for each in starts if each.partition in open_ends])
        yield from _until(consumer, topic, open_ends)
    except KafkaException as error:
        advice = f"brokers: {conf.get('bootstrap.servers')}; are they up, and are address and login right?"
        raise TopicReadError(f"topic {topic} cannot be read: {error.args[0].str()} ({advice})") from error
    finally:
        consumer.close()


def _starts(consumer: Consumer, topic: str, since_ms: int | None) -> list[TopicPartition]:
    """Where to begin in every partition."""
    found = consumer.list_topics(topic, timeout=REQUEST_S).topics[topic]
    if found.error is not None:
        raise TopicReadError(f"topic {topic} cannot be read: {found.error.str()}")
    whole = [TopicPartition(topic, number) for number in found.partitions]
    firsts = {each.partition: consumer.get_watermark_offsets(each, timeout=REQUEST_S)[0] for each in whole}
    if since_ms is None:
        return [TopicPartition(topic, number, first) for number, first in firsts.items()]
    asked = [TopicPartition(topic, number, since_ms) for number in firsts]
    # -1: no record is as late as that.
    return [each for each in consumer.offsets_for_times(asked, timeout=REQUEST_S) if each.offset >= 0]


def _until(consumer: Consumer, topic: str, open_ends: dict[int, int]) -> Iterator[bytes]:
    """The values of the assigned partitions up to their ends."""
    empty = 0
    while open_ends:
        messages: list[Message] = consumer.consume(BATCH, WAIT_S)
        empty = 0 if messages else empty + 1
        if empty > PATIENCE:
            raise TopicReadError(f"topic {topic}: nothing came for {PATIENCE * WAIT_S:.0f} s, with {open_ends} to go")
        for message in messages:
            error = message.error()
            if error is not None:
                raise TopicReadError(f"topic {topic} cannot be read: {error.str()}")
            value, end = message.value(), open_ends.get(message.partition() or 0, 0)
            if value and (message.offset() or 0) < end:
                yield value
        # By the position, since the last offsets may hold no record.
        for place in consumer.position([TopicPartition(topic, number) for number in open_ends]):
            if place.offset >= open_ends[place.partition]:
                del open_ends[place.partition]

"""The threads that read and write the keyspace topic, with a broker inside this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from policies.tier_counts import Report
from sampler.clock import monotonic_s
from sampler.embedded.broker import EmbeddedBroker
from sampler.stream.keyspace_codec import CountsPart, Decoded, Removed, encode_counts
from sampler.stream.keyspace_reader import KeyspaceReader
from sampler.stream.keyspace_writer import KeyspaceWriter
from tests.harness.process import wait_until

TOPIC = "keyspace"
WAIT_S = 30.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker with the keyspace topic."""
    with EmbeddedBroker({TOPIC: 1}) as running:
        yield running


def reader_of(broker: EmbeddedBroker, topic: str = TOPIC) -> KeyspaceReader:
    """A reader that has begun."""
    conf = {
        "bootstrap.servers": broker.bootstrap, "group.id": "test", "log_level": 0, "reconnect.backoff.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 200,
    }  # fmt: skip
    reader = KeyspaceReader(conf, topic, monotonic_s)
    reader.start()
    return reader


def writer_of(broker: EmbeddedBroker, delivery_ms: int = 15_000) -> KeyspaceWriter:
    """A writer that has begun."""
    conf = {"bootstrap.servers": broker.bootstrap, "log_level": 0, "linger.ms": 0, "reconnect.backoff.max.ms": 100}
    writer = KeyspaceWriter(conf, TOPIC, monotonic_s, delivery_ms=delivery_ms)
    writer.start()
    return writer


def write(broker: EmbeddedBroker, *records: tuple[bytes | None, bytes | None]) -> None:
    """Put records into the topic and wait until they are there."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for key, value in records:
        producer.produce(TOPIC, value, key, 0)
    assert producer.flush(WAIT_S) == 0


def counted(interval: int, partition: int = 0) -> tuple[bytes, bytes]:
    """A record of counts."""
    return encode_counts(partition, "somebody", Report("p", interval, 5000, {"a": (float(interval),)}))[0]


def taken(reader: KeyspaceReader, count: int) -> list[Decoded]:
    """The next so many records."""
    found: list[Decoded] = []

    def enough() -> bool:
        found.extend(record for _, _, record in reader.take())
        return len(found) >= count

    wait_until(enough, WAIT_S, f"{count} records", lambda: f"{found} missing={reader.missing}")
    return found


def intervals(records: list[Decoded]) -> list[int]:
    """Of which intervals there are counts."""
    return [record.report.interval for record in records if isinstance(record, CountsPart)]


def test_a_reader_gives_what_is_newest_of_each_key_and_then_all_that_comes(broker: EmbeddedBroker) -> None:
    """What the topic held at the start comes once it was read to its end, as if it had been compacted just then."""
    write(broker, counted(1), counted(2), counted(5), counted(3, partition=1), (counted(2)[0], None))
    reader = reader_of(broker)
    wait_until(lambda: reader.caught_up, WAIT_S, "the end of the topic")
    found = taken(reader, 3)
    assert intervals(found) == [5, 3], "of places 1 to 3 the first has interval 5 by now"
    assert isinstance(found[-1], Removed)
    assert reader.received == 5
    write(broker, counted(6), counted(6))
    assert intervals(taken(reader, 2)) == [6, 6]
    reader.close()


def test_poison_is_skipped_and_counted(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    """Records that no worker wrote end nothing: what comes after them is read. The log names one a minute."""
    reader = reader_of(broker)
    write(broker, (None, b"x"), (b"x", b"x"), (counted(1)[0], b"{}"), counted(4), (None, None))
    assert intervals(taken(reader, 1)) == [4]
    wait_until(lambda: reader.poison == 4, WAIT_S, "four records skipped")
    assert 0 < len([record for record in caplog.records if "skipped" in record.message]) < 4
    reader.close()


def test_a_topic_that_is_missing_is_waited_for(broker: EmbeddedBroker) -> None:
    """The reader says so, does not make it, and reads it when somebody has."""
    reader = reader_of(broker, "later")
    wait_until(lambda: reader.missing, WAIT_S, "the topic is found missing")
    assert not reader.partitions
    broker.create_topic("later", 1)
    wait_until(lambda: reader.caught_up, WAIT_S, "the topic is read")
    assert (reader.missing, reader.partitions) == (False, 1)
    reader.close()


def test_a_broker_that_is_gone_for_a_while_loses_nothing_that_was_written(broker: EmbeddedBroker) -> None:
    """Neither the reader nor the writer ends, or blocks whoever uses them; reading goes on where it was."""
    reader, writer = reader_of(broker), writer_of(broker)
    writer.send(*counted(1), 0)
    assert intervals(taken(reader, 1)) == [1]
    broker.broker_down()
    writer.send(*counted(2), 0)
    assert reader.take() == []
    broker.broker_up()

    def delivered() -> bool:
        writer.poll()
        return writer.delivered == 2

    wait_until(delivered, WAIT_S, "both records are there")
    assert intervals(taken(reader, 1)) == [2]
    writer.close(1.0)
    reader.close()


def test_what_cannot_be_delivered_is_given_up_and_counted(broker: EmbeddedBroker) -> None:
    """Sending returns at once, whether a broker is there or not; what is too old to serve is thrown away."""
    writer = writer_of(broker, delivery_ms=300)
    broker.broker_down()
    writer.send(*counted(1), 0)
    writer.send(b"too large", b"x" * 2_000_000, 0)
    assert writer.lost == 1

    def lost() -> bool:
        writer.poll()
        return writer.lost == 2

    wait_until(lost, WAIT_S, "the record is given up")
    writer.close(0.1)


def test_closing_what_was_never_started_is_nothing() -> None:
    """A worker without policies that ask ends as any other."""
    KeyspaceWriter({}, TOPIC, monotonic_s).close(1.0)
    KeyspaceReader({}, TOPIC, monotonic_s).close()

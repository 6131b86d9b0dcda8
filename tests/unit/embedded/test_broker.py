"""The embedded broker, used as any client uses a Kafka."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import confluent_kafka
import pytest

from sampler.embedded import librdkafka
from sampler.embedded.broker import EmbeddedBroker, EmbeddedBrokerError

PRODUCE = 0
REQUEST_TIMED_OUT = 7
MSG_SIZE_TOO_LARGE = 10


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker with one topic of three partitions."""
    with EmbeddedBroker({"spans": 3}) as running:
        yield running


def producer(broker: EmbeddedBroker, **settings: object) -> confluent_kafka.Producer:
    """An idempotent producer that sends at once and logs nothing."""
    conf: dict[str, object] = {"enable.idempotence": True, "linger.ms": 0, "log_level": 0}
    return confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, **conf, **settings})


def send(client: confluent_kafka.Producer, value: bytes, partition: int = 0) -> confluent_kafka.KafkaError | None:
    """Produce one record, wait for its outcome and return the error of it."""
    outcome: list[confluent_kafka.KafkaError | None] = []
    client.produce("spans", value, partition=partition, on_delivery=lambda error, _: outcome.append(error))
    assert client.flush(10) == 0
    return outcome[0]


def read(broker: EmbeddedBroker, partition: int, count: int) -> list[bytes]:
    """The first `count` values of a partition."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([confluent_kafka.TopicPartition("spans", partition, 0)])
        return [message.value() for message in consumer.consume(count, 10)]
    finally:
        consumer.close()


def test_what_is_produced_is_consumed(broker: EmbeddedBroker) -> None:
    """Records come out of the partition they were put into, in their order."""
    client = producer(broker)
    assert [send(client, value, partition=2) for value in (b"one", b"two")] == [None, None]
    assert read(broker, partition=2, count=2) == [b"one", b"two"]


def test_topics_have_the_partitions_asked_for(broker: EmbeddedBroker) -> None:
    """A topic named at the start, and one made later, are seen by a client with exactly their partitions."""
    broker.create_topic("more", 5)
    topics = producer(broker).list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {"spans": 3, "more": 5}


def test_the_controller_exists(broker: EmbeddedBroker) -> None:
    """The cluster names a broker it has as its controller; aiokafka refuses the mock cluster's default of 0."""
    metadata = producer(broker).list_topics(timeout=10)
    assert metadata.controller_id in metadata.brokers


def test_three_brokers_share_the_partitions() -> None:
    """Every broker of a larger cluster is in `bootstrap` and leads part of the partitions."""
    with EmbeddedBroker({"spans": 6}, brokers=3) as broker:
        assert len(broker.bootstrap.split(",")) == 3
        partitions = producer(broker).list_topics(timeout=10).topics["spans"].partitions.values()
        assert {partition.leader for partition in partitions} == {1, 2, 3}


def test_a_group_assigns_and_commits(broker: EmbeddedBroker) -> None:
    """A member of a group gets the partitions soon, and the offset it commits is the group's."""
    send(producer(broker), b"one")
    conf = {"bootstrap.servers": broker.bootstrap, "group.id": "g", "auto.offset.reset": "earliest", "log_level": 0}
    consumer = confluent_kafka.Consumer({**conf, "enable.auto.commit": False})
    try:
        consumer.subscribe(["spans"])
        (message,) = consumer.consume(1, 20)
        consumer.commit(message, asynchronous=False)
        (committed,) = consumer.committed([confluent_kafka.TopicPartition("spans", 0)], timeout=10)
    finally:
        consumer.close()
    assert (message.value(), committed.offset) == (b"one", 1)


def test_a_pushed_error_is_answered_once(broker: EmbeddedBroker) -> None:
    """A permanent error pushed for Produce fails exactly the next record."""
    broker.push_request_errors(PRODUCE, [MSG_SIZE_TOO_LARGE])
    error = send(producer(broker), b"refused")
    assert error is not None
    assert error.code() == MSG_SIZE_TOO_LARGE
    assert send(producer(broker), b"accepted") is None


def test_a_passing_error_is_retried(broker: EmbeddedBroker) -> None:
    """An error that a client retries delays a record and neither loses nor doubles it."""
    client = producer(broker, **{"retry.backoff.ms": 10})
    broker.push_request_errors(PRODUCE, [REQUEST_TIMED_OUT, REQUEST_TIMED_OUT])
    assert send(client, b"late") is None
    assert read(broker, partition=0, count=1) == [b"late"]


def test_cleared_errors_are_not_answered(broker: EmbeddedBroker) -> None:
    """Errors that were pushed and cleared reach nobody."""
    broker.push_request_errors(PRODUCE, [MSG_SIZE_TOO_LARGE] * 3)
    broker.clear_request_errors(PRODUCE)
    assert send(producer(broker), b"accepted") is None


def test_a_broker_that_was_down_comes_back(broker: EmbeddedBroker) -> None:
    """A record produced while the broker is down is not acknowledged, and is once it is up again."""
    client = producer(broker, **{"reconnect.backoff.max.ms": 100})
    assert send(client, b"before") is None
    broker.broker_down()
    outcome: list[confluent_kafka.KafkaError | None] = []
    client.produce("spans", b"during", partition=0, on_delivery=lambda error, _: outcome.append(error))
    assert client.flush(0.3) == 1
    broker.broker_up()
    assert client.flush(20) == 0
    assert outcome == [None]
    assert read(broker, partition=0, count=2) == [b"before", b"during"]


def test_a_round_trip_time_delays_the_answer(broker: EmbeddedBroker) -> None:
    """A record whose answer is held back is not acknowledged before it."""
    client = producer(broker)
    assert send(client, b"quick") is None
    broker.set_rtt_ms(1500)
    client.produce("spans", b"slow", partition=0)
    assert client.flush(0.5) == 1
    broker.set_rtt_ms(0)
    assert client.flush(10) == 0


@pytest.mark.parametrize(
    ("name", "partitions", "replicas", "words"),
    [("spans", 3, 1, "spans.*exists"), ("wide", 1, 2, "wide.*2 replicas.*has 1"), ("none", 0, 1, "none.*not 0")],
)
def test_an_impossible_topic_is_refused(
    broker: EmbeddedBroker, name: str, partitions: int, replicas: int, words: str
) -> None:
    """A topic that exists, that has more replicas than brokers or no partition is refused with its name."""
    with pytest.raises(EmbeddedBrokerError, match=words):
        broker.create_topic(name, partitions, replicas)


def test_a_broker_that_is_not_there_is_named(broker: EmbeddedBroker) -> None:
    """A fault injected into a broker that does not exist is an error, not silence."""
    with pytest.raises(EmbeddedBrokerError, match="broker 9"):
        broker.broker_down(9)


def test_a_closed_broker_refuses_calls() -> None:
    """After `close`, which may be called twice, every call is an error rather than a crash."""
    broker = EmbeddedBroker()
    broker.close()
    broker.close()
    with pytest.raises(EmbeddedBrokerError, match="closed"):
        broker.create_topic("late", 1)


def test_a_cluster_without_brokers_is_refused() -> None:
    """Zero brokers are an error of the caller."""
    with pytest.raises(ValueError, match="at least one broker"):
        EmbeddedBroker(brokers=0)


@pytest.mark.parametrize("ending", ["broker.close()", "pass", "del broker"])
def test_a_process_ends_cleanly_with_a_broker(ending: str) -> None:
    """The interpreter exits with status 0 and without a word whether the broker was closed, kept or forgotten."""
    lines = [
        "import confluent_kafka",
        "from sampler.embedded.broker import EmbeddedBroker",
        "broker = EmbeddedBroker({'spans': 1})",
        "producer = confluent_kafka.Producer({'bootstrap.servers': broker.bootstrap, 'log_level': 0})",
        "producer.produce('spans', b'value')",
        "assert producer.flush(10) == 0",
        ending,
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no librdkafka can be found the error says what is needed and what else can be done."""
    monkeypatch.setattr(librdkafka, "candidates", lambda: iter(()))
    with pytest.raises(librdkafka.LibraryNotFoundError, match="--brokers"):
        librdkafka.load.__wrapped__()


def test_every_wheel_layout_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extension does not lead to the library, the folder of the wheel does."""
    monkeypatch.delattr(confluent_kafka.cimpl, "__file__")
    assert librdkafka.bind(next(librdkafka.candidates())).rd_kafka_mock_cluster_new is not None

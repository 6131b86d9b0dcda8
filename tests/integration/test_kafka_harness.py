"""The Kafka of the tests keeps what fault tests rely on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import psutil
import pytest

from tests.harness.kafka import KafkaCluster


def produce(kafka: KafkaCluster, topic: str, values: list[bytes]) -> None:
    """Write records to partition 0 with acks=all, and wait until all are acknowledged."""
    errors: list[confluent_kafka.KafkaError] = []
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all", "log_level": 0})
    for value in values:
        headers = [("h", b"1")]
        producer.produce(
            topic, value, b"key", 0, on_delivery=lambda error, _: error and errors.append(error), headers=headers
        )
    assert producer.flush(60) == 0
    assert errors == []


def test_a_topic_is_read_whole(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """Every record of a topic comes back with key, value, place and headers; an empty topic is an empty list."""
    topic = topics("whole")
    kafka.create_topic(topic, 2)
    assert kafka.read_all(topic) == []
    produce(kafka, topic, [b"a", b"b"])
    records = kafka.read_all(topic)
    assert [(each.value, each.offset) for each in records] == [(b"a", 0), (b"b", 1)]
    assert {(each.key, each.partition, each.headers) for each in records} == {(b"key", 0, (("h", b"1"),))}
    assert kafka.end_offsets(topic) == {0: 2, 1: 0}


def test_committed_offsets_are_seen(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """What a group committed is told per partition, and a group that committed nothing has none."""
    topic = topics("committed")
    kafka.create_topic(topic, 2)
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0})
    try:
        consumer.commit(offsets=[confluent_kafka.TopicPartition(topic, 1, 7)], asynchronous=False)
    finally:
        consumer.close()
    assert kafka.committed(topic, topic) == {1: 7}
    assert kafka.committed(f"{topic}.nobody", topic) == {}


def test_topics_do_not_appear_by_themselves(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """Producing to a topic that nobody made is an error, as on the clusters of careful operators."""
    soon = {"topic.metadata.propagation.max.ms": 100, "log_level": 0}
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, **soon})
    errors: list[confluent_kafka.KafkaError] = []
    producer.produce(topics("unmade"), b"v", on_delivery=lambda error, _: error and errors.append(error))
    assert producer.flush(60) == 0
    assert [error.code() for error in errors] == [confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART]


@pytest.mark.kafka
def test_three_brokers_outlive_the_loss_of_one() -> None:
    """With three replicas nothing acknowledged is lost when a broker is killed, and it comes back on its port."""
    with KafkaCluster(brokers=3, java_heap="256m") as kafka:
        bootstrap = kafka.bootstrap
        kafka.create_topic("replicated", 1, 3, {"min.insync.replicas": "2"})
        produce(kafka, "replicated", [b"before"])
        kafka.kill_broker(0)
        produce(kafka, "replicated", [b"without"])
        kafka.start_broker(0)
        kafka.kill_broker(1)
        produce(kafka, "replicated", [b"after"])
        assert kafka.bootstrap == bootstrap
        assert [each.value for each in kafka.read_all("replicated")] == [b"before", b"without", b"after"]


@pytest.mark.kafka
def test_a_cluster_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After a failure inside its block no broker runs and no data is left; one broker restarts with its data."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), KafkaCluster() as kafka:  # noqa: PT012
        kafka.create_topic("kept", 1)
        produce(kafka, "kept", [b"v"])
        kafka.kill_broker(0)
        kafka.start_broker(0)
        assert [each.value for each in kafka.read_all("kept")] == [b"v"]
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    ours = str(tmp_path)
    assert not any(ours in " ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))

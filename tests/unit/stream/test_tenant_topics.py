"""Topics of tenants: what is written where, and which policy files a running worker takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from sampler.cli.run import embedded_topics
from sampler.config import Config, ConfigError, load_policies
from sampler.embedded.broker import EmbeddedBroker
from sampler.engine.settlement import Settlement
from sampler.engine.watermark import Watermark
from sampler.otlp import partition_of
from sampler.stream.outputs import Outputs
from sampler.stream.topics import TopicLoader, topic_partitions
from sampler.topics import TopicError

FILE = """
tail_sampling:
  policies: [{name: all, type: always_sample}]
  tenants:
    header: X-Tenant
    sets:
      acme: {topic: TOPIC, policies: [{name: all, type: always_sample}]}
"""
IDS = [number.to_bytes(16, "big") for number in range(1, 9)]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker with the sampled topic and one of a tenant, of different sizes."""
    with EmbeddedBroker({"sampled": 4, "acme": 2}) as running:
        yield running


@pytest.fixture
def outputs(broker: EmbeddedBroker) -> Outputs:
    """Outputs that know both."""
    return Outputs(
        {"bootstrap.servers": broker.bootstrap, "log_level": 0}, span_topic="spans", sampled_topic="sampled",
        topics={"sampled": 4, "acme": 2}, dead_letter_topic="dead", partitioner="sarama", on_fatal=pytest.fail,
    )  # fmt: skip


def read(broker: EmbeddedBroker, topic: str, partitions: int, count: int) -> set[tuple[int, bytes]]:
    """(partition, value) of `count` records of a topic."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        found = set[tuple[int, bytes]]()
        while len(found) < count:
            for message in consumer.consume(count, 10):
                assert message.error() is None
                partition, value = message.partition(), message.value()
                assert partition is not None
                assert value is not None
                found.add((partition, value))
        return found
    finally:
        consumer.close()


def test_routed_outputs_go_to_their_topic(
    broker: EmbeddedBroker, outputs: Outputs, caplog: pytest.LogCaptureFixture
) -> None:
    """By the partitions of that topic; what no topic is known for goes to the sampled one, which is said once."""
    routed = [("acme", trace_id, b"acme" + trace_id) for trace_id in IDS]
    gone = [("gone", trace_id, b"gone" + trace_id) for trace_id in IDS]
    settlement = Settlement([(IDS[0], b"plain")], [], [], 7, [*routed, *gone])
    pending = Watermark(0).begin(settlement)
    assert pending.unacknowledged == 17
    outputs.send(settlement, pending, 0)
    while pending.unacknowledged:
        outputs.poll()
    assert not pending.failed
    assert (outputs.records, outputs.unacknowledged_bytes) == (17, 0)
    assert read(broker, "acme", 2, 8) == {(partition_of(t, 2, "sarama"), b"acme" + t) for t in IDS}
    expected = {(partition_of(t, 4, "sarama"), b"gone" + t) for t in IDS}
    assert read(broker, "sampled", 4, 9) == expected | {(partition_of(IDS[0], 4, "sarama"), b"plain")}
    assert len([each for each in caplog.messages if "gone" in each]) == 1


def loader(broker: EmbeddedBroker, outputs: Outputs) -> TopicLoader:
    kafka = {"brokers": [broker.bootstrap], "create_topics": False, "topics": {"sampled": "sampled"}}
    return TopicLoader(Config.model_validate({"kafka": kafka}).kafka, (), outputs)


def test_a_file_with_a_topic_that_is_missing_is_refused(
    broker: EmbeddedBroker, outputs: Outputs, tmp_path: Path
) -> None:
    """Before it can be taken; when the topic is there, its partitions are known from then on."""
    path = tmp_path / "policies.yaml"
    path.write_text(FILE.replace("TOPIC", "later"))
    load = loader(broker, outputs)
    with pytest.raises(ConfigError, match=r"policies.yaml: tenants: topic later does not exist"):
        load(str(path))
    assert "later" not in outputs.topics
    broker.create_topic("later", 3)
    assert load(str(path)).tenant_topics == {"acme": "later"}
    assert outputs.topics["later"] == 3


def test_a_topic_with_another_use_is_refused_at_a_reload_too(
    broker: EmbeddedBroker, outputs: Outputs, tmp_path: Path
) -> None:
    """As at the start."""
    path = tmp_path / "policies.yaml"
    path.write_text(FILE.replace("TOPIC", "otlp_spans"))
    with pytest.raises(ConfigError, match="is the topic of spans that are not sampled yet"):
        loader(broker, outputs)(str(path))


def test_partitions_of_topics(broker: EmbeddedBroker) -> None:
    """A topic that does not exist is named, with what to do."""
    conf = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    assert topic_partitions(conf, ["acme", "sampled"]) == {"acme": 2, "sampled": 4}
    with pytest.raises(TopicError, match="topic nowhere does not exist: create it with 'tailsampler topics create'"):
        topic_partitions(conf, ["acme", "nowhere"])


def test_the_embedded_broker_has_the_topics_of_tenants(tmp_path: Path) -> None:
    """With as many partitions as the sampled one."""
    path = tmp_path / "policies.yaml"
    path.write_text(FILE.replace("TOPIC", "spans-acme"))
    topics = embedded_topics(Config(), load_policies(path))
    assert topics["spans-acme"] == topics["otlp_spans_sampled"]

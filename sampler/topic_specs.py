"""The topics that the two files ask for."""

from __future__ import annotations

from collections.abc import Sequence

from sampler.config import ConfigError, PolicyFile
from sampler.config.kafka import Kafka
from sampler.topics import BROKER_DEFAULT, TopicPlan, TopicSpec


def topic_specs(kafka: Kafka, tenants: Sequence[str] = ()) -> tuple[TopicSpec, ...]:
    """What the topics of a configuration must be like; `tenants` are those that tenants write to."""
    names = kafka.topics
    return TopicPlan(
        spans=names.spans,
        sampled=names.sampled,
        decisions=names.decisions,
        keyspace=names.keyspace,
        dead_letter=names.dead_letter,
        tenants=tuple(tenants),
        partitions=kafka.partitions,
        replication_factor=kafka.replication_factor or BROKER_DEFAULT,
        min_insync_replicas=kafka.min_insync_replicas,
        max_message_bytes=kafka.max_message_bytes,
        retention_ms=kafka.retention.ms,
    ).specs()


def tenant_topics(kafka: Kafka, policies: PolicyFile) -> tuple[str, ...]:
    """The topics that tenants have for themselves; ConfigError where one is used for something else."""
    topics = kafka.topics
    uses = {
        topics.spans: "spans that are not sampled yet",
        topics.decisions: "decisions",
        topics.keyspace: "the counts of the tier",
        topics.dead_letter: "dead letters",
    }
    for name, topic in policies.tenant_topics.items():
        if topic in uses:
            key = f"tenants.sets.{name}.topic"
            raise ConfigError.single(policies.path, None, key, f"{topic} is the topic of {uses[topic]}")
    return tuple(dict.fromkeys(topic for topic in policies.tenant_topics.values() if topic != topics.sampled))

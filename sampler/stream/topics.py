"""The topics that a worker reads and writes, as the brokers have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka.admin import AdminClient

from sampler.config import ConfigError, PolicyFile, load_policies
from sampler.config.kafka import Kafka
from sampler.config.security import admin_conf
from sampler.stream.outputs import Outputs
from sampler.topic_specs import tenant_topics, topic_specs
from sampler.topics import TopicError, ensure_topics

METADATA_TIMEOUT_S = 30.0


def topic_partitions(conf: Mapping[str, Any], topics: Sequence[str]) -> dict[str, int]:
    """Partition counts of topics that must exist; TopicError where one does not or no broker answers."""
    admin = AdminClient(dict(conf))
    try:
        known = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except Exception as error:
        raise TopicError(f"no broker at {conf['bootstrap.servers']} answered: {error}") from error
    missing = [topic for topic in topics if topic not in known or not known[topic].partitions]
    if missing:
        command = "'tailsampler topics create' (with --policies, where it is a tenant's)"
        raise TopicError(f"topic {missing[0]} does not exist: create it with {command}")
    return {topic: len(known[topic].partitions) for topic in topics}


class TopicLoader:
    """Loads a changed policy file, and sees that the topics of its tenants are there before it can be taken."""

    def __init__(self, kafka: Kafka, plugins: Sequence[str], outputs: Outputs) -> None:
        self._kafka = kafka
        self._plugins = plugins
        self._outputs = outputs

    def __call__(self, path: str) -> PolicyFile:
        """The policies of a file; ConfigError with what is wrong in it, or with the topics that it names."""
        policies = load_policies(path, plugins=self._plugins)
        new = [topic for topic in tenant_topics(self._kafka, policies) if topic not in self._outputs.topics]
        if new:
            try:
                self._outputs.add_topics(self._prepared(new))
            except TopicError as error:
                raise ConfigError.single(path, None, "tenants", str(error)) from error
        return policies

    def _prepared(self, topics: Sequence[str]) -> dict[str, int]:
        conf = admin_conf(self._kafka)
        if self._kafka.create_topics:
            specs = [spec for spec in topic_specs(self._kafka, topics) if spec.name in topics]
            outcome = ensure_topics(conf, specs)
            if outcome.errors:
                raise TopicError(str(outcome.errors[0]))
        return topic_partitions(conf, topics)

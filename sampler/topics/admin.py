"""Makes missing topics and looks at existing ones, through confluent-kafka's AdminClient.

Works with anything that answers CreateTopics, DescribeConfigs and Metadata: Apache Kafka and what is compatible with
it. The embedded broker of the demo answers the last only; its topics are made by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not mark two of them as its own
    AdminClient,
    ConfigResource,
    NewTopic,
)

from sampler.clock import monotonic_s
from sampler.topics.access import explained
from sampler.topics.findings import ExistingTopic, Finding, Severity, compare
from sampler.topics.specs import Role, TopicSpec

REQUEST_S = 30.0
"""How long the brokers have for one answer."""

SEEN_S = 10.0
POLL_S = 0.1
"""How long, and how often, to look for a topic that another process is making."""

Setting: TypeAlias = str | int | float | bool
AdminConf: TypeAlias = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `ensure_topics` did and saw: names made, and findings about the others."""

    created: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings the product cannot work with."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


class TopicError(RuntimeError):
    """The brokers did not answer, or refused to make or describe a topic; the text says which and what to do."""


class NotDescribedError(TopicError):
    """The brokers cannot say what their topics are like, so that nothing can be checked."""


def ensure_topics(conf: AdminConf, specs: Sequence[TopicSpec], decision_wait_ms: int = 0) -> Outcome:
    """Make the topics that are missing and check those that exist, which are never changed.

    `conf` is librdkafka's client configuration, security included. Two processes may do this at the same time: a topic
    that appears meanwhile is checked. TopicError where the brokers do not answer or refuse.
    """
    client = AdminClient(dict(conf))
    existing = _describe(client, specs)
    wanted = tuple(_fitted(spec, specs, existing) for spec in specs)
    missing = [spec for spec in wanted if spec.name not in existing]
    created = tuple(spec.name for spec in missing if _create(client, spec))
    if len(created) < len(missing):
        existing = _describe_all(client, [spec for spec in wanted if spec.name not in created])
    # What was just made is as wanted. It takes part in the comparison, because topics must fit each other.
    made = {
        spec.name: ExistingTopic(spec.partitions, spec.replication_factor, spec.config)
        for spec in wanted
        if spec.name in created
    }
    return Outcome(created, compare(specs, {**existing, **made}, decision_wait_ms))


def _fitted(spec: TopicSpec, specs: Sequence[TopicSpec], existing: Mapping[str, ExistingTopic]) -> TopicSpec:
    """The spec to make a topic by: new decisions take the partitions that the span topic really has."""
    spans = next((existing.get(each.name) for each in specs if each.role is Role.SPANS), None)
    if spec.role is not Role.DECISIONS or spans is None:
        return spec
    return replace(spec, partitions=spans.partitions)


def check_topics(conf: AdminConf, specs: Sequence[TopicSpec], decision_wait_ms: int = 0) -> tuple[Finding, ...]:
    """What differs in a way that matters, missing topics included; changes nothing."""
    return compare(specs, _describe(AdminClient(dict(conf)), specs), decision_wait_ms)


def _create(client: AdminClient, spec: TopicSpec) -> bool:
    """Make a topic; False where somebody else just did."""
    topic = NewTopic(spec.name, spec.partitions, spec.replication_factor, config=dict(spec.config))
    try:
        client.create_topics([topic], operation_timeout=REQUEST_S)[spec.name].result(REQUEST_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise TopicError(
            f"topic {spec.name} could not be created with {spec.partitions} partitions and "
            f"{spec.replication_factor} replicas: {explained(error.args[0], spec.name, 'Create')}"
        ) from error
    return True


def _describe_all(client: AdminClient, specs: Sequence[TopicSpec]) -> dict[str, ExistingTopic]:
    """The topics, all known to exist: one that another process just made takes a moment to be seen everywhere."""
    end = monotonic_s() + SEEN_S
    while len(existing := _describe(client, specs)) < len(specs) and monotonic_s() < end:
        time.sleep(POLL_S)
    return existing


def _describe(client: AdminClient, specs: Sequence[TopicSpec]) -> dict[str, ExistingTopic]:
    """Those of the topics that exist."""
    try:
        known = client.list_topics(timeout=REQUEST_S).topics
        present = [known[spec.name] for spec in specs if spec.name in known and known[spec.name].error is None]
        resources = {topic.topic: ConfigResource(ConfigResource.Type.TOPIC, str(topic.topic)) for topic in present}
        answers = client.describe_configs(list(resources.values())) if resources else {}
        described: dict[str, ExistingTopic] = {}
        for topic in present:
            entries = answers[resources[topic.topic]].result(REQUEST_S)
            config = {name: str(entry.value) for name, entry in entries.items()}
            replicas = min((len(each.replicas) for each in topic.partitions.values()), default=0)
            described[str(topic.topic)] = ExistingTopic(len(topic.partitions), replicas, config)
    except KafkaException as error:
        if error.args[0].code() == KafkaError._UNSUPPORTED_FEATURE:
            raise NotDescribedError(
                "these brokers cannot describe topics (that of `tailsampler run` is such, and has its topics already)"
            ) from error
        raise TopicError(f"the Kafka brokers did not describe their topics: {error.args[0].str()}") from error
    return described

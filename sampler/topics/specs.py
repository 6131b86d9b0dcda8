"""The topics of the product and what they must be like."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

BROKER_DEFAULT = -1
"""A replication factor that leaves the choice to the brokers' `default.replication.factor`."""

BATCH_OVERHEAD_BYTES = 1024
"""What a batch of one record may be larger than the record; `max.message.bytes` limits the batch."""

SHORT_HISTORY = {"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1", "delete.retention.ms": "600000"}
"""Workers read the decisions' and the keyspace topic whole: by Kafka's defaults with a week of records long expired."""


class Role(enum.Enum):
    """What a topic is to the product; the checks depend on it."""

    SPANS = "spans"
    SAMPLED = "sampled"
    DECISIONS = "decisions"
    KEYSPACE = "keyspace"
    DEAD_LETTER = "dead letters"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it is made when it is missing; what `config` (Kafka's words) leaves out is the brokers' choice."""

    role: Role
    name: str
    partitions: int
    replication_factor: int = BROKER_DEFAULT
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """Names and measures of all topics of one installation. Times in milliseconds, sizes in bytes.

    `max_message_bytes` is the largest record that may be written. What is None or BROKER_DEFAULT the brokers decide.
    """

    spans: str = "otlp_spans"
    sampled: str = "otlp_spans_sampled"
    decisions: str = "tailsampler.decisions"
    keyspace: str = "tailsampler.keyspace"
    dead_letter: str = "otlp_spans_dead_letter"
    tenants: tuple[str, ...] = ()
    partitions: int = 12
    replication_factor: int = BROKER_DEFAULT
    min_insync_replicas: int | None = None
    max_message_bytes: int = 1024 * 1024
    retention_ms: int = 24 * 3600 * 1000

    def specs(self) -> tuple[TopicSpec, ...]:
        """All five, and those of tenants, which are like the sampled one.

        The decisions follow the partitions of the spans, since a worker keeps those of what it reads.
        """
        durable = {"min.insync.replicas": str(self.min_insync_replicas)} if self.min_insync_replicas else {}
        large = {**durable, "max.message.bytes": str(self.max_message_bytes + BATCH_OVERHEAD_BYTES)}
        timed = {**large, "cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        compacted = {**large, "cleanup.policy": "compact"}
        stamped = {**timed, "message.timestamp.type": "LogAppendTime"}
        configs = {
            Role.SPANS: (self.spans, self.partitions, stamped),
            Role.SAMPLED: (self.sampled, self.partitions, timed),
            Role.DECISIONS: (self.decisions, self.partitions, {**compacted, **SHORT_HISTORY}),
            Role.KEYSPACE: (self.keyspace, 1, {**durable, "cleanup.policy": "compact", **SHORT_HISTORY}),
            Role.DEAD_LETTER: (self.dead_letter, 1, timed),
        }
        return (
            *(
                TopicSpec(role, name, partitions, self.replication_factor, config)
                for role, (name, partitions, config) in configs.items()
            ),
            *(TopicSpec(Role.SAMPLED, name, self.partitions, self.replication_factor, timed) for name in self.tenants),
        )

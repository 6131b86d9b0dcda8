"""The `kafka:` block: where the brokers are, the topics, how topics are created, and how to be let in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from sampler.config.base import Section, TopicName
from sampler.config.kafka_auth import Auth, Tls
from sampler.config.units import PositiveDuration, Size, parse_duration

MASK = "**********"

# Set by us because a promise rests on them; saying them differently would break it silently.
RESERVED = {
    "acks": "every output is acknowledged by all in-sync replicas",
    "request.required.acks": "every output is acknowledged by all in-sync replicas",
    "enable.idempotence": "a retried record must not appear twice",
    "enable.auto.commit": "the watermark is committed only after its outputs are acknowledged",
    "enable.auto.offset.store": "the watermark is committed only after its outputs are acknowledged",
    "group.id": "set kafka.group_id",
    "bootstrap.servers": "set kafka.brokers",
    "metadata.broker.list": "set kafka.brokers",
    "partitioner": "set kafka.partitioner",
    "security.protocol": "set kafka.tls and kafka.auth.sasl, which hold for every client",
    "sasl.mechanism": "set kafka.auth.sasl.mechanism, which holds for every client",
    "sasl.mechanisms": "set kafka.auth.sasl.mechanism, which holds for every client",
    "sasl.username": "set kafka.auth.sasl.username, which holds for every client",
    "sasl.password": "set kafka.auth.sasl.password, which holds for every client",
}
_SECRET = re.compile(r"password|secret|token|key\.pem|oauthbearer\.config|sasl\.jaas", re.IGNORECASE)


def _brokers(value: Any) -> Any:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("must be a list of host:port, or one text with commas between them")
    brokers = tuple(item.strip() for item in items if item.strip())
    if not brokers:
        raise ValueError("must name at least one broker, such as localhost:9092")
    for broker in brokers:
        if not re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):[0-9]{1,5}", broker):
            if "@" in broker:
                raise ValueError("a broker is host:port without user and password: set kafka.auth.sasl")
            raise ValueError(f"{broker!r} is not host:port, such as localhost:9092")
    return brokers


Brokers = Annotated[tuple[str, ...], BeforeValidator(_brokers, json_schema_input_type=str | list[str])]


def _passthrough(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            if key in RESERVED:
                raise ValueError(f"{key} cannot be set here: {RESERVED[key]}")
    return value


def mask_secrets(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the values of those that hold secrets replaced by asterisks."""
    return {key: MASK if _SECRET.search(key) else value for key, value in options.items()}


class Topics(Section):
    """Names of the topics."""

    spans: TopicName = "otlp_spans"
    """Spans to be sampled: OTLP protobuf, as the Collector's kafkaexporter writes it."""
    sampled: TopicName = "otlp_spans_sampled"
    """Kept traces."""
    decisions: TopicName = "tailsampler.decisions"
    """Changelog of the decisions, for recovery and late spans."""
    keyspace: TopicName = "tailsampler.keyspace"
    """Counts that workers share for tier-wide rates; compacted."""
    dead_letter: TopicName = "otlp_spans_dead_letter"
    """Records that are no OTLP, spans that are too large, and what a backend refuses for good, with headers that say
    where they came from and why."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [self.spans, self.sampled, self.decisions, self.keyspace, self.dead_letter]
        if len(set(names)) != len(names):
            raise ValueError("two topics have the same name")
        return self


class Kafka(Section):
    """The brokers, and what we keep on them."""

    brokers: Brokers = Field(default=("localhost:9092",), examples=[["kafka-0:9092", "kafka-1:9092"]])
    """host:port of some brokers, as a list or with commas between them."""
    topics: Topics = Topics()
    group_id: str = Field(default="tailsampler", min_length=1)
    """Consumer group of the workers: those that share it share the work."""
    partitioner: Literal["sarama", "murmur2"] = "sarama"
    """How a trace id chooses its partition. `sarama` is the Collector's default; `murmur2` is Java's, and the
    Collector's `record_partitioner.sticky_key.hasher: murmur2`. All that write the span topic must use the same."""
    create_topics: bool = True
    """Create missing topics at start. Existing ones are never altered."""
    partitions: int = Field(default=12, ge=1)
    """Partitions of topics that we create: the most workers that can share the work."""
    replication_factor: int | None = Field(default=None, ge=1)
    """Copies of each partition in topics that we create; without, the broker's `default.replication.factor`. Losing no
    trace when a broker dies takes 3."""
    min_insync_replicas: int | None = Field(default=None, ge=1)
    """Copies that must have a record before it counts as stored; without, the broker's setting. 2 with 3 copies."""
    retention: PositiveDuration = parse_duration("24h")
    """How long topics that we create keep records; must exceed the longest outage to survive."""
    max_message_bytes: Size = Field(default=1_048_576, ge=65_536)
    """Largest record in topics that we create, and the largest we write."""
    auth: Auth = Auth()
    tls: Tls | None = None
    librdkafka: Annotated[
        dict[str, str | int | float | bool], BeforeValidator(_passthrough), PlainSerializer(mask_secrets)
    ] = Field(default={}, repr=False)
    """Properties handed to librdkafka as they are (spans, outputs, admin); the control connection does not see them."""

    @model_validator(mode="after")
    def _replicas(self) -> Self:
        if self.replication_factor and (self.min_insync_replicas or 1) > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas ({self.min_insync_replicas}) is above replication_factor "
                f"({self.replication_factor}): nothing could ever be written"
            )
        return self

    @property
    def bootstrap(self) -> str:
        """The brokers as one text with commas, as Kafka clients take them."""
        return ",".join(self.brokers)

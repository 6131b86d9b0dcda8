"""What two blocks of `config.yaml` may not both say, because spans would go round in circles."""

from __future__ import annotations

import socket

from sampler.config.backend_address import parse_address
from sampler.config.base import split_endpoint
from sampler.config.kafka import Kafka
from sampler.config.processes import Agent
from sampler.config.source import KafkaSource
from sampler.config.tracing import Tracing

_ANY = {"", "0.0.0.0", "::"}  # noqa: S104  what people write for "all addresses"
_HERE = {"localhost", "127.0.0.1", "::1"}


def check_source(kafka: Kafka, source: KafkaSource | None) -> None:
    """ValueError where the source reads what we write, or in the group of the workers."""
    if source is None:
        return
    topics = kafka.topics
    ours = {
        topics.spans: "spans, which it writes: they would go round and round",
        topics.sampled: "sampled, which holds kept traces: they would be sampled again and again",
        topics.decisions: "decisions, which holds no spans",
        topics.keyspace: "keyspace, which holds no spans",
        topics.dead_letter: "dead_letter, which its own dead letters go to",
    }
    for topic in source.topics:
        if topic in ours:
            raise ValueError(f"agent.kafka_source reads {topic}, that is kafka.topics.{ours[topic]}")
    if source.group_id == kafka.group_id:
        raise ValueError(
            f"agent.kafka_source.group_id is {source.group_id}, the group of the workers (kafka.group_id): "
            "they would get partitions that are not theirs"
        )


def check_tracing(agent: Agent, tracing: Tracing) -> None:
    """ValueError where the pipeline's traces of itself would go to a receiver of its own."""
    if tracing.endpoint is None:
        return
    address = parse_address(tracing.endpoint, "grpc", insecure=tracing.tls.insecure)
    for name, receiver in (("grpc", agent.grpc), ("http", agent.http)):
        if not receiver.enabled:
            continue
        host, port = split_endpoint(receiver.endpoint)
        if port == address.port and _same_host(host, address.host):
            raise ValueError(
                f"tracing.endpoint is {tracing.endpoint}, that is agent.{name} ({receiver.endpoint}): the pipeline's "
                "traces of itself would become its own input; send them to a Collector or a backend"
            )


def _same_host(receiver: str, other: str) -> bool:
    """Whether an address to send to is one that the receiver listens on, as far as names tell."""
    receiver, other = receiver.lower(), other.lower()
    here = _HERE | {socket.gethostname().lower()}
    if receiver in _ANY:
        return other in here | _ANY
    return receiver == other or (receiver in here and other in here | _ANY)

"""What the agent's Kafka source must know, already validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampler.config.source import SourceEncoding


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The topics to read and how.

    `consumer` and `producer` are librdkafka's properties for the source and for dead letters; the source's own wins
    where offsets are concerned, because "nothing is lost" rests on it. `leave_out` keeps values out of dead letters.
    """

    topics: tuple[str, ...]
    group_id: str
    dead_letter_topic: str
    consumer: Mapping[str, str | int | float | bool] = field(repr=False)  # may hold passwords
    producer: Mapping[str, str | int | float | bool] = field(repr=False)
    encoding: SourceEncoding = "auto"
    initial_offset: str = "earliest"
    commit_interval_s: float = 1.0
    max_in_flight_bytes: int = 16 * 1024 * 1024
    max_message_bytes: int = 1_000_000
    session_timeout_ms: int = 45_000
    group_instance_id: str | None = None
    leave_out: bool = False

    def librdkafka(self) -> dict[str, str | int | float | bool]:
        """The consumer's configuration."""
        conf: dict[str, str | int | float | bool] = {
            "client.id": "tailsampler-agent-source",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": self.session_timeout_ms,
            "heartbeat.interval.ms": max(1, min(3000, self.session_timeout_ms // 3)),
            "queued.max.messages.kbytes": max(1024, self.max_in_flight_bytes // 1024),
            "queued.min.messages": 10_000,
            "fetch.queue.backoff.ms": 20,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 30_000,  # so soon a topic is read that was not there yet
            **self.consumer,
            "group.id": self.group_id,
            "auto.offset.reset": self.initial_offset,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "allow.auto.create.topics": False,
        }
        if self.group_instance_id is not None:
            conf["group.instance.id"] = self.group_instance_id
        return conf

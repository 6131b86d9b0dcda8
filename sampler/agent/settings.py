"""What the agent must know, already validated; the configuration file is mapped onto this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampler.agent.guard import GuardSettings
from sampler.agent.repartition_settings import SourceSettings
from sampler.config.server_tls import ServerTls
from sampler.config.tracing import Tracing
from sampler.config.transform import Transform
from sampler.otlp import Hasher

# librdkafka refuses a value longer than message.max.bytes, and the broker counts the batch around it too.
RECORD_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """How spans get into the span topic. All sizes in bytes.

    `librdkafka` holds at least `bootstrap.servers`; its entries win over the defaults of the producer, save for
    idempotence and acknowledgement by all replicas, which the promise "success means stored" rests on.
    """

    topic: str
    librdkafka: Mapping[str, str | int | float | bool] = field(repr=False)  # may hold passwords
    hasher: Hasher = "sarama"
    record_size_bytes: int = 256 * 1024
    flush_interval_ms: float = 10
    max_buffer_bytes: int = 64 * 1024 * 1024
    max_message_bytes: int = 1_000_000
    delivery_timeout_ms: int = 10_000
    metadata_refresh_s: float = 180
    trace_context: bool = False  # as headers, on records of one trace

    def __post_init__(self) -> None:
        if self.max_message_bytes < 2 * RECORD_OVERHEAD_BYTES:
            raise ValueError(
                f"max_message_bytes is {self.max_message_bytes}; it must be at least {2 * RECORD_OVERHEAD_BYTES}"
            )
        for name in ("record_size_bytes", "flush_interval_ms", "max_buffer_bytes", "delivery_timeout_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")

    @property
    def largest_record_bytes(self) -> int:
        """No record's value is longer than this."""
        return self.max_message_bytes - RECORD_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where the agent listens, what it accepts, and how it publishes. None as an address switches a transport off.

    Addresses are `host:port`; port 0 takes a free one. `max_request_bytes` is the size after decompression.
    """

    publisher: PublisherSettings
    grpc_listen: str | None = "localhost:4317"
    http_listen: str | None = "localhost:4318"
    max_request_bytes: int = 16 * 1024 * 1024
    max_connection_age_ms: int = 0  # of gRPC; 0 is never
    stop_timeout_s: float = 15
    source: SourceSettings | None = None
    transform: Transform = field(default_factory=Transform)
    tracing: Tracing = field(default_factory=Tracing)
    guard: GuardSettings = field(default_factory=GuardSettings)
    grpc_tls: ServerTls | None = None
    http_tls: ServerTls | None = None

    def __post_init__(self) -> None:
        if self.grpc_listen is None and self.http_listen is None and self.source is None:
            raise ValueError("both grpc_listen and http_listen are switched off; the agent would receive nothing")
        if not 0 < self.max_request_bytes <= self.publisher.max_buffer_bytes:
            raise ValueError(
                f"max_request_bytes is {self.max_request_bytes}; it must be above 0 and at most max_buffer_bytes "
                f"({self.publisher.max_buffer_bytes}), or the largest request could never be taken"
            )

"""What the agent counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import disable_created_metrics

Transport = Literal["grpc", "http"]
Outcome = Literal[
    "ok", "partial", "invalid", "too_large", "buffer_full", "kafka_unavailable", "unsupported", "cancelled"
]

ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class AgentMetrics:
    """Counters of one agent in the given registry; base units, names `tailsampler_agent_*`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside every counter
        name = "tailsampler_agent"
        self._requests = Counter(
            f"{name}_requests", "Export requests by transport and outcome", ["transport", "outcome"], registry=registry
        )
        self.received_bytes = Counter(
            f"{name}_received_bytes", "Request bytes after decompression, in OTLP protobuf", registry=registry
        )
        self.spans_accepted = Counter(
            f"{name}_spans_accepted", "Spans acknowledged by Kafka and so by the agent", registry=registry
        )
        self.spans_rejected = Counter(
            f"{name}_spans_rejected", "Spans refused for good: invalid ids, or too large for Kafka", registry=registry
        )
        self.records = Counter(f"{name}_records", "Records acknowledged by Kafka", registry=registry)
        self.written_bytes = Counter(
            f"{name}_written_bytes", "Bytes of acknowledged records before compression", registry=registry
        )
        self.records_failed = Counter(
            f"{name}_records_failed", "Records that Kafka did not acknowledge; their requests were told to retry",
            registry=registry,
        )  # fmt: skip
        self.ack_seconds = Histogram(
            f"{name}_ack_seconds", "From handing a record to the producer to its acknowledgement",
            buckets=ACK_BUCKETS, registry=registry,
        )  # fmt: skip
        self._buffered = Gauge(f"{name}_buffered_bytes", "Bytes waiting for acknowledgement", registry=registry)
        self.partitions = Gauge(
            f"{name}_topic_partitions", "Partitions of the span topic, 0 while unknown", registry=registry
        )
        self._children: dict[tuple[Transport, Outcome], Counter] = {}

    def count_request(self, transport: Transport, outcome: Outcome) -> None:
        """One export request answered."""
        child = self._children.get((transport, outcome))
        if child is None:
            child = self._children[transport, outcome] = self._requests.labels(transport, outcome)
        child.inc()

    def watch_buffered(self, read: Callable[[], float]) -> None:
        """Ask `read` for the buffered bytes at every scrape."""
        self._buffered.set_function(read)

"""What the agent tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter

from sampler.metrics.specs import PREFIX, CounterSpec, GaugeSpec, HistogramSpec, MetricSet

Transport = Literal["grpc", "http"]
Outcome = Literal[
    "ok",
    "partial",
    "invalid",
    "too_large",
    "buffer_full",
    "kafka_unavailable",
    "unsupported",
    "cancelled",
    "unauthenticated",
    "limited",
]

ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class AgentMetrics(MetricSet):
    """Counters of one agent in the given registry."""

    title = "Agent"
    prefix = PREFIX + "agent_"

    requests_total = CounterSpec(
        "Export requests by transport and outcome.",
        {"transport": get_args(Transport), "outcome": get_args(Outcome)},
    )
    received_bytes_total = CounterSpec("Request bytes after decompression, in OTLP protobuf.")
    spans_accepted_total = CounterSpec("Spans acknowledged by Kafka and so by the agent.")
    spans_rejected_total = CounterSpec("Spans refused for good: invalid ids, or too large for Kafka.")
    records_total = CounterSpec("Records acknowledged by Kafka.")
    written_bytes_total = CounterSpec("Bytes of acknowledged records before compression.")
    records_failed_total = CounterSpec("Records that Kafka did not acknowledge; their requests were told to retry.")
    ack_seconds = HistogramSpec(
        "Time from handing a record to the producer to its acknowledgement.", buckets=ACK_BUCKETS
    )
    buffered_bytes = GaugeSpec("Bytes waiting for acknowledgement.")
    topic_partitions = GaugeSpec("Partitions of the span topic, 0 while unknown.")

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._children: dict[tuple[Transport, Outcome], Counter] = {}

    def count_request(self, transport: Transport, outcome: Outcome) -> None:
        """One export request answered."""
        child = self._children.get((transport, outcome))
        if child is None:
            child = self._children[transport, outcome] = self.requests_total.labels(transport, outcome)
        child.inc()

    def watch_buffered(self, read: Callable[[], float]) -> None:
        """Ask `read` for the buffered bytes at every scrape."""
        self.buffered_bytes.set_function(read)

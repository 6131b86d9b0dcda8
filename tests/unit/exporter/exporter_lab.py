"""What the exporter's tests build on: an exporter that runs, its configuration, traces, and what was received."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from sampler.embedded.broker import EmbeddedBroker
from sampler.exporter.service import Exporter
from sampler.web.health import Health
from tests.harness.otlp_backend import OtlpBackend

PARTITIONS = 4
"""Of a topic that a client merely names."""


class Names(NamedTuple):
    """The topics and the group of one test; the broker is shared."""

    sampled: str
    letters: str
    group: str


class RunningExporter:
    """An exporter with its registry and health, and the broker before it."""

    def __init__(
        self, exporter: Exporter, registry: CollectorRegistry, health: Health, broker: EmbeddedBroker, names: Names
    ) -> None:
        self.exporter = exporter
        self.registry = registry
        self.health = health
        self.broker = broker
        self.names = names
        self._readers: dict[str, Consumer] = {}

    def metric(self, name: str, backend: str = "one", **labels: str) -> float:
        """A sample's value; 0 where it was never set."""
        labels = {"backend": backend, **labels}
        return self.registry.get_sample_value(f"tailsampler_exporter_{name}", labels) or 0.0

    def committed(self, backend: str = "one", topic: str | None = None) -> int:
        """Records committed by a backend's group, over all partitions."""
        asked = [TopicPartition(topic or self.names.sampled, partition) for partition in range(PARTITIONS)]
        if backend not in self._readers:
            group = f"{self.names.group}-exporter-{backend}"
            conf = {"bootstrap.servers": self.broker.bootstrap, "group.id": group, "enable.auto.commit": False}
            self._readers[backend] = Consumer(conf)
        return sum(max(0, each.offset) for each in self._readers[backend].committed(asked, 10))

    def close(self) -> None:
        """What was used to ask."""
        for reader in self._readers.values():
            reader.close()


Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
OpenExporter = Callable[..., AbstractAsyncContextManager[RunningExporter]]
Write = Callable[..., None]


def backend_block(backend: OtlpBackend, name: str = "one", **changes: Any) -> dict[str, Any]:
    """A backend of the configuration, impatient as tests are."""
    protocol = changes.get("protocol", "grpc")
    endpoint = f"http://127.0.0.1:{backend.http_port}" if protocol == "http" else f"127.0.0.1:{backend.grpc_port}"
    block = {
        "name": name,
        "endpoint": endpoint,
        "tls": {"insecure": True},
        "timeout": "30s",
        "retry": {"initial_interval": "20ms", "max_interval": "100ms"},
        "sending": {"flush_interval": "10ms"},
    }
    for key, value in changes.items():
        block[key] = {**block[key], **value} if isinstance(block.get(key), dict) and key != "tls" else value
    return block


def trace(
    number: int, spans: int = 3, padding: int = 0, policy: str = "errors", service: str = "shop", **attributes: str
) -> bytes:
    """A kept trace as a worker writes it; the same number gives the same ids. `attributes` stand on the root."""
    rng = random.Random(number)
    data = TracesData()
    resource_spans = data.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    scope_spans = resource_spans.scope_spans.add()
    trace_id, root = rng.randbytes(16), rng.randbytes(8)
    for index in range(spans):
        span = scope_spans.spans.add(trace_id=trace_id, span_id=rng.randbytes(8) if index else root, name="op")
        if index:
            span.parent_span_id = root
        else:
            for key, value in attributes.items():
                span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="sampling.policy").value.string_value = policy
        if padding:
            span.attributes.add(key="padding").value.bytes_value = rng.randbytes(padding)
    return data.SerializeToString()


def span_ids(values: Iterable[bytes]) -> Counter[bytes]:
    """The ids of all spans in these records."""
    return Counter(
        span.span_id
        for value in values
        for resource_spans in TracesData.FromString(value).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    )

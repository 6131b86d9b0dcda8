"""An agent on free ports before an embedded broker, and a reader of what it wrote."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from sampler.agent.metrics import AgentMetrics
from sampler.agent.publisher import Publisher
from sampler.agent.service import Agent
from sampler.agent.settings import AgentSettings, PublisherSettings
from sampler.embedded.broker import EmbeddedBroker
from sampler.otlp import get_scanner

TOPIC = "otlp_spans"
PARTITIONS = 3


class Written(NamedTuple):
    """A record as a consumer sees it."""

    partition: int
    key: bytes | None
    value: bytes

    def spans(self) -> list[Any]:
        """Its spans, decoded."""
        return [
            span
            for resource_spans in TracesData.FromString(self.value).resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


@dataclass
class FakeHealth:
    """What the agent said of itself."""

    ready: list[tuple[bool, str]] = field(default_factory=list)
    beats: int = 0
    names: set[str] = field(default_factory=set)

    def register(self, name: str, timeout_s: float, now: float) -> None:
        """Kept."""
        self.names.add(name)

    def unregister(self, name: str) -> None:
        """Kept."""
        self.names.remove(name)

    def beat(self, name: str, now: float) -> None:
        """Counted."""
        assert name in self.names
        self.beats += 1

    def set_ready(self, name: str, ready: bool, reason: str = "") -> None:
        """Kept."""
        self.ready.append((ready, reason))


@dataclass
class RunningAgent:
    """An agent, its registry, and where it listens."""

    agent: Agent
    registry: CollectorRegistry
    health: FakeHealth

    @property
    def grpc(self) -> str:
        """Address of OTLP/gRPC."""
        return f"127.0.0.1:{self.agent.grpc_port}"

    @property
    def http(self) -> str:
        """Base URL of OTLP/HTTP."""
        return f"http://127.0.0.1:{self.agent.http_port}"

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 where it was never set."""
        return self.registry.get_sample_value(f"tailsampler_agent_{name}", labels) or 0.0


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """An embedded broker with the span topic."""
    with EmbeddedBroker({TOPIC: PARTITIONS}) as running:
        yield running


@pytest.fixture
def publisher_settings(broker: EmbeddedBroker) -> PublisherSettings:
    """Settings for that broker."""
    return PublisherSettings(topic=TOPIC, librdkafka={"bootstrap.servers": broker.bootstrap})


Eventually = Callable[[Callable[[], Any]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds; the test's own time limit ends it."""

    async def wait(condition: Callable[[], Any]) -> None:
        while not condition():  # noqa: ASYNC110  what is waited for happens in other threads and processes
            await asyncio.sleep(0.002)

    return wait


Open = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def open_publisher(publisher_settings: PublisherSettings) -> Open:
    """Opens a publisher with changed settings and gives it with its registry, usable once Kafka has answered."""

    @contextlib.asynccontextmanager
    async def opened(wait: bool = True, **changes: Any) -> AsyncIterator[tuple[Publisher, CollectorRegistry]]:
        registry = CollectorRegistry()
        settings = dataclasses.replace(publisher_settings, **changes)
        publisher = Publisher(settings, get_scanner(), AgentMetrics(registry))
        await publisher.start()
        if wait:
            assert await publisher.wait_usable(10)
        try:
            yield publisher, registry
        finally:
            await publisher.close(0.2)

    return opened


@pytest.fixture
def open_agent(publisher_settings: PublisherSettings) -> Open:
    """Opens an agent; keyword arguments change AgentSettings, those in `publisher` PublisherSettings."""

    @contextlib.asynccontextmanager
    async def opened(
        wait: bool = True, publisher: dict[str, Any] | None = None, **changes: Any
    ) -> AsyncIterator[RunningAgent]:
        defaults = {"grpc_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", "stop_timeout_s": 3}
        settings = AgentSettings(dataclasses.replace(publisher_settings, **(publisher or {})), **(defaults | changes))
        registry, health = CollectorRegistry(), FakeHealth()
        agent = Agent(settings, registry, health)
        await agent.start()
        if wait:
            assert await agent.publisher.wait_usable(10)
        try:
            yield RunningAgent(agent, registry, health)
        finally:
            await agent.stop()

    return opened


@pytest.fixture
def read_records(broker: EmbeddedBroker) -> Callable[..., list[Written]]:
    """Read all records of the span topic, up to each partition's end."""

    def read(partitions: int = PARTITIONS, topic: str = TOPIC) -> list[Written]:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "reader",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        try:
            ends = {
                p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(partitions)
            }
            consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
            records: list[Written] = []
            seen: Counter[int] = Counter()
            while any(seen[p] < end for p, end in ends.items()):
                message = consumer.poll(10)
                assert message is not None, "the broker stopped answering"
                assert message.error() is None, message.error()
                records.append(Written(message.partition(), message.key(), message.value()))
                seen[message.partition()] += 1
            return records
        finally:
            consumer.close()

    return read


@pytest.fixture
def make_request() -> Callable[..., ExportTraceServiceRequest]:
    """A request with `traces` traces of `spans` spans each; ids come from `seed`, `padding` bytes go into a span."""

    def make(traces: int = 10, spans: int = 2, seed: int = 1, padding: int = 0) -> ExportTraceServiceRequest:
        generator = random.Random(seed)
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
        attribute = resource_spans.resource.attributes.add(key="service.name")
        attribute.value.string_value = "checkout"
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "shop"
        ids = [generator.randbytes(16) for _ in range(traces)]
        for number in range(traces * spans):
            span = scope_spans.spans.add(trace_id=ids[number % traces], span_id=generator.randbytes(8), name="pay")
            span.start_time_unix_nano = 1_700_000_000_000_000_000 + number
            span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
            if padding:
                span.attributes.add(key="padding").value.bytes_value = generator.randbytes(padding)
        return request

    return make

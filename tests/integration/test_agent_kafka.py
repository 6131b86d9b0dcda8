"""The agent before a real Kafka: the SDK's spans in, packed records out, through a restart of the broker."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # not marked as its own
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from sampler.agent.grpc_server import EXPORT_TRACES
from sampler.agent.publisher import KafkaUnavailableError
from sampler.agent.service import Agent
from sampler.agent.settings import AgentSettings, PublisherSettings
from sampler.otlp import partition_of
from tests.harness.distribution import MissingToolError
from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until

PARTITIONS = 6


@contextlib.asynccontextmanager
async def running_agent(bootstrap: str, topic: str, wait: bool = True, **changes: Any) -> AsyncIterator[Agent]:
    """An agent on free ports, usable once Kafka has answered."""
    publisher = PublisherSettings(topic=topic, librdkafka={"bootstrap.servers": bootstrap}, **changes)
    agent = Agent(AgentSettings(publisher, "127.0.0.1:0", "127.0.0.1:0"))
    await agent.start()
    try:
        assert not wait or await agent.publisher.wait_usable(30)
        yield agent
    finally:
        await agent.stop()


def spans_of(value: bytes) -> list[Any]:
    """The spans of a record's value, decoded."""
    return [
        span
        for resource_spans in TracesData.FromString(value).resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def request_of(generator: random.Random, spans: int, padding: int = 0) -> bytes:
    """A request of `spans` spans, two a trace."""
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    for number in range(spans):
        trace_id = generator.randbytes(16) if number % 2 == 0 else scope_spans.spans[-1].trace_id
        span = scope_spans.spans.add(trace_id=trace_id, span_id=generator.randbytes(8), name="step")
        if padding:
            span.attributes.add(key="padding").value.bytes_value = generator.randbytes(padding)
    return request.SerializeToString()


async def test_sdk_spans_lie_in_their_partitions(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """2,000 SDK spans arrive once each, every trace in the one partition its id hashes to, packed and without keys."""
    topic = topics("agent_sdk")
    kafka.create_topic(topic, PARTITIONS)

    def export(endpoint: str) -> None:
        provider = TracerProvider(resource=Resource({"service.name": "checkout"}), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=grpc.Compression.Gzip)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("shop")
        for number in range(500):
            with tracer.start_as_current_span(f"order {number}"):
                for step in ("reserve", "pay", "ship"):
                    with tracer.start_as_current_span(step):
                        pass
        provider.shutdown()

    async with running_agent(kafka.bootstrap, topic) as agent:
        await asyncio.to_thread(export, f"127.0.0.1:{agent.grpc_port}")
    records = await asyncio.to_thread(kafka.read_all, topic)
    assert len(records) < 100
    traces: Counter[bytes] = Counter()
    for record in records:
        assert record.key is None
        assert record.value is not None
        for span in spans_of(record.value):
            assert partition_of(span.trace_id, PARTITIONS, "sarama") == record.partition
            traces[span.trace_id] += 1
    assert sorted(traces.values()) == [4] * 500


async def test_records_up_to_the_topics_limit_are_taken(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """Requests far beyond max.message.bytes, of bytes that zstd cannot shrink, become records that the broker takes."""
    topic = topics("agent_large")
    limit = 100_000
    kafka.create_topic(topic, PARTITIONS, config={"max.message.bytes": str(limit)})
    generator = random.Random(5)
    async with running_agent(kafka.bootstrap, topic, max_message_bytes=limit) as agent:
        # 20 spans of 90 kB; 400 of 10 kB
        receipts = [await agent.publisher.publish(request_of(generator, 20, 90_000))]
        receipts.append(await agent.publisher.publish(request_of(generator, 400, 10_000)))
        receipts.append(await agent.publisher.publish(request_of(generator, 1, limit)))
    assert [(receipt.spans, receipt.rejected) for receipt in receipts] == [(20, 0), (400, 0), (0, 1)]
    records = await asyncio.to_thread(kafka.read_all, topic)
    assert len({span.span_id for record in records for span in spans_of(record.value or b"")}) == 420


async def test_a_topic_may_come_later(kafka: KafkaCluster, topics: Callable[[str], str]) -> None:
    """Without its topic the agent starts and refuses by name; once the topic is created it publishes, by itself."""
    topic = topics("agent_late")
    request = request_of(random.Random(3), 10)
    async with running_agent(kafka.bootstrap, topic, wait=False) as agent:
        text = ""
        while "topics create" not in text:
            with pytest.raises(KafkaUnavailableError) as caught:
                await agent.publisher.publish(request)
            text = str(caught.value)
            await asyncio.sleep(0.01)
        assert topic in text
        await asyncio.to_thread(kafka.create_topic, topic, PARTITIONS)
        assert await agent.publisher.wait_usable(30)
        assert (await agent.publisher.publish(request)).spans == 10


async def test_a_topic_that_grows_is_noticed(
    kafka: KafkaCluster, topics: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """When partitions are added under the agent the log says that traces are split, and all partitions are used."""
    topic = topics("agent_grown")
    kafka.create_topic(topic, 2)
    generator = random.Random(4)
    async with running_agent(kafka.bootstrap, topic, metadata_refresh_s=0.1) as agent:
        await agent.publisher.publish(request_of(generator, 10))
        kafka.admin_client.create_partitions([NewPartitions(topic, PARTITIONS)])[topic].result(30)
        await asyncio.to_thread(wait_until, lambda: "from 2 to 6 partitions" in caplog.text, 30, "the agent's log")
        await agent.publisher.publish(request_of(generator, 200))
    records = await asyncio.to_thread(kafka.read_all, topic)
    assert {record.partition for record in records} == set(range(PARTITIONS))


@pytest.mark.kafka
async def test_a_broker_restart_loses_nothing(topics: Callable[[str], str]) -> None:
    """Whatever was answered with success while the broker was killed and started again is in the topic, once."""
    try:
        cluster = KafkaCluster().start()
    except MissingToolError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        topic = topics("agent_restart")
        cluster.create_topic(topic, PARTITIONS)
        generator = random.Random(9)
        stored: set[bytes] = set()
        restarted = asyncio.Event()
        async with running_agent(cluster.bootstrap, topic, delivery_timeout_ms=30_000) as agent:

            async def send() -> None:
                while not restarted.is_set():
                    request = request_of(generator, 20)
                    try:
                        await agent.publisher.publish(request)
                    except KafkaUnavailableError:
                        await asyncio.sleep(0.05)
                    else:
                        stored.update(span.span_id for span in spans_of(request))

            senders = [asyncio.create_task(send()) for _ in range(8)]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.grpc_port}") as channel:
                await channel.unary_unary(EXPORT_TRACES)(request_of(generator, 2))
            await asyncio.to_thread(cluster.kill_broker, 0)
            await asyncio.to_thread(cluster.start_broker, 0)
            assert await agent.publisher.wait_usable(60)
            await agent.publisher.publish(request_of(generator, 20))
            restarted.set()
            await asyncio.gather(*senders)
        seen = Counter(
            span.span_id
            for record in await asyncio.to_thread(cluster.read_all, topic)
            for span in spans_of(record.value or b"")
        )
        assert len(stored) > 100
        assert stored <= seen.keys()
        assert {seen[span_id] for span_id in stored} == {1}
    finally:
        cluster.stop()

"""The agent's Kafka source on the embedded broker: every span once, offsets behind acknowledgements."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import CollectorRegistry

from sampler.agent import repartition
from sampler.agent.publisher import Receipt
from sampler.agent.repartition_settings import SourceSettings
from sampler.agent.service import Agent
from sampler.agent.settings import AgentSettings, PublisherSettings
from sampler.embedded.broker import EmbeddedBroker
from sampler.otlp import partition_of

Make = Callable[..., ExportTraceServiceRequest]
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
SOURCE, LETTERS, PARTITIONS = "raw_spans", "letters", 3
GROUP = "repartition"


@contextlib.asynccontextmanager
async def reading_agent(
    broker: EmbeddedBroker, publisher: PublisherSettings, registry: CollectorRegistry | None = None, **changes: Any
) -> AsyncIterator[Agent]:
    """An agent whose only source is the topic."""
    client = {"bootstrap.servers": broker.bootstrap, "fetch.wait.max.ms": 10}
    source = SourceSettings(
        topics=(SOURCE,), group_id=GROUP, dead_letter_topic=LETTERS, consumer=client,
        producer={"bootstrap.servers": broker.bootstrap}, commit_interval_s=0.02, **changes,
    )  # fmt: skip
    agent = Agent(AgentSettings(publisher, None, None, source=source), registry)
    await agent.start()
    try:
        yield agent
    finally:
        await agent.stop()


@pytest.fixture
def source_broker(broker: EmbeddedBroker) -> EmbeddedBroker:
    """The broker of the other tests, with a topic to read and one for dead letters."""
    broker.create_topic(SOURCE, 2)
    broker.create_topic(LETTERS, 1)
    return broker


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kafka has not taken is handed to it again soon."""
    monkeypatch.setattr(repartition, "RETRY_S", 0.05)


def write(broker: EmbeddedBroker, values: list[bytes]) -> None:
    """Put records into the source topic, into its partitions by turns."""
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number, value in enumerate(values):
        producer.produce(SOURCE, value, partition=number % 2)
    assert producer.flush(20) == 0


def committed(broker: EmbeddedBroker) -> dict[int, int]:
    """What the group has committed, by partition."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP})
    try:
        found = consumer.committed([TopicPartition(SOURCE, p) for p in range(2)], timeout=10)
        return {one.partition: one.offset for one in found if one.offset >= 0}
    finally:
        consumer.close()


async def until_committed(broker: EmbeddedBroker, offsets: dict[int, int]) -> None:
    """Wait until the group has committed these offsets; the test's time limit ends it."""
    while await asyncio.to_thread(committed, broker) != offsets:  # noqa: ASYNC110  another thread commits
        await asyncio.sleep(0.02)


async def test_every_span_lies_once_in_its_partition(
    source_broker: EmbeddedBroker, publisher_settings: PublisherSettings, read_records: Any, make_request: Make
) -> None:
    """Protobuf and JSON records of any form become packed records, each trace in its own partition, no span twice."""
    requests = [make_request(traces=10, spans=3, seed=seed) for seed in range(40)]
    ids = Counter(span.span_id for each in requests for span in each.resource_spans[0].scope_spans[0].spans)
    values = [request.SerializeToString() for request in requests]
    for number in (3, 4, 5):
        text = json_of(requests[number])
        values[number] = (b"", b"\n  ", b"\xef\xbb\xbf")[number - 3] + text
    write(source_broker, values)
    async with reading_agent(source_broker, publisher_settings):
        await until_committed(source_broker, {0: 20, 1: 20})
    records = await asyncio.to_thread(read_records)
    assert Counter(span.span_id for record in records for span in record.spans()) == ids
    for record in records:
        assert {partition_of(span.trace_id, PARTITIONS) for span in record.spans()} == {record.partition}
    assert len(records) < 40


def json_of(request: ExportTraceServiceRequest) -> bytes:
    """OTLP JSON: ids in hexadecimal."""
    copy = ExportTraceServiceRequest.FromString(request.SerializeToString())
    text = MessageToJson(copy)
    for span in copy.resource_spans[0].scope_spans[0].spans:
        for one in (span.trace_id, span.span_id):
            text = text.replace(base64.b64encode(one).decode(), one.hex())
    return text.encode()


async def test_bad_records_cost_no_other(
    source_broker: EmbeddedBroker, publisher_settings: PublisherSettings, read_records: Any, make_request: Make
) -> None:
    """Records that are no OTLP go to the dead-letter topic with where they stood and why; all others are stored."""
    good = [make_request(seed=seed).SerializeToString() for seed in range(6)]
    bad = [good[0][:-7], b"\x0a\xff\xff", b'{"resourceSpans": 3}', b"\x0a\x03abc", b"hello"]
    values = [good[0], bad[0], good[1], good[2], bad[1], bad[2], good[3], bad[3], good[4], bad[4], good[5], b""]
    write(source_broker, values)
    registry = CollectorRegistry()
    async with reading_agent(source_broker, publisher_settings, registry):
        await until_committed(source_broker, {0: 6, 1: 6})
    records = await asyncio.to_thread(read_records)
    assert sum(len(record.spans()) for record in records) == 6 * 20
    letters = await asyncio.to_thread(read_letters, source_broker)
    assert sorted(value for value, _ in letters) == sorted(bad)
    for value, headers in letters:
        assert values[int(headers["tailsampler.offset"]) * 2 + int(headers["tailsampler.partition"])] == value
        assert headers["tailsampler.topic"] == SOURCE.encode()
        assert headers["tailsampler.reason"] == b"not_otlp"
        assert headers["tailsampler.error"]
    assert registry.get_sample_value("tailsampler_agent_source_dead_letters_total", {"reason": "not_otlp"}) == 5


def read_letters(broker: EmbeddedBroker) -> list[tuple[bytes, dict[str, bytes]]]:
    """(value, headers) of every dead letter."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "letters", "fetch.wait.max.ms": 10})
    try:
        end = consumer.get_watermark_offsets(TopicPartition(LETTERS, 0), timeout=10)[1]
        consumer.assign([TopicPartition(LETTERS, 0, 0)])
        found = [consumer.poll(10) for _ in range(end)]
        return [(message.value(), dict(message.headers())) for message in found]
    finally:
        consumer.close()


async def test_nothing_is_committed_before_it_is_stored(
    source_broker: EmbeddedBroker,
    publisher_settings: PublisherSettings,
    read_records: Any,
    make_request: Make,
    eventually: Eventually,
) -> None:
    """While the broker refuses what is written no offset is committed; when it takes it again, all of it is stored."""
    write(source_broker, [make_request(seed=seed).SerializeToString() for seed in range(4)])
    registry = CollectorRegistry()
    # 0 is Produce; 29 TOPIC_AUTHORIZATION_FAILED, which is not tried again by librdkafka.
    source_broker.push_request_errors(0, [29] * 40)
    async with reading_agent(source_broker, publisher_settings, registry):
        await eventually(lambda: registry.get_sample_value("tailsampler_agent_source_retries_total"))
        assert await asyncio.to_thread(committed, source_broker) == {}
        assert registry.get_sample_value("tailsampler_agent_source_in_flight_bytes")
        source_broker.clear_request_errors(0)
        await until_committed(source_broker, {0: 2, 1: 2})
        assert registry.get_sample_value("tailsampler_agent_source_in_flight_bytes") == 0
    records = await asyncio.to_thread(read_records)
    assert {span.span_id for record in records for span in record.spans()} == {
        span.span_id for seed in range(4) for span in make_request(seed=seed).resource_spans[0].scope_spans[0].spans
    }


async def test_a_second_agent_takes_over_without_repeating(
    source_broker: EmbeddedBroker, publisher_settings: PublisherSettings, read_records: Any, make_request: Make
) -> None:
    """An agent that stops commits what it has stored, and the next one goes on behind it."""
    write(source_broker, [make_request(seed=seed).SerializeToString() for seed in range(4)])
    async with reading_agent(source_broker, publisher_settings, session_timeout_ms=1000):
        await until_committed(source_broker, {0: 2, 1: 2})
    write(source_broker, [make_request(seed=seed).SerializeToString() for seed in range(4, 8)])
    async with reading_agent(source_broker, publisher_settings, session_timeout_ms=1000):
        await until_committed(source_broker, {0: 4, 1: 4})
    records = await asyncio.to_thread(read_records)
    assert sum(len(record.spans()) for record in records) == 8 * 20


@pytest.mark.parametrize("pause_after_s", [30.0, 0.0])
async def test_reading_rests_while_too_much_is_in_flight(
    source_broker: EmbeddedBroker,
    publisher_settings: PublisherSettings,
    make_request: Make,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    pause_after_s: float,
) -> None:
    """What is read and not stored stays within the limit and one fetch; the rest waits in its topic, however long."""
    monkeypatch.setattr(repartition, "PAUSE_AFTER_S", pause_after_s)
    values = [make_request(seed=seed, padding=400).SerializeToString() for seed in range(60)]
    write(source_broker, values)
    registry = CollectorRegistry()

    def number(name: str) -> float:
        return registry.get_sample_value(f"tailsampler_agent_source_{name}") or 0.0

    source_broker.push_request_errors(0, [29] * 500)
    limit = 64 * 1024
    async with reading_agent(source_broker, publisher_settings, registry, max_in_flight_bytes=limit):
        await eventually(lambda: number("in_flight_bytes") >= limit)
        read = number("records_total")
        await eventually(lambda: number("retries_total") >= 3)
        assert number("records_total") == read
        source_broker.clear_request_errors(0)
        await until_committed(source_broker, {0: 30, 1: 30})


async def test_an_error_inside_ends_the_agent(
    source_broker: EmbeddedBroker, publisher_settings: PublisherSettings, make_request: Make
) -> None:
    """What must not happen in the source's thread ends the process, to be started again, and commits nothing."""
    write(source_broker, [make_request().SerializeToString()])
    async with reading_agent(source_broker, publisher_settings) as agent:

        async def broken(request: bytes) -> Receipt:
            raise ZeroDivisionError

        agent.publisher.publish = broken  # type: ignore[method-assign]
        await agent.failed.wait()
    assert await asyncio.to_thread(committed, source_broker) == {}

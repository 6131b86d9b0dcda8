"""The publisher against librdkafka's mock cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.agent.publisher import BufferFullError, KafkaUnavailableError, RequestTooLargeError
from sampler.clock import monotonic_s
from sampler.embedded.broker import EmbeddedBroker
from sampler.otlp import ScanError
from sampler.otlp.partition import plain_partition_of

PRODUCE = 0  # Kafka's API key
OUT_OF_ORDER_SEQUENCE = 45
TOPIC_AUTHORIZATION_FAILED = 29

Make = Callable[..., ExportTraceServiceRequest]


async def test_spans_lie_in_the_partition_of_their_trace(
    open_publisher: Any, read_records: Any, make_request: Make
) -> None:
    """Every span arrives unchanged, once, in the partition that its trace id hashes to; records have no key."""
    request = make_request(traces=40, spans=3)
    async with open_publisher() as (publisher, registry):
        receipt = await publisher.publish(request.SerializeToString())
        assert (receipt.spans, receipt.rejected, receipt.message) == (120, 0, "")
        assert publisher.buffered_bytes == 0
    assert registry.get_sample_value("tailsampler_agent_spans_accepted_total") == 120
    records = await asyncio.to_thread(read_records)
    assert len(records) == 3
    assert all(record.key is None for record in records)
    sent = {span.span_id: span for span in request.resource_spans[0].scope_spans[0].spans}
    for record in records:
        for span in record.spans():
            assert plain_partition_of(span.trace_id, 3, "sarama") == record.partition
            assert span == sent.pop(span.span_id)
    assert not sent


async def test_murmur2_is_the_other_way_to_choose(open_publisher: Any, read_records: Any, make_request: Make) -> None:
    """With `murmur2` traces lie where Java clients put their keys."""
    async with open_publisher(hasher="murmur2") as (publisher, _):
        await publisher.publish(make_request(traces=40).SerializeToString())
    for record in await asyncio.to_thread(read_records):
        assert {plain_partition_of(span.trace_id, 3, "murmur2") for span in record.spans()} == {record.partition}


async def test_requests_of_one_tick_share_records(open_publisher: Any, read_records: Any, make_request: Make) -> None:
    """Requests that come within the flush interval are packed into one record per partition."""
    async with open_publisher(flush_interval_ms=300) as (publisher, _):
        requests = [make_request(seed=seed).SerializeToString() for seed in range(20)]
        await asyncio.gather(*(publisher.publish(request) for request in requests))
    records = await asyncio.to_thread(read_records)
    assert len(records) == 3
    assert sum(len(record.spans()) for record in records) == 400


async def test_a_full_record_leaves_before_the_tick(open_publisher: Any, read_records: Any, make_request: Make) -> None:
    """A record that would grow beyond the record size leaves at once, and none is larger."""
    async with open_publisher(flush_interval_ms=60_000, record_size_bytes=20_000) as (publisher, _):
        requests = [make_request(seed=seed, padding=200).SerializeToString() for seed in range(40)]
        tasks = [asyncio.create_task(publisher.publish(request)) for request in requests]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await publisher.close(5)
        await asyncio.gather(*tasks)
    records = await asyncio.to_thread(read_records)
    assert len(records) > 6
    assert max(len(record.value) for record in records) <= 20_000


async def test_success_waits_for_the_acknowledgement(
    open_publisher: Any, broker: EmbeddedBroker, make_request: Make
) -> None:
    """A request is not answered before the broker has answered, however long that takes."""
    async with open_publisher() as (publisher, registry):
        await publisher.publish(make_request().SerializeToString())
        broker.set_rtt_ms(700)
        started = monotonic_s()
        task = asyncio.create_task(publisher.publish(make_request(seed=2).SerializeToString()))
        await asyncio.sleep(0)
        assert publisher.buffered_bytes > 0
        await task
        assert monotonic_s() - started >= 0.7
        broker.set_rtt_ms(0)
    assert registry.get_sample_value("tailsampler_agent_ack_seconds_sum") >= 0.7


async def test_a_retriable_broker_error_is_overcome(
    open_publisher: Any, broker: EmbeddedBroker, read_records: Any, make_request: Make
) -> None:
    """Librdkafka repeats what the broker could not take just now; the sender sees a success, the topic one copy."""
    async with open_publisher() as (publisher, _):
        broker.push_request_errors(PRODUCE, [7, 7])
        assert (await publisher.publish(make_request().SerializeToString())).spans == 20
    assert sum(len(record.spans()) for record in await asyncio.to_thread(read_records)) == 20


async def test_a_refused_record_fails_its_requests(
    open_publisher: Any, broker: EmbeddedBroker, make_request: Make
) -> None:
    """Where Kafka refuses a record for good the sender gets an error, and the buffer is free again."""
    async with open_publisher() as (publisher, registry):
        broker.push_request_errors(PRODUCE, [TOPIC_AUTHORIZATION_FAILED] * 3)
        with pytest.raises(KafkaUnavailableError, match="did not acknowledge"):
            await publisher.publish(make_request().SerializeToString())
        assert publisher.buffered_bytes == 0
        assert registry.get_sample_value("tailsampler_agent_records_failed_total") >= 1
        assert registry.get_sample_value("tailsampler_agent_spans_accepted_total") == 0


async def test_beyond_the_buffer_requests_are_refused(
    open_publisher: Any, broker: EmbeddedBroker, make_request: Make
) -> None:
    """Unacknowledged bytes stay below the bound; the request that would pass it is refused at once, later ones go."""
    request = make_request(padding=1000).SerializeToString()
    async with open_publisher(max_buffer_bytes=3 * len(request)) as (publisher, _):
        broker.set_rtt_ms(500)
        tasks = [asyncio.create_task(publisher.publish(request)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BufferFullError, match="buffer is full") as caught:
            await publisher.publish(request)
        assert caught.value.retry_after_s > 0
        await asyncio.gather(*tasks)
        broker.set_rtt_ms(0)
        assert (await publisher.publish(request)).spans == 20


async def test_a_request_larger_than_the_buffer_is_refused_for_good(open_publisher: Any, make_request: Make) -> None:
    """A request that becomes larger than the buffer by being cut is not told to come again."""
    request = make_request(traces=50, spans=1).SerializeToString()
    async with open_publisher(max_buffer_bytes=len(request) + 100) as (publisher, _):
        with pytest.raises(RequestTooLargeError, match="send fewer spans"):
            await publisher.publish(request)


async def test_without_kafka_requests_are_refused(open_publisher: Any, make_request: Make) -> None:
    """With no broker there the publisher starts, and refuses with the address and the reason."""
    async with open_publisher(wait=False, librdkafka={"bootstrap.servers": "127.0.0.1:1"}) as (publisher, _):
        with pytest.raises(KafkaUnavailableError):
            await publisher.publish(make_request().SerializeToString())
        assert (await publisher.publish(b"")).spans == 0


async def test_an_outage_is_noticed_and_ends(open_publisher: Any, broker: EmbeddedBroker, make_request: Make) -> None:
    """While brokers are down requests fail with a retryable error; when they are back they succeed, by themselves."""
    request = make_request().SerializeToString()
    async with open_publisher(delivery_timeout_ms=1000) as (publisher, _):
        await publisher.publish(request)
        broker.broker_down()
        with pytest.raises(KafkaUnavailableError):
            await publisher.publish(request)
        broker.broker_up()
        assert await publisher.wait_usable(20)
        assert (await publisher.publish(request)).spans == 20


async def test_a_missing_topic_is_named(open_publisher: Any, make_request: Make) -> None:
    """Where the topic is missing the refusal says so and what creates it."""
    async with open_publisher(wait=False, topic="bad topic!") as (publisher, _):
        deadline = monotonic_s() + 10
        text = ""
        while "topics create" not in text and monotonic_s() < deadline:
            with pytest.raises(KafkaUnavailableError) as caught:
                await publisher.publish(make_request().SerializeToString())
            text = str(caught.value)
            await asyncio.sleep(0.01)
        assert "bad topic!" in text
        assert "topics create" in text


async def test_a_changed_partition_count_is_said_aloud(
    open_publisher: Any, caplog: pytest.LogCaptureFixture, make_request: Make
) -> None:
    """A topic that grows under the agent is an error in the log, and the new count is used."""
    from sampler.agent.producer import TopicState

    async with open_publisher() as (publisher, registry):
        with caplog.at_level(logging.ERROR):
            publisher._set_topic(TopicState(6))
        assert "from 3 to 6 partitions" in caplog.text
        assert registry.get_sample_value("tailsampler_agent_topic_partitions") == 6


async def test_an_oversize_part_is_cut(open_publisher: Any, read_records: Any, make_request: Make) -> None:
    """One trace beyond the largest message leaves in several records, whole."""
    request = make_request(traces=1, spans=50, padding=3000)
    async with open_publisher(max_message_bytes=20_000) as (publisher, _):
        receipt = await publisher.publish(request.SerializeToString())
        assert (receipt.spans, receipt.rejected) == (50, 0)
    records = await asyncio.to_thread(read_records)
    assert len(records) >= 8
    assert max(len(record.value) for record in records) <= 20_000
    assert len({record.partition for record in records}) == 1
    assert len({span.span_id for record in records for span in record.spans()}) == 50


async def test_a_span_that_fits_nowhere_is_rejected(open_publisher: Any, read_records: Any, make_request: Make) -> None:
    """A single span beyond the largest message is a partial success that names the setting; the others are stored."""
    request = make_request(traces=1, spans=3)
    huge = request.resource_spans[0].scope_spans[0].spans[1]
    huge.attributes.add(key="body").value.string_value = "x" * 30_000
    async with open_publisher(max_message_bytes=20_000) as (publisher, _):
        receipt = await publisher.publish(request.SerializeToString())
    assert (receipt.spans, receipt.rejected) == (2, 1)
    assert "max_message_bytes" in receipt.message
    assert sum(len(record.spans()) for record in await asyncio.to_thread(read_records)) == 2


async def test_invalid_ids_are_rejected_and_the_rest_stored(
    open_publisher: Any, read_records: Any, make_request: Make
) -> None:
    """Spans with an invalid trace or span id are counted out; the others are stored."""
    request = make_request(traces=2, spans=3)
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = bytes(16)
    spans[1].trace_id = b"short"
    spans[2].span_id = b""
    async with open_publisher() as (publisher, registry):
        receipt = await publisher.publish(request.SerializeToString())
    assert (receipt.spans, receipt.rejected) == (3, 3)
    assert "3 spans have an invalid trace id" in receipt.message
    assert registry.get_sample_value("tailsampler_agent_spans_rejected_total") == 3
    assert sum(len(record.spans()) for record in await asyncio.to_thread(read_records)) == 3


async def test_a_request_with_no_valid_span_is_answered(open_publisher: Any, make_request: Make) -> None:
    """A request all of whose spans are invalid is answered without a record."""
    request = make_request(traces=1, spans=1)
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b"1"
    async with open_publisher() as (publisher, registry):
        receipt = await publisher.publish(request.SerializeToString())
        assert (receipt.spans, receipt.rejected) == (0, 1)
    assert registry.get_sample_value("tailsampler_agent_records_total") == 0


async def test_what_is_not_otlp_is_refused(open_publisher: Any) -> None:
    """Bytes that are no protobuf raise the scanner's error."""
    async with open_publisher() as (publisher, _):
        with pytest.raises(ScanError):
            await publisher.publish(b"\x0a\xff\xff")


async def test_a_sender_that_leaves_does_not_matter(
    open_publisher: Any, broker: EmbeddedBroker, read_records: Any, make_request: Make, eventually: Any
) -> None:
    """A cancelled request is stored all the same, and its bytes leave the buffer."""
    async with open_publisher() as (publisher, _):
        broker.set_rtt_ms(200)
        task = asyncio.create_task(publisher.publish(make_request().SerializeToString()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        broker.set_rtt_ms(0)
        await publisher.publish(make_request(seed=2).SerializeToString())
        await eventually(lambda: not publisher.buffered_bytes)
    assert sum(len(record.spans()) for record in await asyncio.to_thread(read_records)) == 40


async def test_a_fatal_producer_error_is_survived(
    open_publisher: Any, broker: EmbeddedBroker, make_request: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """After an error that ends librdkafka's idempotent producer a new one takes over; the sender is told to retry."""
    request = make_request().SerializeToString()
    async with open_publisher() as (publisher, _):
        await publisher.publish(request)
        broker.push_request_errors(PRODUCE, [OUT_OF_ORDER_SEQUENCE] * 3)
        with pytest.raises(KafkaUnavailableError):
            await publisher.publish(request)
        broker.clear_request_errors(PRODUCE)
        assert "a new one takes over" in caplog.text
        assert await publisher.wait_usable(10)
        assert (await publisher.publish(request)).spans == 20

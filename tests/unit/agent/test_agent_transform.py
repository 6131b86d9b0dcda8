"""`agent.transform` over every way in: what it removes reaches no topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import grpc
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.agent.grpc_server import EXPORT_TRACES
from sampler.agent.repartition_settings import SourceSettings
from sampler.config.transform import Transform
from sampler.embedded.broker import EmbeddedBroker

Make = Callable[..., ExportTraceServiceRequest]

TRANSFORM = Transform.model_validate(
    {"rules": [{"action": "rewrite", "pattern": "token=[^&]+"}], "upsert": {"k8s.node.name": "node-7"}}
)
SECRET = b"s3cret"


def secret_request(make_request: Make, seed: int) -> bytes:
    """A request with a secret in an attribute of every span."""
    request = make_request(seed=seed)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.attributes.add(key="url.query").value.string_value = "token=s3cret&x=1"
    return request.SerializeToString()


async def until_committed(reader: Consumer, offset: int) -> None:
    """Wait until the group has committed this offset; the test's time limit ends it."""
    while (await asyncio.to_thread(reader.committed, [TopicPartition("raw", 0)], 10))[0].offset != offset:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_what_is_removed_reaches_no_topic(
    broker: EmbeddedBroker, open_agent: Any, read_records: Any, make_request: Make
) -> None:
    """Over gRPC, HTTP and the Kafka source alike; a record that cannot be read is told of, but not copied."""
    broker.create_topic("raw", 1)
    broker.create_topic("letters", 1)
    client = {"bootstrap.servers": broker.bootstrap, "fetch.wait.max.ms": 10}
    source = SourceSettings(
        topics=("raw",), group_id="repartition", dead_letter_topic="letters", consumer=client,
        producer={"bootstrap.servers": broker.bootstrap}, commit_interval_s=0.02, leave_out=True,
    )  # fmt: skip
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("raw", secret_request(make_request, 1))
    producer.produce("raw", secret_request(make_request, 1)[:-5])
    assert producer.flush(20) == 0
    async with open_agent(transform=TRANSFORM, source=source) as agent:
        async with grpc.aio.insecure_channel(agent.grpc) as channel:
            assert await channel.unary_unary(EXPORT_TRACES)(secret_request(make_request, 2)) == b""
        async with aiohttp.ClientSession() as session:
            body, headers = secret_request(make_request, 3), {"Content-Type": "application/x-protobuf"}
            async with session.post(f"{agent.http}/v1/traces", data=body, headers=headers) as answer:
                assert answer.status == 200
        reader = Consumer({**client, "group.id": "repartition"})
        await until_committed(reader, 2)
        assert agent.registry.get_sample_value("tailsampler_transform_changes_total", {"rule": "rewrite-1"}) == 60
        reader.assign([TopicPartition("letters", 0, 0)])
        letter = await asyncio.to_thread(reader.poll, 20)
        reader.close()
    records = await asyncio.to_thread(read_records)
    assert sum(len(record.spans()) for record in records) == 60
    assert not any(SECRET in record.value for record in records)
    assert all(b"node-7" in record.value for record in records)
    assert letter.value() is None
    told = dict(letter.headers())
    assert (told["tailsampler.offset"], told["tailsampler.topic"]) == (b"1", b"raw")
    assert b"left out" in told["tailsampler.cut"]


async def test_damaged_requests_are_refused_as_without_it(open_agent: Any, make_request: Make) -> None:
    """A request that is no OTLP gets INVALID_ARGUMENT."""
    async with open_agent(transform=TRANSFORM) as agent, grpc.aio.insecure_channel(agent.grpc) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(EXPORT_TRACES)(secret_request(make_request, 1)[:-5])
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

"""The other ways in, on real Kafka: a topic that is not keyed by trace, through kills, and a service with the SDK."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sampler.otlp import partition_of
from sampler.sdk import KafkaSpanExporter
from tests.harness.kafka import KafkaCluster
from tests.harness.otlp_backend import BackendThread, OtlpBackend
from tests.harness.process import sampler_process, wait_until
from tests.harness.reading import Record
from tests.harness.tier import Tier

pytestmark = pytest.mark.kafka

PARTITIONS = 4
GROUP = "repartition"


def spans_in(records: Iterable[Record]) -> list[tuple[Record, Any]]:
    """Every span with the record it is in."""
    return [
        (record, span)
        for record in records
        for section in TracesData.FromString(record.value or b"").resource_spans
        for scope in section.scope_spans
        for span in scope.spans
    ]


def unkeyed(rng: random.Random, traces: list[bytes]) -> bytes:
    """A record with 40 spans of many traces."""
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for _ in range(40):
        scope.spans.add(trace_id=rng.choice(traces), span_id=rng.randbytes(8), name="n" * 200)
    return data.SerializeToString()


def agent_config(
    kafka: KafkaCluster, source: str, target: str, letters: str, group: str, instance: str | None = None
) -> dict[str, Any]:
    """An agent that does nothing but read the source."""
    names = {"spans": target, "dead_letter": letters}
    return {
        "kafka": {"brokers": [kafka.bootstrap], "create_topics": False, "topics": names},
        "agent": {
            "grpc": {"enabled": False}, "http": {"enabled": False},
            "kafka_source": {
                "topics": source, "group_id": group, "commit_interval": "50ms", "session_timeout": "6s",
                "max_in_flight": "256KiB", **({"group_instance_id": instance} if instance else {}),
            },
        },
        "web": {"enabled": False},
    }  # fmt: skip


def write(kafka: KafkaCluster, topic: str, values: Iterable[bytes]) -> None:
    """Records into all partitions by turns."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 20})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % PARTITIONS)
    assert producer.flush(60) == 0


def test_a_killed_agent_loses_nothing_of_its_source(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """A kill -9 while records are on their way: the next agent stores whatever was not, each trace in its partition."""
    source, target, letters = topics("unkeyed"), topics("keyed"), topics("letters")
    for topic in (source, target):
        kafka.create_topic(topic, PARTITIONS)
    kafka.create_topic(letters, 1)
    rng = random.Random(11)
    traces = [rng.randbytes(16) for _ in range(500)]
    group = topics(GROUP)
    path = tmp_path / "agent.yaml"
    path.write_text(json.dumps(agent_config(kafka, source, target, letters, group, "agent-0")))
    agent = sampler_process(["agent", "--config", str(path)], tmp_path / "agent.log")
    try:
        for _ in range(3):
            write(kafka, source, [unkeyed(rng, traces) for _ in range(400)])
            agent.start()
            before = sum(kafka.end_offsets(target).values())
            agent.wait_until(lambda: sum(kafka.end_offsets(target).values()) > before, 60, "spans in the target")  # noqa: B023
            agent.kill()
        write(kafka, source, [unkeyed(rng, traces), b"no OTLP"])
        agent.start()
        ends = kafka.end_offsets(source)
        agent.wait_until(lambda: kafka.committed(group, source) == ends, 60, f"commits up to {ends}")
        assert agent.terminate() == 0, agent.output()
    finally:
        agent.kill()
    read = kafka.read_all(source)
    expected = {span.span_id for _, span in spans_in(record for record in read if record.value != b"no OTLP")}
    stored = spans_in(kafka.read_all(target))
    assert {span.span_id for _, span in stored} == expected
    assert len(expected) == 1201 * 40
    assert all(partition_of(span.trace_id, PARTITIONS) == record.partition for record, span in stored)
    (letter,) = kafka.read_all(letters)
    assert letter.value == b"no OTLP"
    assert dict(letter.headers)["tailsampler.topic"] == source.encode()


def test_agents_share_a_source_and_hand_it_over(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """A second agent gets a part of the source; when the first one stops it takes the rest, and nothing is missing."""
    source, target, letters, group = topics("shared"), topics("shared-keyed"), topics("shared-letters"), topics("share")
    for topic in (source, target):
        kafka.create_topic(topic, PARTITIONS)
    kafka.create_topic(letters, 1)
    rng = random.Random(12)
    traces = [rng.randbytes(16) for _ in range(200)]
    path = tmp_path / "agent.yaml"
    path.write_text(json.dumps(agent_config(kafka, source, target, letters, group)))
    first, second = (
        sampler_process(["agent", "--config", str(path)], tmp_path / f"agent-{number}.log") for number in (1, 2)
    )
    try:
        first.start().wait_for_log("reading ", 60)
        write(kafka, source, [unkeyed(rng, traces) for _ in range(200)])
        second.start().wait_for_log(f"reading {source}[", 60)
        write(kafka, source, [unkeyed(rng, traces) for _ in range(200)])
        assert first.terminate() == 0, first.output()
        write(kafka, source, [unkeyed(rng, traces) for _ in range(200)])
        ends = kafka.end_offsets(source)
        second.wait_until(lambda: kafka.committed(group, source) == ends, 60, f"commits up to {ends}")
        assert second.terminate() == 0, second.output()
    finally:
        first.kill()
        second.kill()
    expected = {span.span_id for _, span in spans_in(kafka.read_all(source))}
    assert {span.span_id for _, span in spans_in(kafka.read_all(target))} == expected
    assert len(expected) == 600 * 40


def own_names(backend: OtlpBackend) -> set[str]:
    """The names of the spans that a backend was sent."""
    return {
        span.name
        for received in backend.received
        for section in received.request.resource_spans
        for scope in section.scope_spans
        for span in scope.spans
    }


class TracingTier(Tier):
    """A tier whose workers trace themselves."""

    endpoint = ""

    def config(self, name: str, port: int, **more: Any) -> Path:
        path = super().config(name, port, **more)
        tree = json.loads(path.read_text())
        tree["tracing"] = {"endpoint": self.endpoint, "ratio": 1, "tls": {"insecure": True}}
        path.write_text(json.dumps(tree))
        return path


def test_a_service_with_the_sdk_and_a_worker_that_redacts(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Spans of the real SDK go straight to Kafka, are sampled, and leave changed, with their context in headers.

    The worker traces what it does itself, to a backend.
    """
    block = {
        "transform": {
            "rules": [{"action": "rewrite", "pattern": "token=[^&]+"}, {"action": "delete", "keys": "user.email"}],
            "upsert": {"deployment.environment.name": "test"},
            "max_attributes": 1,
        },
        "trace_context_headers": True,
    }
    policies = {
        "decision_wait": "1s",
        "policies": [
            {"name": "mail", "type": "string_attribute", "string_attribute": {"key": "user.email", "values": ["a@b.c"]}}
        ],
    }
    with (
        BackendThread() as own,
        TracingTier(kafka, topics("sdk"), tmp_path, policies, partitions=PARTITIONS, worker=block) as tier,
    ):
        tier.endpoint = f"127.0.0.1:{own.backend.grpc_port}"
        exporter = KafkaSpanExporter(kafka.bootstrap, tier.topics["spans"], trace_context_headers=True)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("shop")
        kept: set[str] = set()
        for number in range(40):
            mail = {"user.email": "a@b.c"} if number % 2 else {}
            with tracer.start_as_current_span("order", attributes={"q": f"token={number}&x=1", **mail}) as root:
                with tracer.start_as_current_span("pay", attributes={"a": 1, "b": 2}):
                    pass
                if mail:
                    kept.add(f"{root.get_span_context().trace_id:032x}")
        provider.shutdown()
        assert exporter.counts.exported == 80
        tier.start_worker()
        tier.wait_decided()
        wait_until(lambda: len(spans_in(kafka.read_all(tier.topics["sampled"]))) >= 40, 60, "kept spans")
        sampled = kafka.read_all(tier.topics["sampled"])
        wait_until(lambda: {"worker.batch", "worker.settlement"} <= own_names(own.backend), 30, "the worker's spans")
    found = spans_in(sampled)
    assert {span.trace_id.hex() for _, span in found} == kept
    assert len(found) == 40
    for record, span in found:
        assert b"token=" not in (record.value or b"")
        assert b"a@b.c" not in (record.value or b"")
        assert b"deployment.environment.name" in (record.value or b"")
        # One of its own, and the two that say how it was sampled.
        keys = [each.key for each in span.attributes]
        assert {"sampling.rate", "sampling.policy"} <= set(keys)
        assert len(keys) <= 2 + (span.name == "order")
        version, trace_id, span_id, flags = (dict(record.headers)["traceparent"] or b"").decode().split("-")
        assert (version, trace_id, flags) == ("00", span.trace_id.hex(), "01")
        assert span_id in {other.span_id.hex() for _, other in found if other.trace_id == span.trace_id}

"""A real Collector before the tier and behind it, with the Kafka exporter, the Kafka receiver and OTLP."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.harness.kafka import KafkaCluster
from tests.harness.otlp_backend import EXPORT_TRACES, BackendThread, OtlpBackend
from tests.harness.process import free_ports, sampler_process, wait_until
from tests.harness.tier import Tier
from tests.harness.traffic import encode, plan_traces
from tests.interop.collectors import start_collector

pytestmark = pytest.mark.kafka

ARRIVE_S = 90.0
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaCluster]:
    """A broker of this file's own."""
    with KafkaCluster() as cluster:
        yield cluster


def start_exporter(stack: ExitStack, tier: Tier, folder: Path, port: int) -> None:
    """`tailsampler exporter` that sends to a port, beside the tier's workers."""
    config = json.loads(tier.config("exporter", 0).read_text())
    config["exporter"] = {"backends": [{"name": "behind", "endpoint": f"127.0.0.1:{port}", "tls": {"insecure": True}}]}
    path = folder / "exporter.yaml"
    path.write_text(json.dumps(config))
    stack.enter_context(sampler_process(["exporter", "--config", str(path)], folder / "exporter.log"))


def attributes_of(backend: OtlpBackend) -> set[str]:
    """The names of the attributes that stand on every span at a backend."""
    found: list[set[str]] = []
    for received in backend.received:
        for resource_spans in received.request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                found += [{attribute.key for attribute in span.attributes} for span in scope_spans.spans]
    return set.intersection(*found)


def test_collectors_before_and_behind(kafka: KafkaCluster, tmp_path: Path) -> None:
    """Spans that a Collector writes to Kafka are sampled by trace, and the kept traces reach a Collector both ways,
    whole and once, with what the sampler has written on them.
    """
    traces = plan_traces(200, seed=17, spread_s=0.5)
    kept: Counter[bytes] = Counter(
        span.span_id for trace in traces if any(span.error for span in trace.spans) for span in trace.spans
    )
    policies: dict[str, Any] = {"decision_wait": "10s", "policies": [ERRORS]}
    front_port, behind_port = free_ports(2)
    with ExitStack() as stack:
        tier = stack.enter_context(Tier(kafka, "interop", tmp_path, policies))
        from_kafka, from_otlp = (stack.enter_context(BackendThread()) for _ in range(2))
        behind = {
            "KAFKA_BROKERS": kafka.bootstrap,
            "SAMPLED_TOPIC": tier.topics["sampled"],
            "RECEIVER_GROUP": "interop-behind",
            "BEHIND_PORT": behind_port,
            "KAFKA_BACKEND_PORT": from_kafka.backend.grpc_port,
            "OTLP_BACKEND_PORT": from_otlp.backend.grpc_port,
        }
        stack.callback(start_collector("behind", tmp_path, behind).kill)
        front = {"FRONT_PORT": front_port, "KAFKA_BROKERS": kafka.bootstrap, "SPAN_TOPIC": tier.topics["spans"]}
        stack.callback(start_collector("front", tmp_path, front).kill)
        tier.start_worker()
        start_exporter(stack, tier, tmp_path, behind_port)
        with grpc.insecure_channel(f"127.0.0.1:{front_port}") as channel:
            export = channel.unary_unary(EXPORT_TRACES)
            for trace in traces:
                for part in range(3):
                    export(encode(trace.trace_id, trace.spans[3 * part : 3 * part + 3], time.time_ns()), timeout=30)
        for backend in (from_kafka.backend, from_otlp.backend):
            wait_until(lambda b=backend: b.spans.keys() >= kept.keys(), ARRIVE_S, "the kept spans")  # type: ignore[misc]
            assert backend.spans == kept
            assert attributes_of(backend) >= {"sampling.rate", "sampling.policy"}
        # The Collector's partitions are ours: no worker saw a span of a trace that belongs elsewhere.
        assert tier.metric(0, "tailsampler_mispartitioned_spans_total") == 0

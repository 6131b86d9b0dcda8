"""Tenants on real Kafka: named by an attribute or a header, each in its own topic, over a restart and a reload."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from sampler.otlp import message_key, partition_of
from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.tier import Tier
from tests.harness.traffic import read_sampled

pytestmark = pytest.mark.kafka

ALL = {"name": "all", "type": "always_sample"}
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
NAMES = ("acme-eu", "globex", "initech", "")


class TenantTier(Tier):
    """A tier whose workers make the topics of tenants themselves."""

    def config(self, name: str, port: int, **more: Any) -> Path:
        path = super().config(name, port, **more)
        tree = json.loads(path.read_text())
        tree["kafka"]["create_topics"] = True
        path.write_text(json.dumps(tree))
        return path


class Trace:
    """A trace of two spans in two records, and one that comes when it is decided; every second one fails."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.trace_id = rng.randbytes(16)
        self.tenant = NAMES[number % len(NAMES)]
        self.error = number // len(NAMES) % 2 == 0
        self.span_ids = [rng.randbytes(8) for _ in range(3)]

    def record(self, index: int, by: str) -> tuple[bytes, list[tuple[str, str | bytes | None]]]:
        """The record with span `index`: only that with the first one says whose it is."""
        data = TracesData()
        part = data.resource_spans.add()
        out = part.scope_spans.add().spans.add(trace_id=self.trace_id, span_id=self.span_ids[index], name="op")
        if self.error and index == 1:
            out.status.code = Status.STATUS_CODE_ERROR
        named = self.tenant and index == 0
        if named and by == "attribute":
            part.resource.attributes.add(key="tenant.id").value.string_value = self.tenant
        return data.SerializeToString(), [("X-Tenant", self.tenant.encode())] if named and by == "header" else []


def policies(by: str, prefix: str, **more: Any) -> dict[str, Any]:
    names = {"attribute": "tenant.id"} if by == "attribute" else {"header": "X-Tenant"}
    sets = {
        "acme": {"match": ["acme", "acme-eu"], "topic": f"{prefix}-acme", "policies": [ALL]},
        "globex": {"topic": f"{prefix}-globex", "policies": [ERRORS]},
        **more,
    }
    return {"decision_wait": "2s", "policies": [ERRORS], "tenants": {**names, "sets": sets}}


def publish(tier: Tier, traces: Iterable[Trace], indexes: Sequence[int], by: str) -> None:
    producer = Producer({"bootstrap.servers": tier.kafka.bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0})
    for trace in traces:
        for index in indexes:
            value, headers = trace.record(index, by)
            producer.produce(
                tier.topics["spans"], value, message_key(trace.trace_id),
                partition_of(trace.trace_id, tier.partitions, "sarama"), headers=headers,
            )  # fmt: skip
    assert producer.flush(30) == 0


def check(tier: Tier, topic: str, kept: Iterable[Trace], policy: str) -> None:
    """A topic has these traces, whole and once, and no others."""
    found = read_sampled(tier.kafka.read_all(topic))
    assert {t: set(spans) for t, spans in found.spans.items()} == {t.trace_id: set(t.span_ids) for t in kept}
    assert found.duplicated() == 0
    assert {value for marks in found.attributes.values() for name, value in marks if name == "sampling.policy"} == {
        policy
    }


@pytest.mark.parametrize("by", ["attribute", "header"])
def test_every_tenant_has_its_policies_and_its_topic(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path, by: str
) -> None:
    """Late spans are where their trace is, also after a restart; a tenant that a reload brings gets its topic then."""
    rng, prefix = random.Random(17), topics("t")
    traces = [Trace(number, rng) for number in range(400)]
    with TenantTier(
        kafka, prefix, tmp_path, policies(by, prefix), worker={"policies_reload_interval": "200ms"}
    ) as tier:
        worker = tier.start_worker()
        publish(tier, traces, (0, 1), by)
        tier.wait_decided()
        labels = '{decision="sampled",tenant="globex"}'
        wait_until(lambda: tier.metric(0, "tailsampler_tenant_traces_total", labels) == 50, 10, "the tenant's traces")
        assert tier.metric(0, "tailsampler_policy_traces_total", '{decision="sampled",policy="acme/all"}') == 100
        assert worker.terminate() == 0
        tier.start_worker()
        publish(tier, traces, (2,), by)
        tier.wait_decided()
        of = {name: [trace for trace in traces if trace.tenant == name] for name in NAMES}
        check(tier, f"{prefix}-acme", of["acme-eu"], "all")
        check(tier, f"{prefix}-globex", [trace for trace in of["globex"] if trace.error], "errors")
        check(tier, tier.topics["sampled"], [t for t in (*of["initech"], *of[""]) if t.error], "errors")

        initech = {"initech": {"topic": f"{prefix}-initech", "policies": [ALL]}}
        tier.write_policies(json.dumps({"tail_sampling": policies(by, prefix, **initech)}))
        reloaded = '{outcome="success"}'
        wait_until(lambda: tier.metric(1, "tailsampler_policy_reloads_total", reloaded) == 1, 20, "the reload")
        more = [Trace(2, rng) for _ in range(50)]
        publish(tier, more, (0, 1), by)
        publish(tier, more, (2,), by)
        tier.wait_decided()
        check(tier, f"{prefix}-initech", more, "all")
        assert kafka.describe(f"{prefix}-initech")["cleanup.policy"] == "delete"
        assert tier.workers[1].terminate() == 0

"""The exporter on a real Kafka: nothing is lost over kills, restarts and refusals, nothing twice over SIGTERM."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.harness.kafka import KafkaCluster
from tests.harness.otlp_backend import ACCEPT, INVALID, UNAVAILABLE, BackendThread, OtlpBackend, Reaction
from tests.harness.process import TestProcess, free_ports, sampler_process, wait_until

pytestmark = pytest.mark.kafka

PARTITIONS = 4
SPANS = 3
DONE_S = 90.0
SLOW_DOWN = Reaction("RESOURCE_EXHAUSTED", 429, "slow down", retry_after=0.1)


def traces(count: int, seed: int) -> dict[bytes, list[bytes]]:
    """Records of one trace each, with the ids of their spans."""
    rng = random.Random(seed)
    made: dict[bytes, list[bytes]] = {}
    for _ in range(count):
        data, trace_id = TracesData(), rng.randbytes(16)
        resource_spans = data.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
        spans = resource_spans.scope_spans.add().spans
        ids = [rng.randbytes(8) for _ in range(SPANS)]
        for span_id in ids:
            spans.add(trace_id=trace_id, span_id=span_id, name="op", start_time_unix_nano=1, end_time_unix_nano=2)
        made[data.SerializeToString()] = ids
    return made


class Stage:
    """Topics of a test, and exporters as processes that share their work."""

    def __init__(self, kafka: KafkaCluster, topics: Callable[[str], str], folder: Path) -> None:
        self.kafka = kafka
        self.sampled, self.letters, self.group = topics("sampled"), topics("letters"), topics("group")
        self._folder = folder
        kafka.create_topic(self.sampled, PARTITIONS)
        kafka.create_topic(self.letters, 1)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})

    def exporter(self, backends: Sequence[dict[str, Any]], session_timeout: str = "45s") -> TestProcess:
        """One more exporter, not started yet."""
        (port,) = free_ports(1)
        config = {
            "kafka": {
                "brokers": self.kafka.bootstrap,
                "group_id": self.group,
                "create_topics": False,
                "topics": {"sampled": self.sampled, "dead_letter": self.letters},
            },
            "exporter": {"backends": list(backends), "session_timeout": session_timeout, "commit_interval": "100ms"},
            "web": {"endpoint": f"127.0.0.1:{port}"},
        }
        path = self._folder / f"exporter-{port}.yaml"
        path.write_text(json.dumps(config))
        return sampler_process(["exporter", "--config", str(path)], self._folder / f"exporter-{port}.log")

    def write(self, values: Sequence[bytes]) -> None:
        """Records, spread over the partitions."""
        for number, value in enumerate(values):
            self._producer.produce(self.sampled, value, partition=number % PARTITIONS)
        assert self._producer.flush(30) == 0

    def committed(self, backend: str = "one") -> int:
        """Records that a backend's group has committed."""
        return sum(self.kafka.committed(f"{self.group}-exporter-{backend}", self.sampled).values())

    def wait_committed(self, records: int, processes: Sequence[TestProcess], backend: str = "one") -> None:
        """Wait until so many records are committed."""
        logs = "\n".join
        wait_until(
            lambda: self.committed(backend) >= records, DONE_S, f"{records} records of {backend}",
            lambda: logs(process.output()[-3000:] for process in processes),
        )  # fmt: skip


@pytest.fixture
def stage(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> Stage:
    """Topics that are this test's alone."""
    return Stage(kafka, topics, tmp_path)


def block(backend: OtlpBackend, name: str = "one", **more: Any) -> dict[str, Any]:
    """A backend of the configuration; small requests, so that there are many."""
    return {
        "name": name,
        "endpoint": f"127.0.0.1:{backend.grpc_port}",
        "tls": {"insecure": True},
        "retry": {"initial_interval": "50ms", "max_interval": "500ms"},
        "sending": {"batch_spans": 60, "flush_interval": "20ms"},
        **more,
    }


def test_nothing_is_lost_over_any_trouble(stage: Stage) -> None:
    """Two exporters, one killed twice; a backend that refuses, asks to slow down, goes away and comes back, and that
    has one record it never takes: all others arrive, that one is the only dead letter, and every offset is committed.
    """
    made = traces(2000, seed=1)
    values = list(made)
    poison = made[values[777]][0]
    rng = random.Random(2)

    def judge(request: ExportTraceServiceRequest, _size: int) -> Reaction:
        if poison in request.SerializeToString():
            return INVALID
        return rng.choice([ACCEPT, ACCEPT, ACCEPT, ACCEPT, UNAVAILABLE, SLOW_DOWN])

    with BackendThread(OtlpBackend(judge=judge)) as far:
        blocks = [block(far.backend)]
        with stage.exporter(blocks, "6s") as one, stage.exporter(blocks, "6s") as two:
            stage.write(values[:700])
            wait_until(lambda: len(far.backend.spans) > 200, DONE_S, "first spans", lambda: two.output()[-3000:])
            one.kill()
            stage.write(values[700:1400])
            wait_until(
                lambda: len(far.backend.spans) > 1000, DONE_S, "spans from the other", lambda: two.output()[-3000:]
            )
            far.stop()
            one.start()
            stage.write(values[1400:])
            two.wait_for_log("does not take requests", DONE_S)
            far.start()
            one.kill()
            one.start()
            stage.wait_committed(len(values), [one, two])
            assert one.terminate() == two.terminate() == 0
        expected = {span_id for ids in made.values() for span_id in ids} - set(made[values[777]])
        assert far.backend.spans.keys() == expected
    letters = {record.value for record in stage.kafka.read_all(stage.letters)}
    assert letters == {values[777]}


def test_a_backend_that_is_down_holds_back_no_other(stage: Stage) -> None:
    """While one backend is away another gets everything; when it comes back it gets everything too. Over SIGTERM and
    another start in between nothing arrives twice.
    """
    made = traces(1200, seed=3)
    values = list(made)
    with BackendThread() as near, BackendThread() as far:
        far.stop()
        blocks = [block(near.backend, "near"), block(far.backend, "far")]
        with stage.exporter(blocks) as process:
            stage.write(values[:600])
            wait_until(lambda: len(near.backend.spans) > 300, DONE_S, "spans", lambda: process.output()[-3000:])
            assert process.terminate() == 0, process.output()
        assert stage.committed("far") == 0
        with stage.exporter(blocks) as process:
            stage.write(values[600:])
            stage.wait_committed(len(values), [process], "near")
            assert "UNAVAILABLE" in process.output()
            far.start()
            stage.wait_committed(len(values), [process], "far")
            assert process.terminate() == 0, process.output()
        for backend in (near.backend, far.backend):
            assert set(backend.spans.values()) == {1}
            assert backend.spans.keys() == {span_id for ids in made.values() for span_id in ids}

"""`python -m benchmarks.agent`: spans per CPU-second and memory of the agent, OTLP/gRPC in, a real Kafka out.

Requests of 512 spans of one service, one to three spans a trace, about 190 kB, sixteen in flight from a client in a
process of its own; the agent answers after the broker's acknowledgement (acks=all). What is measured is the user and
system time of the agent's process from the moment it is ready to the client's last answer. `complete`: the topic holds
every span of the load once, each trace in one partition, counted by trace id with OpenTelemetry's protobuf classes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from benchmarks.loads import PARTITIONS
from benchmarks.measure import peak_rss_mb, usage
from benchmarks.report import Report, Row
from benchmarks.requests import SPANS_PER_REQUEST, RequestPool
from benchmarks.topics import JAVA_HEAP
from tests.harness.kafka import KafkaCluster
from tests.harness.process import TestProcess, free_ports

COLUMNS = (
    "load", "subject", "compression", "spans_per_cpu_s", "rss_mb", "records", "complete", "refused", "cpu_s", "wall_s",
)  # fmt: skip
DEFAULT_SPANS = 2_000_000
SEED = 7
READY_S = 60.0
RUN_S = 300.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--spans", type=int, default=DEFAULT_SPANS, metavar="N", help="spans to send (2,000,000)")
    parser.add_argument(
        "--compression", action="append", metavar="CODEC",
        help="compression of the records, repeatable (the agent's own default)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    report = Report(COLUMNS, options.json)
    requests = -(-options.spans // SPANS_PER_REQUEST)
    for compression in options.compression or [None]:
        # A broker for each run: its page cache and heap are then the same for all.
        with KafkaCluster(java_heap=JAVA_HEAP) as kafka, tempfile.TemporaryDirectory() as folder:
            report.add(measure(kafka, Path(folder), requests, compression))
    report.finish()


def measure(kafka: KafkaCluster, folder: Path, requests: int, compression: str | None) -> Row:
    """One agent under the whole load."""
    topic = "otlp_spans"
    kafka.create_topic(topic, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
    grpc_port, web_port = free_ports(2)
    config: dict[str, Any] = {
        "kafka": {
            "brokers": [kafka.bootstrap], "topics": {"spans": topic}, "create_topics": False,
            "librdkafka": {"compression.type": compression} if compression else {},
        },
        "agent": {"grpc": {"endpoint": f"127.0.0.1:{grpc_port}"}, "http": {"enabled": False}},
        "web": {"endpoint": f"127.0.0.1:{web_port}"},
    }  # fmt: skip
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "sampler.cli", "agent", "--config", str(path)]
    with TestProcess(command, folder / "agent.log") as agent:
        agent.wait_for_http(f"http://127.0.0.1:{web_port}/readyz", READY_S)
        begin = usage(agent.pid)
        client = subprocess.run(
            [sys.executable, "-m", "benchmarks.otlp_client", f"127.0.0.1:{grpc_port}", str(requests), str(SEED)],
            capture_output=True, text=True, timeout=RUN_S, check=False,
        )  # fmt: skip
        end, peak = usage(agent.pid), peak_rss_mb(agent.pid)
        if client.returncode:
            raise RuntimeError(f"the client failed:\n{client.stderr[-3000:]}\n{agent.output()[-3000:]}")
    answers = json.loads(client.stdout)
    counted, records = spans_by_trace(kafka, topic)
    spans, cpu_s = requests * SPANS_PER_REQUEST, end.cpu_s - begin.cpu_s
    return {
        "load": "otlp_grpc",
        "subject": "agent",
        "spans_per_cpu_s": round(spans / cpu_s),
        "rss_mb": round(peak),
        "records": records,
        "complete": is_complete(RequestPool(SEED).expected(requests), counted) and not answers["partial"],
        "spans": spans,
        "compression": compression or "default",
        "refused": answers["refused"],
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(answers["wall_s"], 1),
    }


def is_complete(expected: Iterable[tuple[bytes, int]], counted: Counter[tuple[int, bytes]]) -> bool:
    """Whether each trace has its spans, in one partition, and there is no other trace."""
    by_trace = {trace_id: count for (_, trace_id), count in counted.items()}
    if len(by_trace) != len(counted):
        return False
    return dict(expected) == by_trace


def spans_by_trace(kafka: KafkaCluster, topic: str) -> tuple[Counter[tuple[int, bytes]], int]:
    """(spans by partition and trace id, records) of a topic."""
    ends = kafka.end_offsets(topic)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "count", "enable.auto.commit": False})
    counted: Counter[tuple[int, bytes]] = Counter()
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        left = sum(ends.values())
        while left:
            messages = consumer.consume(left, timeout=1.0) if left < 100 else consumer.consume(100, timeout=1.0)
            if not messages:
                raise TimeoutError(f"{topic}: {left} records did not come")
            for message in messages:
                left -= 1
                partition = int(message.partition() or 0)
                counted.update((partition, trace_id) for trace_id in _trace_ids(message.value() or b""))
    finally:
        consumer.close()
    return counted, sum(ends.values())


def _trace_ids(value: bytes) -> Iterable[bytes]:
    for resource_spans in TracesData.FromString(value).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield span.trace_id


if __name__ == "__main__":
    main()

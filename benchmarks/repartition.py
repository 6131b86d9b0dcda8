"""`python -m benchmarks.repartition`: spans per CPU-second of the agent's Kafka source, a topic not keyed by trace in.

The records are the agent's benchmark load as a Collector without partitioning writes it: one record a request of 512
spans of one service, one to three spans a trace, about 190 kB; with `--spans-per-record 10` small ones of ten spans.
What is measured is the user and system time of the agent's process, with receivers off, from the moment it is ready
until the offsets of all records are committed. `complete` is counted as in `benchmarks.agent`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from benchmarks.agent import SEED, is_complete, spans_by_trace
from benchmarks.loads import PARTITIONS, LoadRecord
from benchmarks.measure import peak_rss_mb, usage, usage_when
from benchmarks.report import Report, Row
from benchmarks.requests import SPANS_PER_REQUEST, RequestPool
from benchmarks.topics import JAVA_HEAP, fill
from tests.harness.kafka import KafkaCluster
from tests.harness.process import TestProcess, free_ports

COLUMNS = ("load", "subject", "spans_per_cpu_s", "rss_mb", "records", "complete", "cpu_s", "wall_s")
DEFAULT_SPANS = 2_000_000
READY_S = 60.0
RUN_S = 300.0
GROUP = "repartition"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.repartition", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--spans", type=int, default=DEFAULT_SPANS, metavar="N", help="spans to read (2,000,000)")
    parser.add_argument("--spans-per-record", type=int, metavar="N", help="cut the requests into records of N spans")
    options = parser.parse_args(arguments)
    report = Report(COLUMNS, options.json)
    with KafkaCluster(java_heap=JAVA_HEAP) as kafka, tempfile.TemporaryDirectory() as folder:
        report.add(measure(kafka, Path(folder), options.spans, options.spans_per_record))
    report.finish()


def measure(
    kafka: KafkaCluster,
    folder: Path,
    spans: int,
    spans_per_record: int | None = None,
    started: Callable[[int], None] = lambda pid: None,
) -> Row:
    """One agent that reads the whole load; `started` is told its process id when it begins to read."""
    source, target = "otlp_spans_raw", "otlp_spans"
    requests = -(-spans // SPANS_PER_REQUEST)
    records = fill(kafka, source, _records(requests, spans_per_record))
    kafka.create_topic(target, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})
    ends = kafka.end_offsets(source)
    (web_port,) = free_ports(1)
    config: dict[str, Any] = {
        "kafka": {"brokers": [kafka.bootstrap], "topics": {"spans": target}, "create_topics": False},
        "agent": {
            "grpc": {"enabled": False}, "http": {"enabled": False},
            "kafka_source": {"topics": [source], "group_id": GROUP, "commit_interval": "100ms"},
        },
        "web": {"endpoint": f"127.0.0.1:{web_port}"},
    }  # fmt: skip
    path = folder / "repartition.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "sampler.cli", "agent", "--config", str(path)]
    with TestProcess(command, folder / "repartition.log") as agent:
        agent.wait_for_http(f"http://127.0.0.1:{web_port}/livez", READY_S)
        started(agent.pid)
        begin = usage(agent.pid)
        end = usage_when(agent.pid, lambda: kafka.committed(GROUP, source) == ends, RUN_S, "all offsets are committed")
        peak = peak_rss_mb(agent.pid)
    counted, written = spans_by_trace(kafka, target)
    count, cpu_s = requests * SPANS_PER_REQUEST, end.cpu_s - begin.cpu_s
    return {
        "load": f"unkeyed, {records} records",
        "subject": "repartition",
        "spans_per_cpu_s": round(count / cpu_s),
        "rss_mb": round(peak),
        "records": written,
        "complete": is_complete(RequestPool(SEED).expected(requests), counted),
        "spans": count,
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(end.wall_s - begin.wall_s, 1),
    }


def _records(requests: int, spans_per_record: int | None) -> Iterator[LoadRecord]:
    """The load, over the partitions by turns."""
    pool, number = RequestPool(SEED), 0
    for each in range(requests):
        body = pool.request(each)
        for value in [body] if spans_per_record is None else _cut(body, spans_per_record):
            yield LoadRecord(value=value, key=None, partition=number % PARTITIONS, timestamp_ms=0)
            number += 1


def _cut(body: bytes, size: int) -> Iterator[bytes]:
    """The request in records of so many spans."""
    data = TracesData.FromString(body)
    for resource_spans in data.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            spans = list(scope_spans.spans)
            for at in range(0, len(spans), size):
                piece = TracesData()
                piece.resource_spans.add(resource=resource_spans.resource).scope_spans.add(
                    scope=scope_spans.scope, spans=spans[at : at + size]
                )
                yield piece.SerializeToString()


if __name__ == "__main__":
    main()

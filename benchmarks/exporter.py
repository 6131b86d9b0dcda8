"""`python -m benchmarks.exporter`: spans per CPU-second and memory of the exporter, from a real Kafka to OTLP/gRPC,
and of the agent's repartition source.

The topic holds one trace of ten spans a record, as workers write it, 390 bytes a span, and is full before the exporter
starts: it works as after an outage. The backend is another process that accepts everything and counts. CPU is user and
system time of the exporter's process from its first request to the answer of its last. `complete`: as many spans and
bytes arrived as lie in the topic, and every offset was committed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from benchmarks.loads import SPANS_PER_TRACE, Load
from benchmarks.measure import peak_rss_mb, usage_when
from benchmarks.report import Report, Row
from benchmarks.topics import JAVA_HEAP, fill
from tests.harness.kafka import KafkaCluster
from tests.harness.process import TestProcess, free_ports, wait_until

Way: TypeAlias = Literal["gzip", "none", "route"]
WAYS: tuple[Way, ...] = get_args(Way)
"""Compression of the requests; `route` sends the traces of one resource attribute alone, uncompressed."""

COLUMNS = (
    "load", "subject", "way", "spans_per_cpu_s", "rss_mb", "requests", "complete", "cpu_s", "wall_s",
)  # fmt: skip
DEFAULT_SPANS = 2_000_000
START_S, RUN_S = 60.0, 300.0
TOPIC = "otlp_spans_sampled"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    spans: int
    ways: tuple[Way, ...]


Subject: TypeAlias = Callable[[KafkaCluster, Path, Options], Iterator[Row]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exporter", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--spans", type=int, default=DEFAULT_SPANS, metavar="N", help="spans to send (2,000,000)")
    parser.add_argument("--subject", action="append", choices=list(SUBJECTS), help="repeatable (all)")
    parser.add_argument("--way", action="append", choices=WAYS, help="how the exporter sends, repeatable (all)")
    given = parser.parse_args(arguments)
    options = Options(given.spans, tuple(given.way or WAYS))
    report = Report(COLUMNS, given.json)
    for subject in given.subject or SUBJECTS:
        with KafkaCluster(java_heap=JAVA_HEAP) as kafka, tempfile.TemporaryDirectory() as folder:
            for row in SUBJECTS[subject](kafka, Path(folder), options):
                report.add(row)
    report.finish()


def exporter(kafka: KafkaCluster, folder: Path, options: Options) -> Iterator[Row]:
    """The exporter, once for every way of sending; the topic is the same for all."""
    load = Load("keyed10", options.spans, int(time.time() * 1000) - 120_000)
    sizes: list[int] = []

    def noted() -> Iterator[Any]:
        for record in load.records():
            sizes.append(len(record.value))
            yield record

    records = fill(kafka, TOPIC, noted())
    for way in options.ways:
        expected = {"spans": records * SPANS_PER_TRACE, "bytes": sum(sizes)}
        yield {"load": load.name, "subject": "exporter", "way": way, **measure(kafka, folder, way, records, expected)}


def measure(kafka: KafkaCluster, folder: Path, way: Way, records: int, expected: Mapping[str, int]) -> Row:
    """One exporter over the whole topic."""
    with TestProcess(
        [sys.executable, "-m", "benchmarks.otlp_sink", str(expected["spans"])], folder / f"sink-{way}.log"
    ) as sink:
        wait_until(lambda: bool(_lines(sink)), START_S, "the sink")
        config = _config(kafka, way, _lines(sink)[0]["port"])
        path = folder / f"{way}.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        command = [sys.executable, "-m", "sampler.cli", "exporter", "--config", str(path)]
        with TestProcess(command, folder / f"exporter-{way}.log") as process:
            begin = usage_when(process.pid, lambda: len(_lines(sink)) > 1, START_S, "a request", before=True)
            end = usage_when(
                process.pid, lambda: len(_lines(sink)) > 2, RUN_S, f"all spans\n{process.output()[-2000:]}"
            )
            group = f"tailsampler-exporter-{way}"
            wait_until(lambda: sum(kafka.committed(group, TOPIC).values()) >= records, START_S, "the last commit")
            peak = peak_rss_mb(process.pid)
        counted = _lines(sink)[2]
    cpu_s = end.cpu_s - begin.cpu_s
    return {
        "spans_per_cpu_s": round(expected["spans"] / cpu_s),
        "rss_mb": round(peak),
        "requests": counted["requests"],
        "complete": {key: counted[key] for key in expected} == dict(expected),
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(end.wall_s - begin.wall_s, 1),
    }


def _config(kafka: KafkaCluster, way: Way, port: int) -> dict[str, Any]:
    (web_port,) = free_ports(1)
    backend: dict[str, Any] = {
        "name": way,
        "endpoint": f"127.0.0.1:{port}",
        "tls": {"insecure": True},
        "compression": "gzip" if way == "gzip" else "none",
    }
    if way == "route":
        backend["route"] = {"exclude": {"attributes": [{"key": "service.name", "values": ["of nobody"]}]}}
    return {
        "kafka": {"brokers": [kafka.bootstrap], "topics": {"sampled": TOPIC}, "create_topics": False},
        "exporter": {"backends": [backend]},
        "web": {"endpoint": f"127.0.0.1:{web_port}"},
    }


def _lines(sink: TestProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.output().splitlines() if line.startswith("{")]


def repartition(kafka: KafkaCluster, folder: Path, options: Options) -> Iterator[Row]:
    """The agent's Kafka source, on its own load; `benchmarks.repartition` says how."""
    from benchmarks.repartition import measure as measure_source

    yield measure_source(kafka, folder, options.spans)


SUBJECTS: dict[str, Subject] = {"exporter": exporter, "repartition": repartition}
"""What is measured, each on a broker of its own, so that its page cache and heap are the same for all."""


if __name__ == "__main__":
    main()

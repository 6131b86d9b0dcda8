"""`python -m benchmarks.worker`: spans per CPU-second and memory of the worker, on a real Kafka.

Each load is written to a topic beforehand: 2 million spans with the timestamps of two minutes of live traffic. Then the
topic is read, one process after the other, by a bare confluent-kafka consumer, a bare aiokafka consumer, and by the
worker in each of the forms asked for, with the policies errors, latency 1 s, two attributes, probabilistic 10 %.

What is measured of the worker: user and system time of its process, from the last reading (every 10 ms) before it
begins to fetch spans to the first reading at which the sampled topic holds all kept traces. Start-up (imports, joining
the group, recovering its tables) is outside and given as `startup_cpu_s`. A closing record in each partition moves
stream time past the last decision, so that no waiting is measured. Memory is the most that was ever resident.
`kept_ok`: the sampled topic equals, trace by trace and span by span, what the load itself knows to be kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence

from benchmarks.kept import compare, expected_kept
from benchmarks.loads import LOADS, Load, LoadName
from benchmarks.measure import Usage, peak_rss_mb, usage, usage_when
from benchmarks.report import Report, Row
from benchmarks.tier import BenchmarkWorker, ScannerName, Setup, Table
from benchmarks.topics import JAVA_HEAP, delete, fill, written
from tests.harness.kafka import KafkaCluster

COLUMNS = (
    "load", "subject", "table", "scanner", "spans_per_cpu_s", "rss_mb", "kept_ok", "cpu_s", "startup_cpu_s", "wall_s",
)  # fmt: skip
DEFAULT_SPANS = 2_000_000
BUFFERED_SPANS = 1_000_000
RUN_S = 300.0
NEVER_MS = 24 * 3600 * 1000
FIXED_S = 3.0
"""Memory is read this long after the last span was buffered: the reports of the worker come once a second."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = _options(arguments)
    report = Report(COLUMNS if not options.memory else (*COLUMNS[:4], "rss_mb", "buffered_spans"), options.json)
    with KafkaCluster(java_heap=JAVA_HEAP) as kafka:
        for name in options.loads:
            run_load(kafka, options, name, report)
    report.finish()


def run_load(kafka: KafkaCluster, options: argparse.Namespace, name: LoadName, report: Report) -> None:
    """Everything that is measured of one load."""
    spans = options.spans or (BUFFERED_SPANS if options.memory else DEFAULT_SPANS)
    wait_ms = NEVER_MS if options.memory else int(options.decision_wait * 1000)
    stream_ms = int(options.stream_seconds * 1000)
    # All timestamps must lie in the past: stream time never runs ahead of the clock.
    start_ms = int(time.time() * 1000) - stream_ms - (0 if options.memory else wait_ms) - 60_000
    load = Load(name, spans, start_ms, stream_ms, closing_after_ms=0 if options.memory else wait_ms)
    topic = f"{name}-{uuid.uuid4().hex[:8]}"
    started_s = time.perf_counter()
    records = fill(kafka, topic, load.records())
    report.note(
        f"{name}: {load.spans:,} spans in {records:,} records written in {time.perf_counter() - started_s:.0f} s"
    )
    if options.memory:
        for scanner in options.scanners or ["compiled"]:
            report.add(buffered(kafka, topic, load, Setup("spilling", scanner, wait_ms, {})))
    else:
        for library in () if options.no_consumers else ("confluent", "aiokafka"):
            report.add(median([bare_consumer(kafka, topic, load, library) for _ in range(options.repeat)]))
        for table, scanner in _forms(options, name):
            setup = Setup(table, scanner, wait_ms, options.librdkafka)
            report.add(median([sampled(kafka, topic, load, setup) for _ in range(options.repeat)]))
    delete(kafka, [topic])


def _forms(options: argparse.Namespace, name: LoadName) -> list[tuple[Table, ScannerName]]:
    """The (table, scanner) pairs to measure; without a choice upb is measured once, where a floor names it."""
    forms: list[tuple[Table, ScannerName]] = [
        (table, scanner) for scanner in options.scanners or ["compiled"] for table in options.tables
    ]
    if options.scanners is None and name == "keyed10":
        forms.append(("memory", "upb"))
    return forms


def median(rows: Sequence[Row]) -> Row:
    """The run of median speed, which is marked wrong where any run was wrong."""
    row = sorted(rows, key=lambda each: int(each["spans_per_cpu_s"]))[(len(rows) - 1) // 2]
    return row | {"kept_ok": row["kept_ok"] and all(each["kept_ok"] for each in rows)}


def bare_consumer(kafka: KafkaCluster, topic: str, load: Load, library: str) -> Row:
    """A consumer that only reads the topic, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.consumers", library, kafka.bootstrap, topic]
    started_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=True)
    figures = json.loads(done.stdout)
    return _row(load, library, None, None) | {
        "spans_per_cpu_s": round(load.spans / figures["cpu_s"]),
        "rss_mb": round(figures["rss_mb"]),
        "cpu_s": round(figures["cpu_s"], 2),
        "wall_s": round(time.perf_counter() - started_s, 1),
    }


def sampled(kafka: KafkaCluster, topic: str, load: Load, setup: Setup) -> Row:
    """A worker that reads, samples and writes the whole load."""
    expected = expected_kept(load)
    with BenchmarkWorker(kafka, topic, f"bench-{uuid.uuid4().hex[:8]}", setup) as worker:
        sampled_topic = worker.topics["sampled"]
        begin = worker.start()
        end = _until_written(kafka, worker, sampled_topic, len(expected))
        peak = peak_rss_mb(worker.process.pid)
        worker.process.terminate()
        values = (record.value for record in kafka.read_all(sampled_topic, RUN_S))
        outcome = compare(load, expected, values)
    delete(kafka, worker.own_topics())
    if not outcome.ok:
        print(f"{load.name}, {setup.table}, {setup.scanner}: {outcome}", file=sys.stderr)
    cpu_s = end.cpu_s - begin.cpu_s
    return _row(load, "worker", setup.table, setup.scanner) | {
        "spans_per_cpu_s": round(load.spans / cpu_s),
        "rss_mb": round(peak),
        "kept_ok": outcome.ok,
        "cpu_s": round(cpu_s, 2),
        "startup_cpu_s": round(begin.cpu_s, 2),
        "wall_s": round(end.wall_s - begin.wall_s, 1),
    }


def _until_written(kafka: KafkaCluster, worker: BenchmarkWorker, topic: str, records: int) -> Usage:
    """Usage when the sampled topic holds a record for each kept trace, or after a time-out.

    TimeoutError where the worker has ended before.
    """
    try:
        return usage_when(worker.process.pid, lambda: written(kafka, topic) >= records, RUN_S, "all kept traces")
    except TimeoutError as error:
        if not worker.process.running:
            raise
        print(f"{error}\n{worker.process.output()[-3000:]}", file=sys.stderr)
        return usage(worker.process.pid)


def buffered(kafka: KafkaCluster, topic: str, load: Load, setup: Setup) -> Row:
    """The peak memory of a worker that holds every span of the load and has decided none."""
    with BenchmarkWorker(kafka, topic, f"bench-{uuid.uuid4().hex[:8]}", setup) as worker:
        worker.start()
        usage_when(
            worker.process.pid,
            lambda: worker.metric("tailsampler_spans_buffered") >= load.spans,
            RUN_S,
            "all spans held",
        )
        time.sleep(FIXED_S)
        held = int(worker.metric("tailsampler_spans_buffered"))
        peak = peak_rss_mb(worker.process.pid)
    delete(kafka, worker.own_topics())
    return _row(load, "worker", setup.table, setup.scanner) | {"rss_mb": round(peak), "buffered_spans": held}


def _row(load: Load, subject: str, table: str | None, scanner: str | None) -> Row:
    return {
        "load": load.name,
        "subject": subject,
        "table": table,
        "scanner": scanner,
        "spans_per_cpu_s": None,
        "rss_mb": None,
        "kept_ok": None,
        "spans": load.spans,
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=(__doc__ or "").split("\n\n")[0])

    def names(*allowed: str) -> Callable[[str], list[str]]:
        def parse(text: str) -> list[str]:
            chosen = text.split(",")
            unknown = sorted(set(chosen) - set(allowed))
            if unknown:
                raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(allowed)}")
            return chosen

        return parse

    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object a line")
    add("--spans", type=int, default=0, metavar="N", help="spans a load (2,000,000; with --memory 1,000,000)")
    add("--loads", type=names(*LOADS), default=list(LOADS), metavar="A,B", help=f"of {', '.join(LOADS)}; all")
    add("--tables", type=names("memory", "rocksdb"), default=["memory", "rocksdb"], metavar="A,B", help="both")
    add("--scanners", type=names("compiled", "upb"), metavar="A,B", help="compiled, and upb for keyed10 in memory")
    add("--memory", action="store_true", help="peak memory with all spans undecided, memory limit 256 MiB")
    add("--repeat", type=int, default=1, metavar="N", help="runs of each form, the median is given (1)")
    add("--no-consumers", action="store_true", help="leave the bare consumers out")
    add("--stream-seconds", type=float, default=120.0, metavar="S", help="live time that the timestamps span (120)")
    add("--decision-wait", type=float, default=10.0, metavar="S", help="decision_wait of the worker (10)")
    add("--librdkafka", type=json.loads, default={}, metavar="JSON", help="properties for kafka.librdkafka")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

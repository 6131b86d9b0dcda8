"""`python -m benchmarks.long_waits`: what it costs to let traces wait for half an hour, with their spans on disk.

The engine alone, in simulated stream time: spans of traces of ten come at a live rate, nothing is due yet, every chunk
is on RocksDB. Memory is the growth of the resident size of a process of its own, over the last half of what came, so
that what the parts need once is not in it; from there it is reckoned up to all spans of the wait. CPU is that of the
process.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from benchmarks.report import Report, Row
from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.gathering import Record
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.engine.spill import RocksSpill
from sampler.otlp import compile_plan, get_scanner

COLUMNS = (
    "chunks", "traces", "bytes_a_trace", "us_a_span", "counted_share", "waiting_spans", "memory_mib", "disk_mib", "ok",
)  # fmt: skip
SPANS_A_TRACE = 10
BATCH_SPANS = 5000
MIB = 1 << 20
POLICIES = ({"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},)
SPREAD_MS = 1500
"""The chunks of a trace come over so long."""


@dataclass(frozen=True, slots=True)
class Waited:
    """`memory_bytes` grew while the second half of the traces came; `counted_bytes` is what the store thinks it did."""

    traces: int
    memory_bytes: int
    counted_bytes: int
    disk_bytes: int
    cpu_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; exit 1 where a worker with this memory limit could not hold all spans of the wait."""
    options = _options(arguments)
    report, good = Report(COLUMNS, options.json), True
    waiting = int(options.rate * options.wait)
    for chunks in map(int, options.chunks.split(",")):
        held = in_a_process(options.spans, options.rate, chunks)
        each = held.memory_bytes / held.traces
        traces = waiting / SPANS_A_TRACE
        memory_mib = each * traces / MIB
        row: Row = {
            "chunks": chunks,
            "traces": held.traces,
            "bytes_a_trace": round(each),
            "us_a_span": round(held.cpu_s / (held.traces * SPANS_A_TRACE) * 1e6, 2),
            "counted_share": round(held.counted_bytes / held.memory_bytes, 2),
            "waiting_spans": waiting,
            "memory_mib": round(memory_mib),
            "disk_mib": round(held.disk_bytes / held.traces * traces / MIB),
            "ok": memory_mib <= options.limit_mib,
        }
        good = good and bool(row["ok"])
        report.add(row)
    report.finish()
    if not good:
        sys.exit(1)


def in_a_process(spans: int, rate: float, chunks: int) -> Waited:
    """Let traces wait in a new process and say what they cost there."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_tell, args=(theirs, spans, rate, chunks))
    process.start()
    theirs.close()
    held: Waited = ours.recv()
    process.join()
    return held


def _tell(pipe: Connection, spans: int, rate: float, chunks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipe.send(wait(spans, rate, chunks, Path(folder)))


def wait(spans: int, rate: float, chunks: int, folder: Path) -> Waited:
    """Take so many spans, none of which is decided, with all chunks in `folder`."""
    store = ChunkStore(0, RocksSpill(folder / "spans"))
    policies = build_policy_set(POLICIES)
    engine = PartitionEngine(
        PartitionStart(0, Owner(1, 1), 0), EngineSettings(decision_wait_ms=1 << 40), policies, get_scanner(),
        compile_plan(policies.span_conditions), store, DecisionMemory(), EngineCounts(),
    )  # fmt: skip
    process = psutil.Process()
    before = counted = disk = half = 0
    cpu_s = 0.0
    for number, batch in enumerate(batches(spans, rate, chunks)):
        if number * BATCH_SPANS >= spans // 2 and not before:
            gc.collect()
            before, counted, disk, half = (
                process.memory_info().rss,
                store.memory_bytes,
                store.disk_bytes,
                len(engine.table),
            )
        start_s = time.process_time()
        engine.append(batch, 1 << 50)
        if before:
            cpu_s += time.process_time() - start_s
    gc.collect()
    held = Waited(
        len(engine.table) - half, process.memory_info().rss - before, store.memory_bytes - counted,
        store.disk_bytes - disk, cpu_s,
    )  # fmt: skip
    engine.close()
    store.close()
    return held


def batches(spans: int, rate: float, chunks: int) -> Iterator[list[Record]]:
    """Records in order of time, as they are fetched: each has one chunk of a trace."""
    rng, template = random.Random(1), _template(SPANS_A_TRACE // chunks)
    pending: list[tuple[float, bytes]] = []
    offset, batch_traces = 0, BATCH_SPANS // SPANS_A_TRACE
    for start in range(0, spans // SPANS_A_TRACE, batch_traces):
        for number in range(start, start + batch_traces):
            trace_id, began_ms = rng.randbytes(16), number * SPANS_A_TRACE / rate * 1000
            pending += [(began_ms + SPREAD_MS * rng.random() * (n > 0), trace_id) for n in range(chunks)]
        pending.sort()
        until_ms = (start + batch_traces) * SPANS_A_TRACE / rate * 1000
        due = [each for each in pending if each[0] < until_ms]
        pending = pending[len(due) :]
        made = [
            (offset + n, int(at_ms), template.replace(b"trace-id-16bytes", trace_id))
            for n, (at_ms, trace_id) in enumerate(due)
        ]
        offset += len(due)
        yield made


def _template(spans: int) -> bytes:
    """A record of so many spans of about 390 bytes each."""
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "checkout"
    scope = resource.scope_spans.add()
    for number in range(spans):
        span = scope.spans.add(
            trace_id=b"trace-id-16bytes", span_id=(number + 1).to_bytes(8, "big"), name="GET /cart", kind=2,
            start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 10**6,
        )  # fmt: skip
        for n in range(10):
            span.attributes.add(key=f"attribute.{n}").value.string_value = "value of it" * (1 + n % 2)
    return data.SerializeToString()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    text = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_waits", description=text)
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object a line")
    add("--spans", type=int, default=1_000_000, metavar="N", help="spans that wait (1,000,000)")
    add("--rate", type=float, default=5000.0, metavar="R", help="spans a second of stream time (5000)")
    add("--wait", type=float, default=1800.0, metavar="S", help="decision_wait in seconds (1800)")
    add("--chunks", default="2,10", metavar="A,B", help="records over which the ten spans of a trace come (2,10)")
    add("--limit-mib", type=int, default=2048, metavar="N", help="what may be resident for it (2048)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

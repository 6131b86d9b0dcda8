"""`python -m benchmarks.scanner`: microseconds per span of the scanner's three operations, without Kafka.

`scan` cuts a record by trace and answers the policies' conditions, `split` packs an agent's request by partition,
`annotate` marks the ten spans of one kept trace. CPU time of this process, the best of several rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from benchmarks.loads import LOADS, PARTITIONS, Load
from benchmarks.report import Report
from benchmarks.requests import SPANS_PER_REQUEST, RequestPool
from policies.conditions import AttributeIn, AttributeInRange, SpanCondition, StatusIn
from policies.randomness import RandomnessSource, randomness_of
from policies.rset import SPACE
from sampler.otlp import Annotation, Scanner, compile_plan, get_scanner

CONDITIONS: tuple[SpanCondition, ...] = (
    StatusIn(frozenset({2})),
    AttributeIn("user.tier", frozenset({"vip"})),
    AttributeInRange("http.response.status_code", 500, 599),
)
COLUMNS = ("scanner", "operation", "us_per_span")
ROUNDS = 5
START_MS = 1_700_000_000_000
TOP_TENTH = ((SPACE * 9 // 10, SPACE),)
MAX_BYTES = 1_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both scanners and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scanner", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--spans", type=int, default=50_000, metavar="N", help="spans a round (50,000; upb a tenth)")
    options = parser.parse_args(arguments)
    report = Report(COLUMNS, options.json)
    for name in ("compiled", "upb"):
        scanner = get_scanner("compiled" if name == "compiled" else "upb")
        spans = options.spans if name == "compiled" else options.spans // 10
        for operation, microseconds in figures(scanner, spans):
            report.add({"scanner": name, "operation": operation, "us_per_span": round(microseconds, 3)})
    report.finish()


def figures(scanner: Scanner, spans: int) -> list[tuple[str, float]]:
    """(operation, microseconds per span) for one scanner."""
    loads = [Load(name, spans, START_MS) for name in LOADS]
    pool = RequestPool(1)
    requests = [pool.request(number) for number in range(max(1, spans // SPANS_PER_REQUEST))]
    return [
        *((f"scan {load.name}", _scan(scanner, load)) for load in loads),
        ("split", _split(scanner, requests)),
        *((f"annotate {load.name}", _annotate(scanner, load)) for load in loads),
    ]


def _scan(scanner: Scanner, load: Load) -> float:
    plan = compile_plan(CONDITIONS)
    records = [record.value for record in load.records()]

    def scan() -> None:
        for record in records:
            scanner.scan(plan, record)

    return _best(scan, load.spans)


def _split(scanner: Scanner, requests: Sequence[bytes]) -> float:
    def split() -> None:
        for request in requests:
            scanner.split(request, PARTITIONS, "sarama")

    return _best(split, len(requests) * SPANS_PER_REQUEST)


def _annotate(scanner: Scanner, load: Load) -> float:
    plan = compile_plan(CONDITIONS)
    chunks: dict[bytes, list[bytes]] = {}
    for record in load.records():
        for trace_id, chunk, _ in scanner.scan(plan, record.value).traces:
            chunks.setdefault(trace_id, []).append(chunk)
    traces = [(parts, randomness_of(trace_id, -1, False)[0]) for trace_id, parts in chunks.items()]

    def annotate() -> None:
        for parts, r in traces:
            marks = Annotation(TOP_TENTH, RandomnessSource.HASH, r, "tenth")
            scanner.annotate(parts, marks, MAX_BYTES)

    return _best(annotate, load.spans)


def _best(work: Callable[[], object], spans: int) -> float:
    """Microseconds of CPU per span, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / spans * 1e6


if __name__ == "__main__":
    main()

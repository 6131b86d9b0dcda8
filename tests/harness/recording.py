"""The recording of a real shop, as rows of a span each; where it is absent, rows that are made up."""

from __future__ import annotations

import csv
import gzip
import os
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, TracesData

Row = Sequence[str]
"""trace_id, span_id, parent_span_id, pod, operation, start, end; ids in hex, times in Unix nanoseconds."""

NAME = "online_boutique_2022-08-22.csv.gz"
PODS = ("frontend-5c4d-x1", "checkoutservice-77f-x2", "paymentservice-9d2-x3")
SALT = b"default-hash-seed"
"""The Collector's, where a policy names none."""


def recording() -> Path:
    """The recording, where somebody has put it."""
    folder = os.environ.get("SAMPLER_TRACE_DATA") or Path(__file__).parents[3] / "shared" / "data"
    return Path(folder) / NAME


def read_rows(path: Path) -> list[list[str]]:
    """All rows in order of their start."""
    with gzip.open(path, "rt", newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        return sorted(reader, key=lambda row: int(row[5]))


def made_up_rows(traces: int, seed: int) -> list[list[str]]:
    """Traces of three to nine spans, one in ten of them slower than a second."""
    rng = random.Random(seed)
    rows = []
    for number in range(traces):
        trace_id, root = rng.randbytes(16).hex(), rng.randbytes(8).hex()
        start = 1_661_000_000_000_000_000 + number * 10_000_000
        end = start + (1_500_000_000 if rng.random() < 0.1 else 50_000_000)
        rows.append([trace_id, root, "", PODS[0], "GET /cart", str(start), str(end)])
        for _ in range(rng.randint(2, 8)):
            rows.append([trace_id, rng.randbytes(8).hex(), root, rng.choice(PODS), "call", str(start), str(end)])
    return rows


def first_traces(rows: Iterable[Row], spans: int) -> dict[str, list[Row]]:
    """Whole traces, each with its rows, in order of their first spans, until they have so many spans."""
    by_trace: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_trace[row[0]].append(row)
    taken: dict[str, list[Row]] = {}
    count = 0
    for trace_id, own in by_trace.items():
        if count >= spans:
            break
        taken[trace_id] = own
        count += len(own)
    return taken


def requests(traces: Iterable[list[Row]], spans: int) -> Iterator[bytes]:
    """Export requests of whole traces with at least so many spans, a ResourceSpans for each pod."""
    waiting: list[Row] = []
    for rows in traces:
        waiting += rows
        if len(waiting) >= spans:
            yield encode(waiting)
            waiting = []
    if waiting:
        yield encode(waiting)


def encode(rows: Iterable[Row]) -> bytes:
    """An export request of rows."""
    data, by_pod = TracesData(), dict[str, ScopeSpans]()
    for trace_id, span_id, parent_id, pod, operation, start, end in rows:
        if pod not in by_pod:
            resource_spans = data.resource_spans.add()
            value = resource_spans.resource.attributes.add(key="service.name").value
            value.string_value = pod.rsplit("-", 2)[0]
            by_pod[pod] = resource_spans.scope_spans.add()
        by_pod[pod].spans.add(
            trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id), name=operation,
            parent_span_id=bytes.fromhex(parent_id), start_time_unix_nano=int(start), end_time_unix_nano=int(end),
        )  # fmt: skip
    return data.SerializeToString()


def kept_by_hand(rows: Iterable[Row]) -> dict[str, set[str]]:
    """Span ids by trace id of what latency >= 1 s or a 5 % draw on the Collector's hash keeps, from the rows alone."""
    spans: dict[str, set[str]] = defaultdict(set)
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    for trace_id, span_id, _, _, _, start, end in rows:
        spans[trace_id].add(span_id)
        starts[trace_id] = min(starts.get(trace_id, int(start)), int(start))
        ends[trace_id] = max(ends.get(trace_id, 0), int(end))
    return {
        trace_id: ids
        for trace_id, ids in spans.items()
        if (ends[trace_id] - starts[trace_id]) // 1_000_000 >= 1000 or _hashed(trace_id) <= (2**64 - 1) * 0.05
    }


def _hashed(trace_id: str) -> int:
    """FNV-1a of 64 bits over salt and id, as the Collector draws."""
    state = 0xCBF29CE484222325
    for byte in SALT + bytes.fromhex(trace_id):
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state

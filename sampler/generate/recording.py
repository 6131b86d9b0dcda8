"""The recording of Google's Online Boutique (Nezha, MIT), where somebody has put it beside the project."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

from sampler.generate.model import Span, Trace

FOLDER_VARIABLE = "SAMPLER_TRACE_DATA"
FILE_NAME = "online_boutique_2022-08-22.csv.gz"
_REPOSITORY = Path(__file__).resolve().parents[2]


def find_recording() -> Path | None:
    """The recording, in the folder that SAMPLER_TRACE_DATA names, else in ../shared/data; None where it is absent."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else _REPOSITORY.parent / "shared" / "data"
    path = folder / FILE_NAME
    return path if path.is_file() else None


def read_recording(path: Path, limit: int | None = None) -> list[Trace]:
    """The first `limit` traces in order of their start, exact copies of spans included.

    A row is trace_id, span_id, parent_span_id (hex), pod, operation, start_unix_nano, end_unix_nano. The service is the
    pod without its last two dash groups.
    """
    rows: dict[str, list[list[str]]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        for row in reader:
            rows.setdefault(row[0], []).append(row)
    started = sorted((min(int(row[5]) for row in of_trace), trace_id) for trace_id, of_trace in rows.items())
    services: dict[str, str] = {}
    return [_trace(trace_id, start, rows[trace_id], services) for start, trace_id in started[:limit]]


def service_of(pod: str) -> str:
    """`checkoutservice-578fcf4766-9csqn` is a pod of `checkoutservice`."""
    return pod.rsplit("-", 2)[0]


def _trace(trace_id: str, start: int, rows: list[list[str]], services: dict[str, str]) -> Trace:
    spans = []
    for _, span_id, parent_id, pod, operation, begin, end in rows:
        service = services.get(pod) or services.setdefault(pod, service_of(pod))
        spans.append(
            Span(
                service, bytes.fromhex(span_id), bytes.fromhex(parent_id), operation, int(begin) - start,
                int(end) - start,
            )
        )  # fmt: skip
    return Trace(bytes.fromhex(trace_id), tuple(spans))

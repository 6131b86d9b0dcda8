"""What scanners answer."""

from __future__ import annotations

from typing import NamedTuple

from sampler.otlp.summary import Summary


class ScanResult(NamedTuple):
    """A record cut by trace, in order of first appearance: (16-byte trace id, chunk, summary) each."""

    traces: list[tuple[bytes, bytes, Summary]]
    invalid_spans: int
    """Spans left out because their trace id or span id is of the wrong length or all zero."""


class SplitResult(NamedTuple):
    """A request packed by partition: (partition, TracesData bytes, spans) each, partitions in rising order."""

    parts: list[tuple[int, bytes, int]]
    spans: int
    """Spans in all parts."""
    rejected: int
    """Spans left out because their trace id or span id is of the wrong length or all zero."""

"""Plays traces over time: every service sends the spans that ended since its last export, as a batch processor does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.generate.encode import encode_request
from sampler.generate.model import Span, Trace

NS_PER_S = 1_000_000_000
MAX_EXPORT_BATCH = 512
"""Spans in one export: the default of the batch processors of OpenTelemetry SDKs."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One export of one service, due `due_ns` after the start of play."""

    due_ns: int
    service: str
    spans: Sequence[tuple[int, Span]]
    """(number of the trace, span)."""


class Player:
    """A schedule for `traces`: they begin one after another, evenly over `over_s` seconds, and run at their own speed.

    Services export every `interval_s`; a span leaves with the first export after its end.
    """

    def __init__(self, traces: Sequence[Trace], over_s: float, interval_s: float = 0.2) -> None:
        self.traces = traces
        self._step_ns = over_s * NS_PER_S / max(1, len(traces))
        self._interval_ns = round(interval_s * NS_PER_S)
        self.span_count = sum(len(trace.spans) for trace in traces)

    def start_ns(self, number: int) -> int:
        """When a trace begins, after the start of play."""
        return round(number * self._step_ns)

    def batches(self) -> Iterator[Batch]:
        """All exports in the order they are due."""
        interval = self._interval_ns
        leaving: list[tuple[int, str, int, Span]] = []
        for number, trace in enumerate(self.traces):
            start_ns = self.start_ns(number)
            for span in trace.spans:
                leaving.append((-(-(start_ns + span.end_ns) // interval), span.service, number, span))
        leaving.sort(key=lambda each: each[:3])
        for (tick, service), group in groupby(leaving, key=lambda each: each[:2]):
            spans = [(number, span) for _, _, number, span in group]
            for first in range(0, len(spans), MAX_EXPORT_BATCH):
                yield Batch(tick * interval, service, spans[first : first + MAX_EXPORT_BATCH])

    def encode(self, batch: Batch, play_start_unix_nano: int) -> ExportTraceServiceRequest:
        """The export as OTLP, in the time of a play that began at `play_start_unix_nano`."""
        return encode_request(
            batch.service,
            [
                (self.traces[number].trace_id, play_start_unix_nano + self.start_ns(number), span)
                for number, span in batch.spans
            ],
        )

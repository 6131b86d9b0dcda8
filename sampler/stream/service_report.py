"""Spans and bytes by service as metrics, the largest services under their own names."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter

from sampler.metrics import WorkerMetrics
from sampler.otlp.services import ServiceCounter, service_counter
from sampler.stream.leaders import Leaders

OTHER = "other"
NAMELESS = "unknown_service"
"""What OpenTelemetry calls a service that does not say its name."""
LONGEST_NAME = 128


class ServiceReport:
    """`received` and `sampled` count; `report` brings the metrics up to date. At most `most` names, and `other`."""

    def __init__(self, metrics: WorkerMetrics, most: int) -> None:
        self.received: ServiceCounter = service_counter()
        self.sampled: ServiceCounter = service_counter()
        self._leaders = Leaders(most)
        self._received = metrics.service_received_spans_total, metrics.service_received_bytes_total
        self._sampled = metrics.service_sampled_spans_total, metrics.service_sampled_bytes_total

    def report(self, now_s: float) -> None:
        """Count what came since the last call; who has lost its label loses its series."""
        received = self.received.take()
        lost = self._leaders.add({_label(name): float(spans) for name, (spans, _) in received.items()}, now_s)
        for service in lost:
            for counter in (*self._received, *self._sampled):
                counter.remove(service)
        self._count(self._received, received)
        self._count(self._sampled, self.sampled.take())

    def _count(self, counters: tuple[Counter, Counter], counts: Mapping[str, tuple[int, int]]) -> None:
        chosen = self._leaders.chosen
        for name, numbers in counts.items():
            service = _label(name)
            for counter, number in zip(counters, numbers, strict=True):
                counter.labels(service=service if service in chosen else OTHER).inc(max(0, number))
            if service in chosen:
                # A service of which nothing is kept has its series too, at 0.
                for counter in (*self._received, *self._sampled):
                    counter.labels(service=service)


def _label(name: str) -> str:
    return name[:LONGEST_NAME] or NAMELESS

"""What holds a worker back, as Prometheus metrics."""

from __future__ import annotations

from collections import Counter

from sampler.metrics import WorkerMetrics
from sampler.stream.brakes import REASONS
from sampler.stream.outputs import Outputs
from sampler.stream.pressure import Pressure
from sampler.stream.resident import resident_bytes


class PressureReport:
    """Brings the metrics of refused outputs, of the disk and of memory up to date."""

    def __init__(self, metrics: WorkerMetrics, outputs: Outputs, pressure: Pressure) -> None:
        self._metrics = metrics
        self._outputs = outputs
        self._pressure = pressure
        self._seen: Counter[tuple[str, str]] = Counter()

    def report(self, *, spill_failing: bool) -> None:
        """What is, and what was added since the last call."""
        metrics, outputs, pressure = self._metrics, self._outputs, self._pressure
        for error, count in outputs.failures.items():
            metrics.output_failures_total.labels(error=error).inc(self._new("failure", error, count))
        for reason, count in outputs.dead_letters.items():
            metrics.dead_letters_total.labels(reason=reason).inc(self._new("dead letter", reason, count))
        for topic, limit in outputs.limits.items():
            metrics.output_limit_bytes.labels(topic=topic).set(limit)
        holding, seconds = pressure.brakes.holding, pressure.brakes.seconds
        for reason in REASONS:
            metrics.fetching_paused.labels(reason=reason).set(reason in holding)
            metrics.fetching_paused_seconds_total.labels(reason=reason).inc(self._new("pause", reason, seconds[reason]))
        metrics.spill_failing.set(spill_failing)
        metrics.disk_free_bytes.set(pressure.free_disk_bytes)
        metrics.resident_bytes.set(resident_bytes())
        metrics.memory_limit_bytes.set(pressure.guard.limits.limit_bytes)
        metrics.memory_used_bytes.set(pressure.used_bytes)
        metrics.memory_level.set(int(pressure.guard.level))

    def _new(self, what: str, label: str, total: float) -> float:
        new = total - self._seen[what, label]
        self._seen[what, label] = total  # type: ignore[assignment]  # a Counter of seconds, too
        return new

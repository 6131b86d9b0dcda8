"""What a worker tells of overload."""

from __future__ import annotations

from sampler.metrics.specs import GaugeSpec, MetricSet


class OverloadMetrics(MetricSet):
    """Metrics of traces that are refused while a worker is far behind; 0 where `worker.overload` is off."""

    title = "Worker: overload"

    overload_share = GaugeSpec(
        "Largest share of new traces that is refused in any partition now; how many were refused is "
        'tailsampler_early_decisions_total{reason="overload"}.'
    )
    overload_partitions = GaugeSpec("Partitions of this worker in which new traces are refused now.")

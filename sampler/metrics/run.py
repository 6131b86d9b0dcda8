"""What `tailsampler run` tells of the processes that it keeps running."""

from __future__ import annotations

from sampler.metrics.specs import CounterSpec, GaugeSpec, MetricSet


class RunMetrics(MetricSet):
    """`part` is the name of the process, the label `process` of its own metrics on the same page."""

    title = "tailsampler run"

    process_up = GaugeSpec("1 where the metrics of this process could be fetched for this page.", ("part",))
    process_restarts_total = CounterSpec("Times that this process had ended and was started again.", ("part",))

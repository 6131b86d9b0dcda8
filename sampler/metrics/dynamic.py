"""What a worker tells of policies that give every key a rate of its own."""

from __future__ import annotations

from sampler.metrics.specs import GaugeSpec, MetricSet


class DynamicMetrics(MetricSet):
    """There are no series where no policy has rates by key."""

    title = "Worker: rates by key"

    dynamic_key_rate = GaugeSpec(
        "For how many traces one of this key stands that the policy keeps now (worker.metrics.keys of them).",
        ("policy", "key"),
    )
    dynamic_keys = GaugeSpec("Keys that have a rate of their own now.", ("policy",))

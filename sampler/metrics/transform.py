"""What agent and worker tell of the spans that they change."""

from __future__ import annotations

from sampler.metrics.specs import PREFIX, CounterSpec, MetricSet


class TransformMetrics(MetricSet):
    """Counters of one transformation, whichever process it is in."""

    title = "Agent and worker: transform"
    prefix = PREFIX + "transform_"

    changes_total = CounterSpec(
        "What the blocks `transform:` did, by rule: attributes and texts changed or removed, and spans dropped. Beside "
        "the names of rules there are truncate, max_attributes, upsert (resources), own_spans (spans of the pipeline "
        "itself that came back) and unreadable (spans left out because they are nested too deeply to be looked at).",
        ("rule",),
    )

    def count(self, rule: str, times: int) -> None:
        """A rule was applied so many times."""
        self.changes_total.labels(rule).inc(times)

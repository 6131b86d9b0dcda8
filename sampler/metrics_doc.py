"""docs/metrics.md, generated from the metrics themselves: `python -m sampler.metrics_doc > docs/metrics.md`."""

from __future__ import annotations

import sys

from sampler.metrics import METRIC_SETS, STANDARD_METRICS, MetricSet, MetricSpec

HEAD = """# Metrics

Served by every process at `/metrics` (`web.endpoint`), as Prometheus text or OpenMetrics, whichever the scraper asks
for. Counters end with `_total`; histograms have `_bucket`, `_sum` and `_count` series. Units are seconds and bytes.

This page is generated: `python -m sampler.metrics_doc > docs/metrics.md`.
"""

STANDARD = """## Every process: standard names

Prometheus' own client libraries have these for any program; on Linux only.

| name | meaning |
| --- | --- |
""" + "".join(f"| `{name}` | {meaning} |\n" for name, meaning in STANDARD_METRICS.items())


def metrics_page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(f"## {group.title}\n\n{_table(group)}" for group in METRIC_SETS), STANDARD])


def _table(group: type[MetricSet]) -> str:
    lines = ["| name | type | unit | labels | meaning |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_row(spec) for spec in group.specs())]) + "\n"


def _row(spec: MetricSpec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| `{spec.name}` | {spec.kind} | {spec.unit} | {labels} | {spec.help} |"


if __name__ == "__main__":
    sys.stdout.write(metrics_page())

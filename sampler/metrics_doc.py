"""docs/metrics.md, generated from the metrics themselves: `python -m sampler.metrics_doc > docs/metrics.md`."""

from __future__ import annotations

import sys

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from sampler.agent.metrics import AgentMetrics
from sampler.metrics import WorkerMetrics

HEAD = """# Metrics

Served by every process at `/metrics` (`web.endpoint`), as Prometheus text or OpenMetrics, whichever the scraper asks
for. Counters end with `_total`; histograms have `_bucket`, `_sum` and `_count` series. Units are seconds and bytes.

This page is generated: `python -m sampler.metrics_doc > docs/metrics.md`.
"""


def metrics_page() -> str:
    """The whole page."""
    registry = CollectorRegistry()
    groups = (("Worker", WorkerMetrics(registry)), ("Agent", AgentMetrics(registry)))
    return "\n".join([HEAD, *(f"## {title}\n\n{_table(group)}" for title, group in groups)])


def _table(group: object) -> str:
    lines = ["| name | type | labels | meaning |", "| --- | --- | --- | --- |"]
    metrics = [value for value in vars(group).values() if isinstance(value, MetricWrapperBase)]
    lines += [_row(metric) for metric in metrics]
    return "\n".join(lines) + "\n"


def _row(metric: MetricWrapperBase) -> str:
    # prometheus_client tells names and labels of a metric that has no values yet through its private fields only.
    name = metric._name + ("_total" if metric._type == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |"


if __name__ == "__main__":
    sys.stdout.write(metrics_page())

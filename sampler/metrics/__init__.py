"""Every metric of the product, each named exactly once: one file a process or concern, all of them in `METRIC_SETS`."""

from sampler.metrics.agent import AgentMetrics
from sampler.metrics.budget import BudgetMetrics
from sampler.metrics.dynamic import DynamicMetrics
from sampler.metrics.exporter import ExporterMetrics
from sampler.metrics.keyspace import KeyspaceMetrics
from sampler.metrics.overload import OverloadMetrics
from sampler.metrics.process import STANDARD_METRICS, ProcessMetrics, process_registry
from sampler.metrics.run import RunMetrics
from sampler.metrics.source import SourceMetrics
from sampler.metrics.specs import (
    PREFIX,
    CounterSpec,
    GaugeSpec,
    HistogramSpec,
    MetricSet,
    MetricSpec,
    add_buckets,
    observe_many,
)
from sampler.metrics.transform import TransformMetrics
from sampler.metrics.worker import WorkerMetrics

METRIC_SETS: tuple[type[MetricSet], ...] = (
    ProcessMetrics,
    RunMetrics,
    WorkerMetrics,
    KeyspaceMetrics,
    DynamicMetrics,
    BudgetMetrics,
    OverloadMetrics,
    AgentMetrics,
    SourceMetrics,
    ExporterMetrics,
    TransformMetrics,
)
"""What docs/metrics.md lists, in this order, and what dashboards and alerts may speak of."""

__all__ = [
    "METRIC_SETS",
    "PREFIX",
    "STANDARD_METRICS",
    "AgentMetrics",
    "BudgetMetrics",
    "CounterSpec",
    "DynamicMetrics",
    "ExporterMetrics",
    "GaugeSpec",
    "HistogramSpec",
    "KeyspaceMetrics",
    "MetricSet",
    "MetricSpec",
    "OverloadMetrics",
    "ProcessMetrics",
    "RunMetrics",
    "SourceMetrics",
    "TransformMetrics",
    "WorkerMetrics",
    "add_buckets",
    "observe_many",
    "process_registry",
]

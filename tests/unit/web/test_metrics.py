"""The list of metrics and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from sampler.metrics import CounterSpec, HistogramSpec, MetricSet, WorkerMetrics
from sampler.metrics_doc import metrics_page

ROOT = Path(__file__).parents[3]


def test_metrics_are_made_in_the_given_registry() -> None:
    """Two sets in two registries know nothing of each other; two in one are refused."""
    registry = CollectorRegistry()
    first, second = WorkerMetrics(registry), WorkerMetrics(CollectorRegistry())
    assert isinstance(first.spans_received_total, Counter)
    first.spans_received_total.inc(3)
    assert registry.get_sample_value("tailsampler_spans_received_total") == 3
    assert second.registry.get_sample_value("tailsampler_spans_received_total") == 0
    with pytest.raises(ValueError, match="Duplicated"):
        WorkerMetrics(registry)


def test_names_follow_prometheus_rules() -> None:
    """One prefix, `_total` on counters alone, buckets in order, a help that is a sentence."""
    for spec in WorkerMetrics.specs():
        assert spec.name.startswith("tailsampler_")
        assert spec.name.endswith("_total") == isinstance(spec, CounterSpec)
        assert spec.help.endswith(".")
        assert list(spec.buckets) == sorted(set(spec.buckets))
        assert bool(spec.buckets) == isinstance(spec, HistogramSpec)
    units = {spec.name: spec.unit for spec in WorkerMetrics.specs()}
    assert units["tailsampler_received_bytes_total"] == "bytes"
    assert units["tailsampler_decision_latency_seconds"] == "seconds"
    assert units["tailsampler_spans_buffered"] == ""


def test_the_running_policy_set_is_the_only_one_named() -> None:
    """After a reload the one before it disappears."""
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.set_policy_set("shop", "1", "aa")
    metrics.set_policy_set("shop", "2", "bb")
    (metric,) = (each for each in registry.collect() if each.name == "tailsampler_policy_set_info")
    assert [sample.labels for sample in metric.samples] == [{"name": "shop", "version": "2", "hash": "bb"}]


def test_a_set_is_declared_by_its_attributes() -> None:
    """The attribute's name is the metric's name behind the prefix."""

    class Own(MetricSet):
        things_total = CounterSpec("Things.", ("kind",))

    registry = CollectorRegistry()
    Own(registry).things_total.labels(kind="a").inc()
    assert Own.things_total.name == "tailsampler_things_total"
    assert registry.get_sample_value("tailsampler_things_total", {"kind": "a"}) == 1


def test_the_page_of_metrics_is_current() -> None:
    """Write it anew with `python -m sampler.metrics_doc > docs/metrics.md`."""
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == metrics_page()

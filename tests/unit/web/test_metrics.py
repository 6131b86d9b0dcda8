"""The list of metrics and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from sampler.metrics import (
    METRIC_SETS,
    STANDARD_METRICS,
    AgentMetrics,
    CounterSpec,
    HistogramSpec,
    MetricSet,
    WorkerMetrics,
    add_buckets,
    observe_many,
    process_registry,
)
from sampler.metrics_doc import metrics_page
from sampler.web.health import Health

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
    for spec in (spec for group in METRIC_SETS for spec in group.specs()):
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


def test_series_with_known_labels_exist_from_the_start() -> None:
    """An alert on the growth of a counter does not see the step from nothing to 1."""
    registry = CollectorRegistry()
    WorkerMetrics(registry)
    for outcome in ("success", "unchanged", "failure"):
        assert registry.get_sample_value("tailsampler_policy_reloads_total", {"outcome": outcome}) == 0
    AgentMetrics(registry).count_request("grpc", "ok")
    labels = {"transport": "http", "outcome": "buffer_full"}
    assert registry.get_sample_value("tailsampler_agent_requests_total", labels) == 0


def test_many_are_observed_at_once_with_an_example() -> None:
    """The same as one after the other; the exemplar stands at the bucket of its value."""

    class Own(MetricSet):
        wait_seconds = HistogramSpec("Wait.", buckets=(1.0, 2.0))

    registry = CollectorRegistry()
    histogram = Own(registry).wait_seconds
    observe_many(histogram, 1.0, 3)
    observe_many(histogram, 1.5, 2, Exemplar({"trace_id": "ab"}, 1.5, 7.0))
    observe_many(histogram, 9.0, 1)
    add_buckets(histogram, [1, 0, 2], 21.0)
    counts = {
        le: registry.get_sample_value("tailsampler_wait_seconds_bucket", {"le": le}) for le in ("1.0", "2.0", "+Inf")
    }
    assert counts == {"1.0": 4, "2.0": 6, "+Inf": 9}
    assert registry.get_sample_value("tailsampler_wait_seconds_sum") == 3 + 3 + 9 + 21
    (family,) = text_string_to_metric_families(generate_latest(registry).decode())
    assert {s.labels["le"]: s.exemplar.labels["trace_id"] for s in family.samples if s.exemplar} == {"2.0": "ab"}


def test_a_registry_tells_of_its_process() -> None:
    """What was built, how large the process is, and whether it is ready, asked anew at every scrape."""
    health = Health()
    registry = process_registry("worker", health)
    assert registry.get_sample_value("tailsampler_ready") == 1
    health.set_ready("table", False, "recovering")
    assert registry.get_sample_value("tailsampler_ready") == 0
    (info,) = (each for each in registry.collect() if each.name == "tailsampler_build_info")
    assert [sample.labels["program"] for sample in info.samples] == ["worker"]
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert names >= set(STANDARD_METRICS)


def test_the_page_of_metrics_is_current() -> None:
    """Write it anew with `python -m sampler.metrics_doc > docs/metrics.md`."""
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == metrics_page()

"""What the engine has counted, moved into the metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter
from prometheus_client.samples import Exemplar

from sampler.engine.settlement import EngineCounts
from sampler.metrics import WorkerMetrics, add_buckets, observe_many


def count_into(metrics: WorkerMetrics, counts: EngineCounts, now_ms: int) -> None:
    """Add the counts of a while, which ends at `now_ms`, in milliseconds since 1970."""
    metrics.records_received_total.inc(counts.records)
    metrics.received_bytes_total.inc(counts.received_bytes)
    metrics.spans_received_total.inc(counts.spans)
    metrics.traces_started_total.inc(counts.traces_started)
    metrics.invalid_spans_total.inc(counts.invalid_spans)
    metrics.mispartitioned_spans_total.inc(counts.mispartitioned_spans)
    metrics.replayed_spans_skipped_total.inc(counts.replayed_spans)
    metrics.span_copies_removed_total.inc(counts.span_copies)
    metrics.traces_rescanned_total.inc(counts.traces_rescanned)
    metrics.rootless_traces_total.inc(counts.rootless_traces)
    _add(metrics.traces_decided_total, counts.traces_decided)
    _add(metrics.spans_decided_total, counts.spans_decided)
    _add(metrics.decided_bytes_total, counts.bytes_decided)
    _add(metrics.late_spans_total, counts.late_spans)
    _add(metrics.early_decisions_total, counts.early)
    _add(metrics.second_look_traces_total, counts.second_looks)
    _add(metrics.dead_letters_total, counts.dead_letters)
    _add(metrics.policy_represented_traces_total, counts.policy_weight)
    _add_pairs(metrics.policy_traces_total, counts.by_policy)
    _add_pairs(metrics.policy_spans_total, counts.policy_spans)
    _add_pairs(metrics.policy_bytes_total, counts.policy_bytes)
    _add_pairs(metrics.tenant_traces_total, counts.tenant_traces)
    _add_pairs(metrics.tenant_spans_total, counts.tenant_spans)
    if counts.by_spans:
        add_buckets(metrics.trace_spans, counts.by_spans, counts.span_sum)
    for rate, n in counts.sampling_rates.items():
        observe_many(metrics.sampling_rate, rate, n)
    for latency_ms, n in counts.latency_ms.items():
        latency_s, trace_id = latency_ms / 1000, counts.examples.get(latency_ms)
        exemplar = None if trace_id is None else Exemplar({"trace_id": trace_id.hex()}, latency_s, now_ms / 1000)
        observe_many(metrics.decision_latency_seconds, latency_s, n, exemplar)


def _add(counter: Counter, values: Mapping[str, float]) -> None:
    for label, n in values.items():
        counter.labels(label).inc(n)


def _add_pairs(counter: Counter, values: Mapping[tuple[str, str], float]) -> None:
    for labels, n in values.items():
        counter.labels(*labels).inc(n)

"""The engine's plain counts as Prometheus metrics, a batch at a time."""

from __future__ import annotations

import logging
from collections import Counter

from prometheus_client import Counter as PrometheusCounter

from policies.any_set import AnyPolicySet
from sampler.config.identity import PolicyIdentity
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.settlement import EngineCounts
from sampler.metrics import WorkerMetrics, observe_many
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline
from sampler.stream.policy_trouble import PolicyTrouble
from sampler.stream.pressure_report import PressureReport
from sampler.stream.span_source import SpanSource
from sampler.web.status import StatusPage

logger = logging.getLogger(__name__)

WARN_EVERY_S = 60.0


class Reporter:
    """Moves what happened since its last call into the metrics."""

    def __init__(
        self,
        metrics: WorkerMetrics,
        pipeline: Pipeline,
        source: SpanSource,
        outputs: Outputs,
        store: ChunkStore,
        policies: AnyPolicySet,
        page: StatusPage | None = None,
        pressure: PressureReport | None = None,
    ) -> None:
        self._metrics = metrics
        self._pipeline = pipeline
        self._source = source
        self._outputs = outputs
        self._store = store
        self._page = page or StatusPage()
        self._pressure = pressure
        self.trouble = PolicyTrouble(metrics, policies)
        self._seen: Counter[str] = Counter()
        self._warn_again_s = 0.0
        self._recovering_since_s: float | None = None

    def report(self, now_s: float) -> None:
        """Bring every metric up to date."""
        counts = self._pipeline.take_counts()
        self._count(counts)
        self.trouble.report(self._pipeline.plan, now_s)
        self._page.set("policy_errors", self.trouble.section())
        self._gauge()
        if self._pressure is not None:
            self._pressure.report(spill_failing=bool(self._store.trouble))
        if counts.mispartitioned_spans and now_s >= self._warn_again_s:
            self._warn_again_s = now_s + WARN_EVERY_S
            logger.warning(
                "spans came in another partition than their trace id hashes to: traces may be split over workers. "
                "Whatever writes the span topic must partition by trace id as kafka.partitioner says (a Collector: "
                "partition_traces_by_id: true), and the number of partitions must not have changed"
            )

    def use_policies(self, policies: AnyPolicySet, identity: PolicyIdentity, now_ms: int) -> None:
        """Tell from now on of this policy set, which runs since `now_ms`."""
        self.trouble.use_policies(policies)
        self._metrics.set_policy_set(identity.name, identity.version, identity.short_hash)
        self._metrics.policy_set_loaded_timestamp_seconds.set(now_ms / 1000)

    def reloaded(self, outcome: str) -> None:
        """A changed policy file was judged: success, unchanged or failure."""
        self._metrics.policy_reloads_total.labels(outcome=outcome).inc()
        self._metrics.policy_reload_failed.set(outcome == "failure")

    def rebalanced(self, now_s: float) -> None:
        """An assignment has come; recovery of its tables begins."""
        self._metrics.rebalances_total.inc()
        self._metrics.table_recovering.set(1)
        self._recovering_since_s = now_s

    def recovered(self, now_s: float) -> None:
        """The tables of the assignment are read back."""
        self._metrics.table_recovering.set(0)
        if self._recovering_since_s is not None:
            self._metrics.recovery_seconds.observe(now_s - self._recovering_since_s)
            self._recovering_since_s = None

    def _count(self, counts: EngineCounts) -> None:
        metrics = self._metrics
        metrics.records_received_total.inc(counts.records)
        metrics.received_bytes_total.inc(counts.received_bytes)
        metrics.spans_received_total.inc(counts.spans)
        metrics.traces_started_total.inc(counts.traces_started)
        metrics.invalid_spans_total.inc(counts.invalid_spans)
        metrics.mispartitioned_spans_total.inc(counts.mispartitioned_spans)
        metrics.replayed_spans_skipped_total.inc(counts.replayed_spans)
        metrics.span_copies_removed_total.inc(counts.span_copies)
        metrics.traces_rescanned_total.inc(counts.traces_rescanned)
        _add(metrics.traces_decided_total, counts.traces_decided)
        _add(metrics.spans_decided_total, counts.spans_decided)
        _add(metrics.late_spans_total, counts.late_spans)
        _add(metrics.early_decisions_total, counts.early)
        _add(metrics.second_look_traces_total, counts.second_looks)
        _add(metrics.dead_letters_total, counts.dead_letters)
        for (policy, decision), n in counts.by_policy.items():
            metrics.policy_traces_total.labels(policy=policy, decision=decision).inc(n)
        for (tenant, decision), n in counts.tenant_traces.items():
            metrics.tenant_traces_total.labels(tenant=tenant, decision=decision).inc(n)
        for (tenant, decision), n in counts.tenant_spans.items():
            metrics.tenant_spans_total.labels(tenant=tenant, decision=decision).inc(n)
        for latency_ms, n in counts.latency_ms.items():
            observe_many(metrics.decision_latency_seconds, latency_ms / 1000, n)
        self._catch_up(metrics.output_records_total, "output records", self._outputs.records)
        self._catch_up(metrics.output_bytes_total, "output bytes", self._outputs.bytes)
        self._catch_up(metrics.offset_gaps_total, "gaps", self._source.gaps)

    def _gauge(self) -> None:
        metrics, engines = self._metrics, list(self._pipeline.engines)
        metrics.outputs_unacknowledged.set(len(self._outputs))
        metrics.largest_tick_traces.set(self._pipeline.largest_tick_traces)
        metrics.traces_buffered.set(sum(len(engine.table) for engine in engines))
        metrics.spans_buffered.set(sum(engine.table.span_count for engine in engines))
        metrics.buffered_bytes.labels(place="memory").set(self._store.memory_bytes)
        metrics.buffered_bytes.labels(place="disk").set(self._store.disk_bytes)
        metrics.remembered_decisions.set(sum(len(engine.memory) for engine in engines))
        retention = self._pipeline.retention
        if retention is not None:
            metrics.retained_traces.set(retention.items)
            metrics.retained_bytes.set(retention.size_bytes)
            self._catch_up(metrics.retained_traces_forgotten_total, "forgotten", retention.forgotten)
        metrics.watermark_lag_seconds.set(max((engine.watermark_lag_ms for engine in engines), default=0) / 1000)
        metrics.consumer_lag_records.set(sum(self._source.lag().values()))
        metrics.partitions_assigned.set(len(engines))
        metrics.clock_skew_seconds.set(max((engine.time.take_skew_ms() for engine in engines), default=0) / 1000)

    def _catch_up(self, counter: PrometheusCounter, name: str, total: int) -> None:
        counter.inc(total - self._seen[name])
        self._seen[name] = total


def _add(counter: PrometheusCounter, values: Counter[str]) -> None:
    for label, n in values.items():
        counter.labels(label).inc(n)

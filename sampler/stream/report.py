"""The engine's plain counts as Prometheus metrics, a batch at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from prometheus_client import Counter as PrometheusCounter

from policies.any_set import AnyPolicySet
from sampler.clock import wall_ms
from sampler.config.identity import PolicyIdentity
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.settlement import EngineCounts
from sampler.metrics import BudgetMetrics, DynamicMetrics, OverloadMetrics, WorkerMetrics
from sampler.stream.budget_report import BudgetReport
from sampler.stream.count_report import count_into
from sampler.stream.key_report import KeyReport
from sampler.stream.lag_report import LagReport
from sampler.stream.outputs import Outputs
from sampler.stream.overload_report import OverloadReport
from sampler.stream.pipeline import Pipeline
from sampler.stream.policy_trouble import PolicyTrouble
from sampler.stream.pressure_report import PressureReport
from sampler.stream.rocksdb_report import RocksDbReport
from sampler.stream.service_report import ServiceReport
from sampler.stream.span_source import SpanSource
from sampler.stream.topic_retention import TopicRetention
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
        services: ServiceReport | None = None,
        retention: TopicRetention | None = None,
        rocksdb: RocksDbReport | None = None,
        read_ahead: Callable[[], int] = lambda: 0,
        rate_keys: int = 0,
    ) -> None:
        """`rate_keys` of each policy with rates by key are told; `read_ahead` counts records that recovery has read."""
        self._metrics = metrics
        self._pipeline = pipeline
        self._source = source
        self._outputs = outputs
        self._store = store
        self._page = page or StatusPage()
        self._pressure = pressure
        self._services = services
        self._lag = LagReport(metrics, pipeline, source, retention)
        self._rocksdb = rocksdb
        self._read_ahead = read_ahead
        self.trouble = PolicyTrouble(metrics, policies)
        self._overload = OverloadReport(OverloadMetrics(metrics.registry))
        self._budget = BudgetReport(BudgetMetrics(metrics.registry), policies)
        self._keys = KeyReport(DynamicMetrics(metrics.registry), policies, rate_keys)
        self._seen: Counter[str] = Counter()
        self._warn_again_s = 0.0
        self._recovering_since_s: float | None = None
        self._revoked_s: float | None = None

    def report(self, now_s: float) -> None:
        """Bring every metric up to date."""
        counts = self._pipeline.take_counts()
        self._count(counts)
        self.trouble.report(self._pipeline.plan, now_s)
        self._budget.report(counts, now_s)
        self._overload.report(self._pipeline.engines)
        self._page.set("policy_errors", self.trouble.section())
        self._gauge()
        self._lag.report()
        self._keys.report(now_s)
        if self._services is not None:
            self._services.report(now_s)
        if self._rocksdb is not None:
            self._rocksdb.report(now_s)
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
        self._budget.use_policies(policies)
        self._keys.use_policies(policies)
        self._metrics.set_policy_set(identity.name, identity.version, identity.short_hash)
        self._metrics.policy_set_loaded_timestamp_seconds.set(now_ms / 1000)

    def reloaded(self, outcome: str) -> None:
        """A changed policy file was judged: success, unchanged or failure."""
        self._metrics.policy_reloads_total.labels(outcome=outcome).inc()
        self._metrics.policy_reload_failed.set(outcome == "failure")

    def batch_taken(self, seconds: float) -> None:
        """One fetched batch has been processed, in so many seconds."""
        self._metrics.batch_seconds.observe(seconds)

    def lease_lost(self) -> None:
        """What was gathered is dropped, because the group may have given the partitions away."""
        self._metrics.lease_losses_total.inc()

    def revoked(self, now_s: float) -> None:
        """The group is being rebalanced; the same may be said again before the next assignment."""
        if self._revoked_s is None:
            self._revoked_s = now_s

    def recovering(self, remaining: int) -> None:
        """So many records of the decision tables are still to be read back."""
        self._metrics.recovery_remaining_records.set(remaining)

    def rebalanced(self, now_s: float) -> None:
        """An assignment has come; recovery of its tables begins."""
        self._metrics.rebalances_total.inc()
        if self._revoked_s is not None:
            self._metrics.rebalance_seconds.observe(now_s - self._revoked_s)
            self._revoked_s = None
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
        count_into(metrics, counts, wall_ms())
        self._catch_up(metrics.output_records_total, "output records", self._outputs.records)
        self._catch_up(metrics.output_bytes_total, "output bytes", self._outputs.bytes)
        self._catch_up(metrics.offset_gaps_total, "gaps", self._source.gaps)
        self._catch_up(metrics.recovered_records_total, "recovered", self._read_ahead())
        self._catch_up(metrics.partition_restarts_total, "restarts", self._pipeline.restarts)

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
        metrics.partitions_assigned.set(len(engines))
        metrics.clock_skew_seconds.set(max((engine.time.take_skew_ms() for engine in engines), default=0) / 1000)

    def _catch_up(self, counter: PrometheusCounter, name: str, total: int) -> None:
        counter.inc(total - self._seen[name])
        self._seen[name] = total

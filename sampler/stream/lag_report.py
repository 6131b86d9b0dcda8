"""How far behind a worker is, as metrics: against the end of the topic, in time, and against the topic's retention."""

from __future__ import annotations

from collections.abc import Callable

from sampler.clock import wall_ms
from sampler.metrics import WorkerMetrics
from sampler.stream.needed_since import NeededSince, Standing
from sampler.stream.pipeline import Pipeline
from sampler.stream.span_source import SpanSource
from sampler.stream.topic_retention import TopicRetention


class LagReport:
    """Brings the metrics of lag up to date. `retention` may be unknown."""

    def __init__(
        self,
        metrics: WorkerMetrics,
        pipeline: Pipeline,
        source: SpanSource,
        retention: TopicRetention | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._metrics = metrics
        self._pipeline = pipeline
        self._source = source
        self._retention = retention
        self._now_ms = now_ms
        self._needed = NeededSince()

    def report(self) -> None:
        """Look once; call it about once a second."""
        metrics, source = self._metrics, self._source
        lag, watermarks = source.lag(), self._pipeline.watermarks()
        standings = {}
        needed_bytes = 0.0
        for engine in self._pipeline.engines:
            partition, oldest = engine.partition, engine.table.oldest()
            behind = lag.get(partition, 0)
            at = Standing(
                watermarks[partition], engine.next_offset, None if oldest is None else oldest.arrived_ms,
                engine.time.now_ms, behind,
            )  # fmt: skip
            standings[partition] = at
            records = at.next_offset + behind - at.watermark
            needed_bytes = max(needed_bytes, records * source.average_record_bytes)
        now_ms = self._now_ms()
        since_ms = self._needed.look(standings, now_ms)
        age_s = 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000
        metrics.consumer_lag_records.set(sum(lag.values()))
        metrics.watermark_age_seconds.set(age_s)
        metrics.decision_wait_seconds.set(self._pipeline.decision_wait_ms / 1000)
        metrics.kafka_brokers_up.set(source.brokers_up)
        metrics.kafka_throttle_seconds.set(source.throttle_ms / 1000)
        retention = self._retention
        if retention is not None:
            metrics.retention_seconds.set((retention.retention_ms or 0) / 1000)
            metrics.retention_used_ratio.set(retention.used(age_s, needed_bytes))

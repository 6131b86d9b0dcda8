"""The exchange of the tier as Prometheus metrics."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from prometheus_client import Counter as PrometheusCounter

from policies.tier_counts import Answer
from sampler.metrics import KeyspaceMetrics
from sampler.stream.keyspace import Keyspace
from sampler.stream.keyspace_reader import KeyspaceReader
from sampler.stream.keyspace_writer import KeyspaceWriter

ANSWERS: tuple[Answer, ...] = get_args(Answer)


class KeyspaceReport:
    """Brings the metrics of the exchange up to date."""

    def __init__(
        self, metrics: KeyspaceMetrics, keyspace: Keyspace, reader: KeyspaceReader, writer: KeyspaceWriter
    ) -> None:
        self._metrics = metrics
        self._keyspace = keyspace
        self._reader = reader
        self._writer = writer
        self._seen: Counter[str] = Counter()

    def report(self) -> None:
        """What is, and what was added since the last call."""
        metrics, tier = self._metrics, self._keyspace.tier
        latest = Counter(tier.latest.values())
        for answer in ANSWERS:
            self._catch_up(metrics.keyspace_sums_total.labels(sums=answer), answer, tier.answers[answer])
            if answer != "complete":
                metrics.keyspace_stale.labels(sums=answer).set(latest[answer])
        metrics.keyspace_lag_seconds.set(self._keyspace.lag_s)
        metrics.keyspace_keys.set(tier.held)
        self._catch_up(metrics.keyspace_records_read_total, "read", self._reader.received)
        self._catch_up(metrics.keyspace_records_rejected_total, "rejected", self._reader.poison)
        self._catch_up(metrics.keyspace_records_written_total, "written", self._writer.delivered)
        self._catch_up(metrics.keyspace_records_lost_total, "lost", self._writer.lost)
        for reason, count in (
            ("too_many_keys", tier.keys_cut),
            ("not_numbers", tier.refused),
            ("no_room", tier.left_out),
        ):
            self._catch_up(metrics.keyspace_left_out_total.labels(reason=reason), reason, count)

    def _catch_up(self, counter: PrometheusCounter, name: str, total: int) -> None:
        counter.inc(max(0, total - self._seen[name]))
        self._seen[name] = total

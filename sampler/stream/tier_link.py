"""What a worker does for the exchange of the tier: how far its partitions are, its metrics, its beginning and end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from policies.any_set import AnyPolicySet
from policies.exchange import Exchange
from sampler.metrics import KeyspaceMetrics
from sampler.stream.keyspace import Keyspace
from sampler.stream.keyspace_reader import KeyspaceReader
from sampler.stream.keyspace_report import KeyspaceReport
from sampler.stream.keyspace_writer import KeyspaceWriter
from sampler.stream.pipeline import Pipeline
from sampler.stream.span_source import SpanSource

REPORT_S = 1.0
EMPTY_BEHIND_MS = 1000
"""How far behind the clock an empty partition is taken to be: so long a record may be on its way."""


class TierLink:
    """Ties the exchange to the pipeline."""

    pipeline: Pipeline

    def __init__(
        self,
        topic: str,
        partitions: int,
        source: SpanSource,
        consumer_conf: dict[str, Any],
        producer_conf: dict[str, Any],
        metrics: KeyspaceMetrics,
        monotonic_s: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        """`partitions` of the span topic."""
        self._source = source
        self._clock = monotonic_s
        self._wall_ms = wall_ms
        self._report_again_s = 0.0
        reader = KeyspaceReader(consumer_conf, topic, monotonic_s)
        writer = KeyspaceWriter(producer_conf, topic, monotonic_s)
        self._keyspace = Keyspace(partitions, reader, writer, monotonic_s, wall_ms)
        self._report = KeyspaceReport(metrics, self._keyspace, reader, writer)

    def attach(self, pipeline: Pipeline) -> None:
        """The pipeline whose partitions take part."""
        self.pipeline = pipeline

    def use_policies(self, policies: AnyPolicySet) -> None:
        """These run from now on."""
        self._keyspace.use_policies(policies.exchange_keys)

    def exchange_of(self, partition: int) -> Exchange | None:
        """The exchange for a partition that is taken up; None where it is the only one."""
        return self._keyspace.exchange_of(partition)

    def warm(self, now_s: float) -> bool:
        """Whether deciding may begin: what the topic holds is known, or was waited for long enough."""
        return self._keyspace.warm(now_s)

    def look(self, now_s: float) -> None:
        """Exchange what there is to exchange; call it often, while the lease holds."""
        self._keyspace.look(now_s, self._stream_ms)
        if self._keyspace.running and now_s >= self._report_again_s:
            self._report_again_s = now_s + REPORT_S
            self._report.report()

    def tell_all(self, now_s: float) -> None:
        """Partitions may be given up: what they have counted goes out now."""
        self._keyspace.look(now_s, self._stream_ms, at_once=True)

    def close(self) -> None:
        """Stop."""
        self._keyspace.close()

    def _stream_ms(self) -> dict[int, int]:
        """Stream time of the partitions at work. One of which no record was read is at the present if it is empty."""
        views = None
        times = {}
        for engine in self.pipeline.engines:
            at_ms = engine.time.now_ms
            if at_ms < 0:
                views = self._source.views(self._clock()) if views is None else views
                view = views.get(engine.partition)
                if view is None or not view.heard or view.position < view.end:
                    continue
                at_ms = self._wall_ms() - EMPTY_BEHIND_MS
            times[engine.partition] = at_ms
        return times

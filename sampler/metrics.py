"""Every metric of the product, each named exactly once, and how prometheus_client objects are made from that list.

A set of metrics is a class whose attributes are specs; the attribute's name is the metric's name behind the common
prefix `tailsampler_`. An instance holds the prometheus_client objects, registered in the registry it was given:

    class WorkerMetrics(MetricSet):
        spans_received_total = CounterSpec("Spans read from the span topic.")

    metrics = WorkerMetrics(registry)
    metrics.spans_received_total.inc(10)      # typed as prometheus_client.Counter
"""

from __future__ import annotations

from typing import ClassVar, Final, Self, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase, disable_created_metrics

PREFIX: Final = "tailsampler_"


class MetricSpec:
    """What a metric means. `name` is known once the spec stands in a class."""

    kind: ClassVar[str]
    name: str

    def __init__(self, help_text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = ()) -> None:
        self.help = help_text
        self.labels = labels
        self.buckets = buckets

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = PREFIX + name

    @property
    def unit(self) -> str:
        """The base unit, which Prometheus' rules put into the name; empty for a plain number of things."""
        stem = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes") if stem.endswith("_" + unit)), "")

    def make(self, registry: CollectorRegistry) -> MetricWrapperBase:
        """A fresh metric in `registry`; ValueError where the registry has one of this name."""
        raise NotImplementedError


class CounterSpec(MetricSpec):
    """A number that only grows; its name ends with `_total`."""

    kind = "counter"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Counter: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Counter:
        """The spec itself; an instance's own attribute, the made metric, goes before it."""
        return self

    def make(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.help, self.labels, registry=registry)


class GaugeSpec(MetricSpec):
    """A number that goes up and down."""

    kind = "gauge"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Gauge: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Gauge:
        """The spec itself; an instance's own attribute, the made metric, goes before it."""
        return self

    def make(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry)


class HistogramSpec(MetricSpec):
    """A distribution over fixed buckets, with its count and sum."""

    kind = "histogram"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Histogram: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Histogram:
        """The spec itself; an instance's own attribute, the made metric, goes before it."""
        return self

    def make(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


class MetricSet:
    """A group of metrics in one registry. The made metrics are plain attributes: reading one costs a dict lookup."""

    title: ClassVar[str] = ""

    def __init__(self, registry: CollectorRegistry) -> None:
        # One `_created` series beside every counter would nearly double the page and says nothing that we use.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        for attribute, spec in self._by_attribute().items():
            self.__dict__[attribute] = spec.make(registry)

    @classmethod
    def specs(cls) -> tuple[MetricSpec, ...]:
        """The specs of this set in the order of the source."""
        return tuple(cls._by_attribute().values())

    @classmethod
    def _by_attribute(cls) -> dict[str, MetricSpec]:
        return {name: value for name, value in vars(cls).items() if isinstance(value, MetricSpec)}


# Stream time moves in ticks of 250 ms, and the Collector's default wait is 30 s.
DECISION_LATENCY_BUCKETS: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 35.0, 45.0, 60.0, 120.0, 300.0, 600.0)
RECOVERY_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class WorkerMetrics(MetricSet):
    """What a worker tells of itself."""

    title = "Worker"

    spans_received_total = CounterSpec("Spans read from the span topic.")
    records_received_total = CounterSpec("Records read from the span topic.")
    received_bytes_total = CounterSpec("Bytes of record values read from the span topic.")
    traces_started_total = CounterSpec("Traces seen for the first time.")
    traces_decided_total = CounterSpec(
        "Traces decided: sampled, not_sampled, or dropped (a drop policy spoke).", ("decision",)
    )
    spans_decided_total = CounterSpec("Spans of the traces decided, exact copies included.", ("decision",))
    policy_traces_total = CounterSpec(
        "Traces decided by each policy; `policy` is the path that decided (outer/inner), behind its tenant's name.",
        ("policy", "decision"),
    )
    tenant_traces_total = CounterSpec(
        "Traces decided by the policies of a tenant; all others were decided by the default ones.",
        ("tenant", "decision"),
    )
    tenant_spans_total = CounterSpec(
        "Spans of the traces decided by the policies of a tenant, exact copies included.", ("tenant", "decision")
    )
    policy_errors_total = CounterSpec(
        "Traces on which a policy raised, answered nonsense or was too slow; there it casts no vote.", ("policy",)
    )
    policy_too_slow_total = CounterSpec(
        "Traces on which a plugin's policy was not asked, because it had used up its share of the worker's time. They "
        "are among policy_errors.",
        ("policy",),
    )
    policy_seconds_total = CounterSpec("Time taken by policies of plugins.", ("policy",))
    matcher_errors_total = CounterSpec("Values on which the test of a condition raised; they count as not matching.")
    early_decisions_total = CounterSpec(
        "Traces decided before their wait was over: root_received, span_limit, too_large, table_full, topic_replaced.",
        ("reason",),
    )
    decision_latency_seconds = HistogramSpec(
        "Stream time from a trace's first span to its decision.", buckets=DECISION_LATENCY_BUCKETS
    )
    late_spans_total = CounterSpec("Spans that came after their trace's decision and followed it.", ("decision",))
    replayed_spans_skipped_total = CounterSpec(
        "Spans read again after a restart or rebalance whose trace had been handled; not emitted twice."
    )
    span_copies_removed_total = CounterSpec("Exact copies of a span left out of the output.")
    invalid_spans_total = CounterSpec("Spans left out because their trace id or span id is missing or malformed.")
    mispartitioned_spans_total = CounterSpec(
        "Spans read from another partition than the one their trace id hashes to: traces may be split over workers."
    )
    dead_letters_total = CounterSpec("Records sent whole to the dead-letter topic.", ("reason",))
    output_records_total = CounterSpec("Records the broker acknowledged on the sampled topic.")
    output_bytes_total = CounterSpec("Bytes of record values the broker acknowledged on the sampled topic.")
    output_failures_total = CounterSpec(
        "Times that the broker refused an output record or did not acknowledge it in time, by Kafka's name of the "
        "error. It is kept and sent again until it is taken.",
        ("error",),
    )
    output_limit_bytes = GaugeSpec(
        "Size to which traces for a topic are cut because it refused larger records: its max.message.bytes is below "
        "kafka.max_message_bytes. Without a value for topics that take all.",
        ("topic",),
    )
    fetching_paused = GaugeSpec(
        "1 while no spans are fetched for this reason: outputs_refused, outputs_slow (too much waits for "
        "acknowledgement), decisions_slow (the changelog of the decisions takes nothing), disk_full, memory.",
        ("reason",),
    )
    fetching_paused_seconds_total = CounterSpec("Time in which no spans were fetched, by reason.", ("reason",))
    spill_failing = GaugeSpec("1 while waiting spans cannot be put on disk and stay in memory.")
    disk_free_bytes = GaugeSpec("Free space of the disk with the data folder.")
    resident_bytes = GaugeSpec("Memory of the process, of all its libraries.")
    memory_limit_bytes = GaugeSpec("Limit of the memory, the configuration's or the container's; 0 for none.")
    memory_used_bytes = GaugeSpec("What is held against the limit: of the process, or of all in its container.")
    memory_level = GaugeSpec("0 below worker.memory.soft_percent of the limit, 1 above it, 2 above hard_percent.")
    largest_tick_traces = GaugeSpec(
        "Most traces of one partition written out together since the start: what a crash may write twice, a partition."
    )
    outputs_unacknowledged = GaugeSpec("Output records handed to the producer and not acknowledged yet.")
    traces_buffered = GaugeSpec("Undecided traces in the trace table.")
    spans_buffered = GaugeSpec("Spans of undecided traces in the trace table.")
    buffered_bytes = GaugeSpec("Bytes of undecided traces, by where they lie: memory or disk.", ("place",))
    remembered_decisions = GaugeSpec("Decisions remembered for late spans.")
    retained_traces = GaugeSpec("Dropped traces kept on disk for a second look, where `retain_dropped` is set.")
    retained_bytes = GaugeSpec("Bytes of the dropped traces kept for a second look.")
    retained_traces_forgotten_total = CounterSpec(
        "Dropped traces forgotten before the time of `retain_dropped`: the limit on their bytes was reached, or the "
        "disk failed."
    )
    second_look_traces_total = CounterSpec(
        "Dropped traces that were written after all: resurrected (late spans made the policies keep them) or rescued "
        "(an operator asked for them). They stay counted in traces_decided as they were decided first.",
        ("reason",),
    )
    watermark_lag_seconds = GaugeSpec(
        "Stream time between the newest record read and the oldest record still needed: what a crash would read again. "
        "The largest over this worker's partitions."
    )
    consumer_lag_records = GaugeSpec("Records in the span topic not read yet, summed over this worker's partitions.")
    offset_gaps_total = CounterSpec(
        "Jumps in a partition's offsets: records that retention removed before they were read."
    )
    rebalances_total = CounterSpec("Assignments of partitions received from the group.")
    recovery_seconds = HistogramSpec(
        "Time from an assignment until its decision tables were read back.", buckets=RECOVERY_BUCKETS
    )
    table_recovering = GaugeSpec("1 while decision tables are being read back; the worker is not ready then.")
    partitions_assigned = GaugeSpec("Partitions of the span topic this worker owns.")
    clock_skew_seconds = GaugeSpec(
        "How far the newest record timestamp lies ahead of this machine's clock; 0 where it does not."
    )
    policy_set_info = GaugeSpec(
        "1 for the running policies: their name, their `version:` and the first digits of their content hash. Two "
        "hashes in one tier mean workers that disagree.",
        ("name", "version", "hash"),
    )
    policy_set_loaded_timestamp_seconds = GaugeSpec("When the running policies were taken, as Unix time.")
    policy_reloads_total = CounterSpec(
        "Changed policy files: success (it runs now), unchanged (it says what runs already), or failure (it cannot be "
        "used; the policies before it run on).",
        ("outcome",),
    )
    policy_reload_failed = GaugeSpec("1 while the policy file, as it is now, cannot be used.")
    traces_rescanned_total = CounterSpec(
        "Traces that were pending at a reload and read again for the conditions of the new policies."
    )

    def set_policy_set(self, name: str, version: str, short_hash: str) -> None:
        """Name the running policy set; the one named before disappears."""
        self.policy_set_info.clear()
        self.policy_set_info.labels(name=name, version=version, hash=short_hash).set(1)


def observe_many(histogram: Histogram, value: float, count: int) -> None:
    """Observe the same value `count` times, at the cost of one: a tick decides thousands of traces of one age."""
    histogram._sum.inc(value * count)
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):
        if value <= bound:
            bucket.inc(count)
            break

"""What a worker tells of itself."""

from __future__ import annotations

from typing import Final, get_args

from policies.verdict import Decision
from sampler.engine.tally import SPAN_BOUNDS
from sampler.metrics.specs import CounterSpec, GaugeSpec, HistogramSpec, MetricSet

# Stream time moves in ticks of 250 ms, and the Collector's default wait is 30 s.
DECISION_LATENCY_BUCKETS: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 35.0, 45.0, 60.0, 120.0, 300.0, 600.0)
RECOVERY_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
BATCH_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
RATE_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 10_000.0)
DECISION: Final = {"decision": get_args(Decision)}
PAUSES: Final = ("outputs_refused", "outputs_slow", "decisions_slow", "disk_full", "memory")
STORES: Final = ("decisions", "spans", "retained")


class WorkerMetrics(MetricSet):
    """What a worker tells of itself."""

    title = "Worker"

    spans_received_total = CounterSpec("Spans read from the span topic.")
    records_received_total = CounterSpec("Records read from the span topic.")
    received_bytes_total = CounterSpec("Bytes of record values read from the span topic.")
    traces_started_total = CounterSpec("Traces seen for the first time.")
    traces_decided_total = CounterSpec(
        "Traces decided: sampled, not_sampled, or dropped (a drop policy spoke).", DECISION
    )
    spans_decided_total = CounterSpec("Spans of the traces decided, exact copies included.", DECISION)
    decided_bytes_total = CounterSpec("Bytes of the traces decided, as they came.", DECISION)
    rootless_traces_total = CounterSpec("Traces decided without a root span: it is late, or was never sent.")
    trace_spans = HistogramSpec("Spans of the traces decided.", buckets=tuple(map(float, SPAN_BOUNDS)))
    sampling_rate = HistogramSpec(
        "For how many traces each kept one stands: 1 / its probability, incoming_probability left out. 0 for a trace "
        "that was kept beside the sample.",
        buckets=RATE_BUCKETS,
    )
    policy_traces_total = CounterSpec(
        "Traces decided by each policy; `policy` is the path that decided (outer/inner), behind its tenant's name.",
        ("policy", "decision"),
    )
    policy_spans_total = CounterSpec("Spans of the traces decided by each policy.", ("policy", "decision"))
    policy_bytes_total = CounterSpec("Bytes of the traces decided by each policy.", ("policy", "decision"))
    policy_represented_traces_total = CounterSpec(
        "Traces for which those stand that each policy kept. Its growth, divided by that of policy_traces_total with "
        "decision=sampled, is the effective sampling rate of the policy.",
        ("policy",),
    )
    service_received_spans_total = CounterSpec(
        "Spans read by service (worker.metrics.services; the rest as `other`), spans with invalid ids included.",
        ("service",),
    )
    service_received_bytes_total = CounterSpec("Bytes read by service, of their ResourceSpans.", ("service",))
    service_sampled_spans_total = CounterSpec(
        "Spans handed to the producer by service, late ones included.", ("service",)
    )
    service_sampled_bytes_total = CounterSpec("Bytes handed to the producer by service.", ("service",))
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
        "Traces decided before their wait was over: root_received, span_limit, too_large, table_full, topic_replaced, "
        "overload, shutdown.",
        {
            "reason": (
                "root_received",
                "span_limit",
                "too_large",
                "table_full",
                "topic_replaced",
                "overload",
                "shutdown",
            )
        },
    )
    decision_latency_seconds = HistogramSpec(
        "Stream time from a trace's first span to its decision. OpenMetrics carries ids of kept traces as exemplars.",
        buckets=DECISION_LATENCY_BUCKETS,
    )
    batch_seconds = HistogramSpec(
        "Time to take one fetched batch: scanning it, deciding what falls due and handing out what is kept.",
        buckets=BATCH_BUCKETS,
    )
    late_spans_total = CounterSpec("Spans that came after their trace's decision and followed it.", DECISION)
    replayed_spans_skipped_total = CounterSpec(
        "Spans read again after a restart or rebalance whose trace had been handled; not emitted twice."
    )
    span_copies_removed_total = CounterSpec("Exact copies of a span left out of the output.")
    invalid_spans_total = CounterSpec("Spans left out because their trace id or span id is missing or malformed.")
    mispartitioned_spans_total = CounterSpec(
        "Spans read from another partition than the one their trace id hashes to: traces may be split over workers."
    )
    dead_letters_total = CounterSpec(
        "What was sent to the dead-letter topic: records that are not_otlp, whole, and spans that are span_too_large.",
        {"reason": ("not_otlp", "span_too_large")},
    )
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
        {"reason": PAUSES},
    )
    fetching_paused_seconds_total = CounterSpec("Time in which no spans were fetched, by reason.", {"reason": PAUSES})
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
    buffered_bytes = GaugeSpec("Bytes of undecided traces, by where they lie.", {"place": ("memory", "disk")})
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
        {"reason": ("resurrected", "rescued")},
    )
    watermark_lag_seconds = GaugeSpec(
        "Stream time between the newest record read and the oldest record still needed: what a crash would read again. "
        "The largest over this worker's partitions."
    )
    watermark_age_seconds = GaugeSpec(
        "Time since the oldest record was written that is still needed, because it is not decided or not read yet. "
        "The largest over this worker's partitions; 0 where nothing is needed. Live it is about decision_wait_seconds."
    )
    decision_wait_seconds = GaugeSpec("`decision_wait` of the running policies.")
    retention_seconds = GaugeSpec(
        "`retention.ms` of the span topic; 0 where it keeps records for ever, or is not known."
    )
    retention_used_ratio = GaugeSpec(
        "Share of the span topic's retention that the oldest needed record has used up, in time or in bytes, whichever "
        "is more. At 1 the broker deletes spans that were not decided."
    )
    consumer_lag_records = GaugeSpec("Records in the span topic not read yet, summed over this worker's partitions.")
    offset_gaps_total = CounterSpec(
        "Jumps in a partition's offsets: records that retention removed before they were read."
    )
    rebalances_total = CounterSpec("Assignments of partitions received from the group.")
    rebalance_seconds = HistogramSpec(
        "Time from giving up partitions until the next assignment, in which nothing is decided.",
        buckets=RECOVERY_BUCKETS,
    )
    lease_losses_total = CounterSpec(
        "Times that no heartbeat was answered for half a session, so that what was gathered was dropped and read again."
    )
    partition_restarts_total = CounterSpec("Times that a partition was read again from its watermark.")
    recovery_seconds = HistogramSpec(
        "Time from an assignment until its decision tables were read back.", buckets=RECOVERY_BUCKETS
    )
    table_recovering = GaugeSpec("1 while decision tables are being read back; the worker is not ready then.")
    recovery_remaining_records = GaugeSpec("Records of the decision tables still to be read back in this recovery.")
    recovered_records_total = CounterSpec(
        "Records of the decision tables that were read back ahead of Faust's recovery."
    )
    rocksdb_disk_bytes = GaugeSpec("Size of RocksDB's files, by what lies in them.", {"store": STORES})
    rocksdb_memory_bytes = GaugeSpec(
        "Memory of RocksDB's write buffers and table readers, by what lies there.", {"store": STORES}
    )
    rocksdb_pending_compaction_bytes = GaugeSpec("Bytes that RocksDB has yet to compact.", {"store": STORES})
    kafka_brokers_up = GaugeSpec("Brokers that the span fetcher is connected to.")
    kafka_throttle_seconds = GaugeSpec("Longest delay by a quota that a broker has lately put on the span fetcher.")
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
        {"outcome": ("success", "unchanged", "failure")},
    )
    policy_reload_failed = GaugeSpec("1 while the policy file, as it is now, cannot be used.")
    traces_rescanned_total = CounterSpec(
        "Traces that were pending at a reload and read again for the conditions of the new policies."
    )

    def set_policy_set(self, name: str, version: str, short_hash: str) -> None:
        """Name the running policy set; the one named before disappears."""
        self.policy_set_info.clear()
        self.policy_set_info.labels(name=name, version=version, hash=short_hash).set(1)

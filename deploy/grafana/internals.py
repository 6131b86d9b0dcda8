"""The dashboard of a worker's inside: table, outputs, memory, disk, group and recovery."""

from __future__ import annotations

from deploy.grafana.charts import Board, Chart, Query, Row, Unit, mean, quantiles, rate


def each(title: str, description: str, unit: Unit, *metrics: str) -> Chart:
    """A chart of gauges, one line a worker and metric."""
    queries = (
        Query(f"sum by (instance, process) ({name}<>)", "{{instance}} {{process}}" + _short(name, metrics))
        for name in metrics
    )
    return Chart(title, description, unit, tuple(queries))


def _short(name: str, metrics: tuple[str, ...]) -> str:
    return "" if len(metrics) == 1 else " " + name.removeprefix("tailsampler_").replace("_", " ")


TABLE = Row(
    "Trace table",
    (
        each("Undecided traces", "In the trace table.", "short", "tailsampler_traces_buffered"),
        each("Undecided spans", "In the trace table.", "short", "tailsampler_spans_buffered"),
        Chart(
            "Undecided bytes", "By where they lie.", "bytes",
            (Query("sum by (instance, place) (tailsampler_buffered_bytes<>)", "{{instance}} {{place}}"),), "stack",
        ),
        each("Remembered decisions", "For late spans.", "short", "tailsampler_remembered_decisions"),
        Chart(
            "Late spans", "That followed their trace's decision; replayed ones were handled before.", "ops",
            (
                rate("tailsampler_late_spans_total", by="decision"),
                Query("sum(rate(tailsampler_replayed_spans_skipped_total<>[R]))", "replayed"),
                Query("sum(rate(tailsampler_span_copies_removed_total<>[R]))", "copies"),
            ),
        ),
        Chart(
            "Spans of a trace", "When it is decided.", "short",
            quantiles("tailsampler_trace_spans", 0.5, 0.9, 0.99),
        ),
        each(
            "Dropped traces kept", "For a second look.", "bytes", "tailsampler_retained_bytes",
        ),
        Chart(
            "Traces", "Begun, scanned again after a reload, forgotten before a second look.", "ops",
            (
                Query("sum(rate(tailsampler_traces_started_total<>[R]))", "begun"),
                Query("sum(rate(tailsampler_traces_rescanned_total<>[R]))", "scanned again"),
                Query("sum(rate(tailsampler_retained_traces_forgotten_total<>[R]))", "forgotten"),
            ),
        ),
        each("Watermark lag", "What a crash would read again.", "s", "tailsampler_watermark_lag_seconds"),
    ),
)  # fmt: skip

WORK = Row(
    "Work",
    (
        Chart(
            "Time for a batch", "Scanning, deciding and handing out one fetched batch.", "s",
            quantiles("tailsampler_batch_seconds", 0.5, 0.9, 0.99),
        ),
        Chart(
            "Records", "Read from the span topic, and acknowledged on the sampled one.", "ops",
            (
                Query("sum(rate(tailsampler_records_received_total<>[R]))", "read"),
                Query("sum(rate(tailsampler_output_records_total<>[R]))", "written"),
            ),
        ),
        each("Outputs unacknowledged", "Handed to the producer.", "short", "tailsampler_outputs_unacknowledged"),
        Chart(
            "Not fetching", "Seconds a second in which no spans are fetched, by reason.", "percentunit",
            (rate("tailsampler_fetching_paused_seconds_total", by="instance, reason"),),
        ),
        Chart(
            "Refused outputs", "By Kafka's name of the error; they are sent again.", "ops",
            (rate("tailsampler_output_failures_total", by="error"),),
        ),
        each("Largest tick", "Traces of a partition written out together.", "short", "tailsampler_largest_tick_traces"),
    ),
)  # fmt: skip

RESOURCES = Row(
    "Memory and disk",
    (
        each("Memory", "Used and allowed.", "bytes", "tailsampler_memory_used_bytes", "tailsampler_memory_limit_bytes"),
        each("Memory level", "1 above soft_percent, 2 above hard_percent.", "short", "tailsampler_memory_level"),
        each("Free disk", "With the data folder; nothing spills when full.", "bytes", "tailsampler_disk_free_bytes"),
        Chart(
            "RocksDB on disk", "By what lies there.", "bytes",
            (Query("sum by (store) (tailsampler_rocksdb_disk_bytes<>)", "{{store}}"),), "stack",
        ),
        Chart(
            "RocksDB in memory", "Write buffers and table readers.", "bytes",
            (Query("sum by (store) (tailsampler_rocksdb_memory_bytes<>)", "{{store}}"),), "stack",
        ),
        Chart(
            "RocksDB to compact", "Bytes yet to be compacted.", "bytes",
            (Query("sum by (store) (tailsampler_rocksdb_pending_compaction_bytes<>)", "{{store}}"),),
        ),
        each("Spill failing", "1 while spans cannot be put on disk.", "bool", "tailsampler_spill_failing"),
        each("Open files", "File descriptors.", "short", "process_open_fds", "process_max_fds"),
        each("Resident size", "As the worker sees itself.", "bytes", "tailsampler_resident_bytes"),
    ),
)  # fmt: skip

GROUP = Row(
    "Group and recovery",
    (
        each("Partitions", "Of the span topic, by worker.", "short", "tailsampler_partitions_assigned"),
        Chart(
            "Rebalances", "Assignments within the last hour; lost leases; partitions read again.", "short",
            (
                Query("sum by (instance) (increase(tailsampler_rebalances_total<>[1h]))", "{{instance}}"),
                Query("sum by (instance) (increase(tailsampler_lease_losses_total<>[1h]))", "{{instance}} lease lost"),
                Query("sum by (instance) (increase(tailsampler_partition_restarts_total<>[1h]))", "{{instance}} again"),
            ),
        ),
        Chart(
            "Time without decisions", "Of a rebalance, and of reading tables back: the mean of all so far.", "s",
            (
                mean("tailsampler_rebalance_seconds", "rebalance"),
                mean("tailsampler_recovery_seconds", "recovery"),
            ),
        ),
        each(
            "Recovery", "1 while tables are read back.", "bool", "tailsampler_table_recovering",
        ),
        Chart(
            "Records to recover", "Still to be read back, and read back a second.", "short",
            (
                Query("sum by (instance) (tailsampler_recovery_remaining_records<>)", "{{instance}} remaining"),
                rate("tailsampler_recovered_records_total", "{{instance}} a second", by="instance"),
            ),
        ),
        each("Brokers", "That the span fetcher is connected to.", "short", "tailsampler_kafka_brokers_up"),
        each("Throttled", "Delay by a quota of the brokers.", "s", "tailsampler_kafka_throttle_seconds"),
        each("Clock skew", "How far records lie ahead of the clock.", "s", "tailsampler_clock_skew_seconds"),
        Chart(
            "Agents", "Bytes that wait for Kafka, and records that it did not take.", "short",
            (
                Query("sum by (instance) (tailsampler_agent_buffered_bytes<>)", "{{instance}} bytes"),
                rate("tailsampler_agent_records_failed_total", "{{instance}} failed a second", by="instance"),
            ),
        ),
    ),
)  # fmt: skip

INTERNALS = Board(
    "tailsampler-internals",
    "tailsampler / Worker internals",
    "Table, outputs, memory, disk, group and recovery of the workers.",
    (TABLE, WORK, RESOURCES, GROUP),
)

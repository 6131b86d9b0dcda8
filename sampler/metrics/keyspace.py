"""What a worker tells of the exchange of counts with the other workers."""

from __future__ import annotations

from sampler.metrics.specs import CounterSpec, GaugeSpec, MetricSet


class KeyspaceMetrics(MetricSet):
    """Metrics of the exchange; they stay at 0 where no policy has a rate or budget of the whole tier."""

    title = "Worker: exchange of counts over the tier"

    keyspace_stale = GaugeSpec(
        "Limiters, each counted once for every partition of this worker, that were last decided without complete sums "
        "of the tier: with those of a few intervals before (older), or with the partition's own counts and an equal "
        "share of the budget (alone).",
        {"sums": ("older", "alone")},
    )
    keyspace_sums_total = CounterSpec(
        "Times that a limiter asked for the counts of all partitions, by what it was given: those of the interval it "
        "asked for (complete), of one shortly before (older), or the partition's own (alone).",
        {"sums": ("complete", "older", "alone")},
    )
    keyspace_lag_seconds = GaugeSpec(
        "How long this worker has waited for its own record to come back from the keyspace topic; 0 below 5 s. Above, "
        "it goes by its own counts and an equal share."
    )
    keyspace_records_read_total = CounterSpec("Records read from the keyspace topic.")
    keyspace_records_rejected_total = CounterSpec(
        "Records of the keyspace topic that were skipped because no worker can have written them."
    )
    keyspace_records_written_total = CounterSpec("Records that the broker acknowledged on the keyspace topic.")
    keyspace_records_lost_total = CounterSpec(
        "Records for the keyspace topic that the broker did not take in time; later ones take their place."
    )
    keyspace_keys = GaugeSpec("Keys held in memory, over all policies, partitions and intervals of the exchange.")
    keyspace_left_out_total = CounterSpec(
        "What was not exchanged: keys of an interval with too many of them, or too long (too_many_keys), counts of a "
        "policy that are no numbers (not_numbers), intervals for which there was no room in memory (no_room).",
        {"reason": ("too_many_keys", "not_numbers", "no_room")},
    )

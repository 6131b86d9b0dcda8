"""What the agent tells of the topics that it reads."""

from __future__ import annotations

from sampler.metrics.specs import PREFIX, CounterSpec, GaugeSpec, MetricSet

LETTER_REASONS = ("not_otlp", "too_large")


class SourceMetrics(MetricSet):
    """Counters of one agent's Kafka source."""

    title = "Agent: Kafka source"
    prefix = PREFIX + "agent_source_"

    records_total = CounterSpec("Records read from the topics of agent.kafka_source.")
    received_bytes_total = CounterSpec("Bytes of their values.")
    dead_letters_total = CounterSpec("Records sent to the dead-letter topic.", {"reason": LETTER_REASONS})
    retries_total = CounterSpec("Times that spans read were handed to Kafka again, because it had not taken them.")
    commits_total = CounterSpec("Commits of offsets that Kafka has taken.")
    in_flight_bytes = GaugeSpec("Bytes of records read whose spans Kafka has not acknowledged yet.")
    lag_records = GaugeSpec("Records not read yet in the partitions that this agent has.")
    partitions_assigned = GaugeSpec("Partitions that this agent reads.")

"""The dashboard to begin with: what comes in, what is kept, whether anything is lost or late."""

from __future__ import annotations

from deploy.grafana.charts import Board, Chart, Query, Row, quantiles, rate

KEPT_SHARE = (
    'sum(rate(tailsampler_traces_decided_total<decision="sampled">[R])) / '
    "sum(rate(tailsampler_traces_decided_total<>[R]))"
)


NOW = Row(
    "Now",
    (
        Chart(
            "Spans in", "Spans that workers read from the span topic.", "ops",
            (Query("sum(rate(tailsampler_spans_received_total<>[R]))"),), "number", 4, 4,
        ),
        Chart("Traces kept", "Share of the traces decided.", "percentunit", (Query(KEPT_SHARE),), "number", 4, 4),
        Chart(
            "Effective rate", "Traces for which a kept one stands, on average.", "short",
            (Query("sum(rate(tailsampler_sampling_rate_sum<>[R])) / sum(rate(tailsampler_sampling_rate_count<>[R]))"),),
            "number", 4, 4,
        ),
        Chart(
            "Processes not ready", "By their /readyz.", "short",
            (Query("count(tailsampler_ready<>) - sum(tailsampler_ready<>)"),), "number", 4, 4, ((1, "red"),),
        ),
        Chart(
            "Retention used", "By the oldest record that is still needed; at 100 % spans are lost.", "percentunit",
            (Query("max(tailsampler_retention_used_ratio<>)"),), "number", 4, 4, ((0.4, "orange"), (0.75, "red")),
        ),
        Chart(
            "Lost or dead-lettered", "Within the last hour: records deleted before they were read, and dead letters.",
            "short",
            (
                Query(
                    "sum(increase(tailsampler_offset_gaps_total<>[1h])) + "
                    "sum(increase(tailsampler_dead_letters_total<>[1h]))"
                ),
            ),
            "number", 4, 4, ((1, "red"),),
        ),
    ),
)  # fmt: skip

FLOW = Row(
    "Flow",
    (
        Chart(
            "Spans", "Accepted by agents, read by workers, decided, and late ones that followed a decision.", "ops",
            (
                Query("sum(rate(tailsampler_agent_spans_accepted_total<>[R]))", "agents"),
                Query("sum(rate(tailsampler_spans_received_total<>[R]))", "workers"),
                rate("tailsampler_spans_decided_total", by="decision"),
                Query("sum(rate(tailsampler_late_spans_total<>[R]))", "late"),
            ),
        ),
        Chart(
            "Traces decided", "By what was decided.", "ops",
            (rate("tailsampler_traces_decided_total", by="decision"),), "stack",
        ),
        Chart(
            "Time to decision", "Stream time from a trace's first span. Points are kept traces: a click opens one.",
            "s", quantiles("tailsampler_decision_latency_seconds", 0.5, 0.9, 0.99, exemplars=True),
        ),
        Chart(
            "Bytes", "Read from the span topic, and written to the sampled one.", "Bps",
            (
                Query("sum(rate(tailsampler_received_bytes_total<>[R]))", "read"),
                Query("sum(rate(tailsampler_output_bytes_total<>[R]))", "kept"),
            ),
        ),
        Chart(
            "Spans by service", "The ten services with most spans.", "ops",
            (Query("topk(10, sum by (service) (rate(tailsampler_service_received_spans_total<>[R])))", "{{service}}"),),
            "stack",
        ),
        Chart(
            "Kept bytes by service", "The ten services that cost most.", "Bps",
            (Query("topk(10, sum by (service) (rate(tailsampler_service_sampled_bytes_total<>[R])))", "{{service}}"),),
            "stack",
        ),
    ),
)  # fmt: skip

LAG = Row(
    "Lag",
    (
        Chart(
            "Age of the oldest needed record", "Live it is about the decision wait, the dashed line.", "s",
            (
                Query("max by (instance) (tailsampler_watermark_age_seconds<>)", "{{instance}}"),
                Query("max(tailsampler_decision_wait_seconds<>)", "decision wait"),
            ),
        ),
        Chart(
            "Retention used", "Share of the topic's retention, the worst worker.", "percentunit",
            (Query("max by (instance) (tailsampler_retention_used_ratio<>)", "{{instance}}"),),
        ),
        Chart(
            "Records not read", "By worker; with what exporters have not delivered, by backend.", "short",
            (
                Query("sum by (instance) (tailsampler_consumer_lag_records<>)", "{{instance}}"),
                Query("sum by (backend) (tailsampler_exporter_lag_records<>)", "backend {{backend}}"),
            ),
        ),
    ),
)  # fmt: skip

TROUBLE = Row(
    "What should not happen",
    (
        Chart(
            "Requests by outcome", "Export requests to the agents.", "ops",
            (rate("tailsampler_agent_requests_total", by="outcome"),), "stack",
        ),
        Chart(
            "Early decisions", "Traces decided before their wait was over.", "ops",
            (rate("tailsampler_early_decisions_total", by="reason"),),
        ),
        Chart(
            "Left out", "Spans and records that take no part in decisions.", "ops",
            (
                Query("sum(rate(tailsampler_invalid_spans_total<>[R]))", "invalid spans"),
                Query("sum(rate(tailsampler_mispartitioned_spans_total<>[R]))", "mispartitioned spans"),
                rate("tailsampler_dead_letters_total", "dead letters: {{reason}}", by="reason"),
                Query("sum(rate(tailsampler_offset_gaps_total<>[R]))", "gaps"),
            ),
        ),
        Chart(
            "Objectives", "Share of bad events in the last hour, which the objectives limit.", "percentunit",
            (
                Query("tailsampler:agent_requests_refused:ratio_rate1h", "requests refused"),
                Query("tailsampler:records_dead_lettered:ratio_rate1h", "dead letters"),
                Query("tailsampler:traces_decided_early:ratio_rate1h", "decided early"),
                Query("tailsampler:exporter_requests_failed:ratio_rate1h", "backend {{backend}}"),
            ),
        ),
        Chart(
            "Budget pressure", "What the policies want to keep, in parts of the budget: above 1 something is cut.",
            "short", (Query("max by (tenant) (tailsampler_budget_pressure<>)", "tenant {{tenant}}"),),
        ),
        Chart(
            "Agents: time to acknowledgement", "From handing a record to the producer until Kafka has it.", "s",
            quantiles("tailsampler_agent_ack_seconds", 0.5, 0.99),
        ),
    ),
)  # fmt: skip

BACKENDS = Row(
    "Backends",
    (
        Chart(
            "Spans delivered", "By backend.", "ops",
            (rate("tailsampler_exporter_sent_spans_total", by="backend"),),
        ),
        Chart(
            "Failed requests", "By backend and code; they are sent again.", "ops",
            (rate("tailsampler_exporter_failed_requests_total", by="backend, code"),),
        ),
        Chart(
            "Delay", "Age of the oldest record that a backend has not accepted.", "s",
            (Query("max by (backend) (tailsampler_exporter_lag_seconds<>)", "{{backend}}"),),
        ),
    ),
)  # fmt: skip

PROCESSES = Row(
    "Processes",
    (
        Chart(
            "CPU", "Seconds of CPU a second.", "short",
            (rate("process_cpu_seconds_total", by="instance, process"),),
        ),
        Chart(
            "Memory", "Resident size.", "bytes",
            (Query("sum by (instance, process) (process_resident_memory_bytes<>)", "{{instance}} {{process}}"),),
        ),
        Chart(
            "Builds", "What runs where.", "", (Query("tailsampler_build_info<>"),), "table",
        ),
    ),
)  # fmt: skip

OVERVIEW = Board(
    "tailsampler-overview",
    "tailsampler / Overview",
    "What comes in, what is kept, and whether anything is lost or late.",
    (NOW, FLOW, LAG, TROUBLE, BACKENDS, PROCESSES),
)

"""Alerts that are no burn rates: states that should not last, and events that should not happen."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Severity = Literal["critical", "warning", "info"]


class Alert(NamedTuple):
    """`wait` is how long it must hold. The runbook has a heading of its name."""

    name: str
    severity: Severity
    wait: str
    expr: str
    summary: str
    description: str

    def rule(self, runbook_url: str) -> dict[str, Any]:
        """As Prometheus wants it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.wait,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.description, "runbook_url": runbook_url},
        }


GROUPS: dict[str, tuple[Alert, ...]] = {
    "tailsampler.loss": (
        Alert(
            "TailsamplerSpansLost", "critical", "0m",
            "increase(tailsampler_offset_gaps_total[15m]) > 0 or "
            "increase(tailsampler_exporter_expired_records_total[15m]) > 0",
            "Records were deleted before they were read",
            "Retention has removed records of a topic that {{ $labels.instance }} had not read yet: their spans are "
            "lost.",
        ),
        Alert(
            "TailsamplerSpansDeadLettered", "warning", "0m",
            "increase(tailsampler_dead_letters_total[15m]) > 0 or "
            "increase(tailsampler_exporter_dead_letters_total[15m]) > 0 or "
            "increase(tailsampler_agent_source_dead_letters_total[15m]) > 0",
            "Spans went to the dead-letter topic",
            "{{ $labels.instance }} has put {{ $value | humanize }} records into the dead-letter topic within 15 "
            "minutes, reason {{ $labels.reason }}.",
        ),
        Alert(
            "TailsamplerSpansRejected", "warning", "0m",
            "increase(tailsampler_exporter_rejected_spans_total[15m]) > 0 or "
            "increase(tailsampler_agent_spans_rejected_total[15m]) > 0 or "
            "increase(tailsampler_invalid_spans_total[15m]) > 0",
            "Spans were thrown away as invalid",
            "{{ $labels.instance }} has seen {{ $value | humanize }} spans within 15 minutes that nothing can take.",
        ),
        Alert(
            "TailsamplerSpansMispartitioned", "warning", "10m",
            "rate(tailsampler_mispartitioned_spans_total[5m]) > 0",
            "Spans lie in the wrong partition",
            "What writes the span topic does not partition by trace id as the workers do: traces may be split over "
            "workers and decided in parts.",
        ),
    ),
    "tailsampler.lag": (
        Alert(
            "TailsamplerLagAgainstRetention", "critical", "5m", "tailsampler_retention_used_ratio > 0.75",
            "Undecided spans are about to be deleted by retention",
            "{{ $labels.instance }} still needs records that have used up {{ $value | humanizePercentage }} of the "
            "span topic's retention.",
        ),
        Alert(
            "TailsamplerLagAgainstRetention", "warning", "15m", "tailsampler_retention_used_ratio > 0.4",
            "Workers are far behind the span topic",
            "{{ $labels.instance }} still needs records that have used up {{ $value | humanizePercentage }} of the "
            "span topic's retention.",
        ),
        Alert(
            "TailsamplerWatermarkStale", "warning", "10m",
            "tailsampler_watermark_age_seconds > 2 * tailsampler_decision_wait_seconds + 300",
            "A worker does not get on",
            "The oldest record that {{ $labels.instance }} needs is {{ $value | humanizeDuration }} old, much more "
            "than the decision wait: nothing is decided, or no output is taken, or it cannot keep up.",
        ),
        Alert(
            "TailsamplerFetchingPaused", "warning", "5m", "tailsampler_fetching_paused == 1",
            "A worker reads nothing",
            "{{ $labels.instance }} has read no spans for five minutes, reason {{ $labels.reason }}.",
        ),
        Alert(
            "TailsamplerExporterBehind", "warning", "15m", "tailsampler_exporter_lag_seconds > 900",
            "Kept traces reach a backend late",
            "The oldest record that backend {{ $labels.backend }} has not accepted is {{ $value | humanizeDuration }} "
            "old.",
        ),
    ),
    "tailsampler.processes": (
        Alert(
            "TailsamplerNotReady", "critical", "5m", "tailsampler_ready == 0",
            "A process is not ready",
            "{{ $labels.instance }} says for five minutes that it cannot do its work; its /readyz tells why.",
        ),
        Alert(
            "TailsamplerProcessDown", "critical", "2m", "tailsampler_process_up == 0",
            "A process of `tailsampler run` does not answer",
            "{{ $labels.part }} on {{ $labels.instance }} gives no metrics.",
        ),
        Alert(
            "TailsamplerNoWorkers", "critical", "5m", 'absent(tailsampler_build_info{program="worker"})',
            "There are no workers",
            "No worker is scraped: no trace is decided, or Prometheus does not reach them.",
        ),
        Alert(
            "TailsamplerRecoverySlow", "warning", "5m", "tailsampler_table_recovering == 1",
            "A worker reads its decision tables for long",
            "{{ $labels.instance }} has not decided anything for five minutes, because its tables are being read back.",
        ),
        Alert(
            "TailsamplerRebalancing", "warning", "5m", "increase(tailsampler_rebalances_total[30m]) > 6",
            "The group of workers does not come to rest",
            "{{ $labels.instance }} has got its partitions {{ $value | humanize }} times within half an hour; nothing "
            "is decided meanwhile.",
        ),
        Alert(
            "TailsamplerDiskTrouble", "critical", "2m",
            'tailsampler_spill_failing == 1 or tailsampler_fetching_paused{reason="disk_full"} == 1',
            "The disk of a worker takes nothing",
            "{{ $labels.instance }} cannot put waiting spans on its disk: it is full, or fails.",
        ),
        Alert(
            "TailsamplerMemoryHigh", "warning", "5m", "tailsampler_memory_level == 2",
            "A worker is at its memory limit",
            "{{ $labels.instance }} has used more than worker.memory.hard_percent for five minutes.",
        ),
        Alert(
            "TailsamplerClockSkew", "warning", "10m", "tailsampler_clock_skew_seconds > 5",
            "Records come from the future",
            "Timestamps of the span topic lie {{ $value | humanizeDuration }} ahead of the clock of "
            "{{ $labels.instance }}: decisions are taken early, or one of the clocks is wrong.",
        ),
    ),
    "tailsampler.policies": (
        Alert(
            "TailsamplerReloadFailed", "warning", "1m", "tailsampler_policy_reload_failed == 1",
            "A policy file cannot be used",
            "{{ $labels.instance }} goes on with the policies before it; the log has file, line and reason.",
        ),
        Alert(
            "TailsamplerPolicySetsDiffer", "warning", "5m",
            "count by (namespace, job) (count by (namespace, job, hash) (tailsampler_policy_set_info)) > 1",
            "Workers decide by different policies",
            "{{ $value }} different policy sets run in {{ $labels.job }}: spans of one trace may be decided by either.",
        ),
        Alert(
            "TailsamplerPolicyErrors", "warning", "0m", "increase(tailsampler_policy_errors_total[15m]) > 0",
            "A policy fails",
            "Policy {{ $labels.policy }} has failed on {{ $value | humanize }} traces within 15 minutes and cast no "
            "vote on them.",
        ),
        Alert(
            "TailsamplerBudgetPressure", "warning", "30m",
            "max by (namespace, job, tenant) (tailsampler_budget_pressure) > 1",
            "The budget cuts what the policies want to keep",
            "The policies of tenant {{ $labels.tenant | printf \"%q\" }} want {{ $value | humanize }} times the budget "
            "for half an hour.",
        ),
        Alert(
            "TailsamplerTierSumsStale", "warning", "10m",
            'sum by (namespace, job) (tailsampler_keyspace_stale{sums="alone"}) > 0',
            "Rates of the tier are decided without its sums",
            "Partitions of {{ $labels.job }} decide by their own counts and an equal share, because no counts of the "
            "others come.",
        ),
    ),
    "tailsampler.backends": (
        Alert(
            "TailsamplerBackendFailing", "critical", "15m", "tailsampler_exporter_backend_failing == 1",
            "A backend takes nothing",
            "Backend {{ $labels.backend }} has accepted no request of {{ $labels.instance }} for 15 minutes. Nothing "
            "is lost while the sampled topic holds it.",
        ),
    ),
}  # fmt: skip

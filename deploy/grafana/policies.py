"""The dashboard of decisions: which policy keeps how much, at which rate, and which one fails."""

from __future__ import annotations

from deploy.grafana.charts import Board, Chart, Query, Row, quantiles, rate

DECISIONS = Row(
    "Decisions",
    (
        Chart(
            "Traces kept by policy", "By the policy that decided.", "ops",
            (rate("tailsampler_policy_traces_total", by="policy", where='decision="sampled"'),), "stack",
        ),
        Chart(
            "Traces dropped by policy", "Traces of drop policies.", "ops",
            (rate("tailsampler_policy_traces_total", by="policy", where='decision="dropped"'),), "stack",
        ),
        Chart(
            "Share of kept traces", "Of all traces that were kept, by policy.", "percentunit",
            (
                Query(
                    'sum by (policy) (rate(tailsampler_policy_traces_total<decision="sampled">[R])) / ignoring(policy) '
                    'group_left sum(rate(tailsampler_policy_traces_total<decision="sampled">[R]))',
                    "{{policy}}",
                ),
            ),
        ),
        Chart(
            "Kept spans by policy", "Spans of the traces that each policy kept.", "ops",
            (rate("tailsampler_policy_spans_total", by="policy", where='decision="sampled"'),), "stack",
        ),
        Chart(
            "Kept bytes by policy", "Bytes of the traces that each policy kept: what it costs.", "Bps",
            (rate("tailsampler_policy_bytes_total", by="policy", where='decision="sampled"'),), "stack",
        ),
        Chart(
            "Effective rate by policy", "Traces for which one stands that the policy kept, on average.", "short",
            (
                Query(
                    "sum by (policy) (rate(tailsampler_policy_represented_traces_total<>[R])) / "
                    'sum by (policy) (rate(tailsampler_policy_traces_total<decision="sampled">[R]))',
                    "{{policy}}",
                ),
            ),
        ),
        Chart(
            "Sampling rates", "Of kept traces: 1 is kept for sure.", "short",
            quantiles("tailsampler_sampling_rate", 0.5, 0.9, 0.99),
        ),
        Chart(
            "Rate by key", "Of policies that give every key a rate of its own: one trace in so many is kept.", "short",
            (Query("max by (policy, key) (tailsampler_dynamic_key_rate<>)", "{{policy}}: {{key}}"),),
        ),
        Chart(
            "Tenants", "Traces kept by the policies of each tenant.", "ops",
            (rate("tailsampler_tenant_traces_total", by="tenant", where='decision="sampled"'),), "stack",
        ),
    ),
)  # fmt: skip

BUDGETS = Row(
    "Budgets",
    (
        Chart(
            "Pressure", "What the policies want to keep, in parts of the budget.", "short",
            (Query("max by (tenant) (tailsampler_budget_pressure<>)", "tenant {{tenant}}"),),
        ),
        Chart(
            "Share that is kept", "Of what the policies want, by priority.", "percentunit",
            (Query("min by (tenant, priority) (tailsampler_budget_share<>)", "{{tenant}} priority {{priority}}"),),
        ),
        Chart(
            "Cut", "Traces that a policy would have kept and the budget did not.", "ops",
            (rate("tailsampler_budget_cut_traces_total", "tenant {{tenant}}", by="tenant"),),
        ),
    ),
)  # fmt: skip

TIER = Row(
    "Counts of the tier",
    (
        Chart(
            "Sums asked for", "By what the limiters were given: those of the interval, older or only their own.", "ops",
            (rate("tailsampler_keyspace_sums_total", by="sums"),), "stack",
        ),
        Chart(
            "Own record", "How long workers have waited for their own record to come back.", "s",
            (Query("max by (instance) (tailsampler_keyspace_lag_seconds<>)", "{{instance}}"),),
        ),
        Chart(
            "Keys", "Held in memory, and left out because there are too many.", "short",
            (
                Query("max by (instance) (tailsampler_keyspace_keys<>)", "{{instance}}"),
                rate("tailsampler_keyspace_left_out_total", "left out a second: {{reason}}", by="reason"),
            ),
        ),
    ),
)  # fmt: skip

TROUBLE = Row(
    "What goes wrong",
    (
        Chart(
            "Errors", "Traces on which a policy failed, by policy; there it casts no vote.", "ops",
            (
                rate("tailsampler_policy_errors_total", by="policy"),
                Query("sum(rate(tailsampler_matcher_errors_total<>[R]))", "conditions"),
            ),
        ),
        Chart(
            "Time of plugins", "Seconds a second.", "short",
            (
                rate("tailsampler_policy_seconds_total", by="policy"),
                rate("tailsampler_policy_too_slow_total", "{{policy}}, traces not asked about", by="policy"),
            ),
        ),
        Chart(
            "Traces without root", "Decided before a root span came.", "ops",
            (Query("sum(rate(tailsampler_rootless_traces_total<>[R]))", "without root"),),
        ),
        Chart(
            "Second looks", "Dropped traces that were written after all.", "ops",
            (rate("tailsampler_second_look_traces_total", by="reason"),),
        ),
        Chart(
            "Reloads", "Changed policy files by outcome, within the last hour.", "short",
            (Query("sum by (outcome) (increase(tailsampler_policy_reloads_total<>[1h]))", "{{outcome}}"),),
        ),
        Chart(
            "Running policies", "More than one line is a tier that disagrees.", "",
            (Query("count by (name, version, hash) (tailsampler_policy_set_info<>)"),), "table",
        ),
    ),
)  # fmt: skip

POLICIES = Board(
    "tailsampler-policies",
    "tailsampler / Policies",
    "Which policy keeps how much, at which rate, and which one fails.",
    (DECISIONS, BUDGETS, TIER, TROUBLE),
)

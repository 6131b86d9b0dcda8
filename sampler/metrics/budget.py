"""What a worker tells of budgets."""

from __future__ import annotations

from sampler.metrics.specs import CounterSpec, GaugeSpec, MetricSet


class BudgetMetrics(MetricSet):
    """Metrics of the budgets of a policy file; there are no series where it has none."""

    title = "Worker: budgets"

    budget_pressure = GaugeSpec(
        "What the policies want to keep, in parts of the budget, in the latest tick of any partition: above 1 "
        "something is cut; 0 where a minute long nothing was decided. The tenant is empty for the default policies.",
        ("tenant",),
    )
    budget_share = GaugeSpec(
        "What is kept of what the policies want, by priority (0 is the baseline), in the latest tick: 1 is all.",
        ("tenant", "priority"),
    )
    budget_cut_traces_total = CounterSpec("Traces that a policy would have kept and the budget did not.", ("tenant",))
    budget_cut_spans_total = CounterSpec("Spans of those traces.", ("tenant",))

"""Budgets in metrics, and in the log where one is exceeded."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from policies.any_set import AnyPolicySet
from policies.budgeted_set import BudgetedSet
from sampler.engine.settlement import EngineCounts
from sampler.metrics import BudgetMetrics

logger = logging.getLogger(__name__)

SAY_EVERY_S = 60.0
QUIET_S = 60.0
"""A budget under which nothing was decided for so long has no pressure."""


class BudgetReport:
    """Tells of the budgets of the policies that run."""

    def __init__(self, metrics: BudgetMetrics, policies: AnyPolicySet) -> None:
        self._metrics = metrics
        self._say_again_s: dict[str, float] = {}
        self._moved: dict[str, tuple[int, float]] = {}
        self._told: dict[str, set[int]] = {}
        self._budgets = policies.budgets
        self._begin()

    def use_policies(self, policies: AnyPolicySet) -> None:
        """Tell of these from now on; budgets that are gone have no pressure any more."""
        self._budgets = policies.budgets
        self._metrics.budget_pressure.clear()
        self._metrics.budget_share.clear()
        self._moved, self._told = {}, {}
        self._begin()

    def report(self, counts: EngineCounts, now_s: float) -> None:
        """Bring the metrics up to date, and say once a minute what is cut."""
        for tenant, traces in counts.budget_traces.items():
            self._metrics.budget_cut_traces_total.labels(tenant).inc(traces)
            self._metrics.budget_cut_spans_total.labels(tenant).inc(counts.budget_spans[tenant])
        for tenant, budget in self._budgets.items():
            ticks, since_s = self._moved.get(tenant, (-1, now_s))
            if budget.ticks != ticks:
                self._moved[tenant] = budget.ticks, now_s
                self._tell(tenant, budget, now_s)
            elif now_s - since_s >= QUIET_S:
                self._set(tenant, 0.0, {})

    def _tell(self, tenant: str, budget: BudgetedSet, now_s: float) -> None:
        self._set(tenant, budget.pressure, budget.shares)
        if budget.pressure > 1 and now_s >= self._say_again_s.get(tenant, 0.0):
            self._say_again_s[tenant] = now_s + SAY_EVERY_S
            kept = ", ".join(f"{share:.1%} of priority {priority}" for priority, share in budget.shares.items())
            logger.warning(
                "budget%s: the policies want %.0f %s per second, %.2f times what there is: keeping %s",
                f" of tenant {tenant}" if tenant else "", budget.pressure * budget.rule.per_second,
                budget.rule.unit, budget.pressure, kept,
            )  # fmt: skip

    def _set(self, tenant: str, pressure: float, shares: Mapping[int, float]) -> None:
        self._metrics.budget_pressure.labels(tenant).set(pressure)
        told = self._told.setdefault(tenant, set())
        told.update(shares)
        for priority in told:
            # Nothing is wanted of one that has none, so nothing of it is cut.
            self._metrics.budget_share.labels(tenant, str(priority)).set(shares.get(priority, 1.0))

    def _begin(self) -> None:
        """Series that alerts speak of are there before anything happens."""
        for tenant in self._budgets:
            self._metrics.budget_pressure.labels(tenant)
            self._metrics.budget_cut_traces_total.labels(tenant)
            self._metrics.budget_cut_spans_total.labels(tenant)

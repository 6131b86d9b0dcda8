"""What goes wrong in policies, told: as metrics at every report, in the log once a minute, on the status page."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from prometheus_client import Counter as PrometheusCounter

from policies.any_set import AnyPolicySet
from sampler.metrics import WorkerMetrics
from sampler.otlp import ScanPlan

logger = logging.getLogger(__name__)

SAY_EVERY_S = 60.0


class PolicyTrouble:
    """Follows the counts of the running policy set, and of the matchers in its scan plan."""

    def __init__(self, metrics: WorkerMetrics, policies: AnyPolicySet) -> None:
        self._metrics = metrics
        self._policies = policies
        self._plan: ScanPlan | None = None
        self._seen: Counter[tuple[str, str]] = Counter()
        self._matcher_errors = 0
        self._unsaid: Counter[str] = Counter()
        self._last_errors: dict[str, str] = {}
        """Those of the policies before a reload too."""
        self._unsaid_matcher_errors = 0
        self._say_again_s: dict[str, float] = {}
        self._begin()

    def use_policies(self, policies: AnyPolicySet) -> None:
        """Another set runs from now on; it counts from 0."""
        if policies is self._policies:
            return
        self._count_policies()
        self._policies = policies
        self._seen.clear()
        self._begin()

    def _begin(self) -> None:
        """Every policy has its series from the start: the first error would not be seen as growth."""
        for name in self._policies.names:
            self._metrics.policy_errors_total.labels(policy=name)

    def report(self, plan: ScanPlan, now_s: float) -> None:
        """Bring the metrics up to date, and say what is new. `plan` is the one in use."""
        self._count_policies()
        self._count_matchers(plan)
        for policy, count in list(self._unsaid.items()):
            if self._may_say(policy, now_s):
                del self._unsaid[policy]
                logger.warning(
                    "policy %s failed %d times since this was last said, and cast no vote (or kept the trace, by its "
                    "on_error); the last time: %s",
                    policy, count, self._last_errors[policy],
                )  # fmt: skip
        if self._unsaid_matcher_errors and self._may_say("", now_s):
            count, self._unsaid_matcher_errors = self._unsaid_matcher_errors, 0
            logger.warning("the test of a condition raised for %d values, which count as not matching", count)

    def section(self) -> dict[str, Any]:
        """What the status page shows: policies of the running set that failed, with their counts and last errors."""
        policies = self._policies
        return {
            name: {
                "failed": count,
                "of_these_too_slow": policies.too_slow.get(name, 0),
                "last_error": policies.last_errors[name],
            }
            for name, count in sorted(policies.errors.items())
        }

    def _count_policies(self) -> None:
        metrics, policies = self._metrics, self._policies
        self._last_errors.update(policies.last_errors)
        for name, total in policies.errors.items():
            self._unsaid[name] += int(self._catch_up(metrics.policy_errors_total, "errors", name, total))
        for name, total in policies.too_slow.items():
            self._catch_up(metrics.policy_too_slow_total, "too slow", name, total)
        for name, seconds in policies.seconds.items():
            self._catch_up(metrics.policy_seconds_total, "seconds", name, seconds)
        self._unsaid += Counter()  # keeps what is above 0

    def _catch_up(self, counter: PrometheusCounter, what: str, policy: str, total: float) -> float:
        new = total - self._seen[what, policy]
        counter.labels(policy=policy).inc(new)
        self._seen[what, policy] = total  # type: ignore[assignment]  # a Counter of seconds, too
        return new

    def _count_matchers(self, plan: ScanPlan) -> None:
        """Counts what the plan before has seen last, too."""
        before, self._plan = self._plan, plan
        if before is not None:
            self._add_matcher_errors(before.matcher_errors - self._matcher_errors)
        if before is not plan:
            self._matcher_errors = 0
            self._add_matcher_errors(plan.matcher_errors)

    def _add_matcher_errors(self, new: int) -> None:
        self._matcher_errors += new
        self._unsaid_matcher_errors += new
        self._metrics.matcher_errors_total.inc(new)

    def _may_say(self, what: str, now_s: float) -> bool:
        if now_s < self._say_again_s.get(what, now_s):
            return False
        self._say_again_s[what] = now_s + SAY_EVERY_S
        return True

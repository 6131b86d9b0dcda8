"""The rates that policies give to keys, as metrics."""

from __future__ import annotations

from itertools import islice

from policies.any_set import AnyPolicySet
from sampler.metrics.dynamic import DynamicMetrics

LOOK_EVERY_S = 10.0


class KeyReport:
    """Looks at the running policies every few seconds; at most `most` keys of a policy have series."""

    def __init__(self, metrics: DynamicMetrics, policies: AnyPolicySet, most: int) -> None:
        self._metrics = metrics
        self._policies = policies
        self._most = most
        self._look_again_s = 0.0
        self._told: set[tuple[str, str]] = set()

    def use_policies(self, policies: AnyPolicySet) -> None:
        """Another set runs from now on."""
        self._policies = policies

    def report(self, now_s: float) -> None:
        """Bring the metrics up to date, if it is time to; keys that are no longer among the first lose their series."""
        if now_s < self._look_again_s or not self._most:
            return
        self._look_again_s = now_s + LOOK_EVERY_S
        rates = self._policies.rates
        told = {(policy, key): rate for policy, of in rates.items() for key, rate in islice(of.items(), self._most)}
        for gone in self._told - told.keys():
            self._metrics.dynamic_key_rate.remove(*gone)
        for (policy, key), rate in told.items():
            self._metrics.dynamic_key_rate.labels(policy=policy, key=key).set(rate)
        self._told = set(told)
        self._metrics.dynamic_keys.clear()
        for policy, of in rates.items():
            self._metrics.dynamic_keys.labels(policy=policy).set(len(of))

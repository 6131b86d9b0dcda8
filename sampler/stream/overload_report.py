"""Overload in metrics, and in the log when it begins and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sampler.engine.partition import PartitionEngine
from sampler.metrics import OverloadMetrics

logger = logging.getLogger(__name__)


class OverloadReport:
    """Tells whether new traces are refused."""

    def __init__(self, metrics: OverloadMetrics) -> None:
        self._metrics = metrics
        self._active = False

    def report(self, engines: Iterable[PartitionEngine]) -> None:
        """Look once."""
        shares = {engine.partition: engine.overload.share for engine in engines if engine.overload.share}
        self._metrics.overload_share.set(max(shares.values(), default=0.0))
        self._metrics.overload_partitions.set(len(shares))
        if shares and not self._active:
            told = ", ".join(f"{share:.0%} in partition {partition}" for partition, share in sorted(shares.items()))
            logger.warning(
                "overload: this worker is more than worker.overload.lag_limit behind, so it refuses new traces: %s. "
                "The probabilities written on the others say so; more workers, or fewer spans, end it", told,
            )  # fmt: skip
        elif self._active and not shares:
            logger.warning("overload is over: every new trace is taken again")
        self._active = bool(shares)

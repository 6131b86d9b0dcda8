"""What became of the spans that an exporter was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Numbers of spans since the exporter was made in this process.

    `accepted` were taken, `exported` of them are acknowledged by Kafka, `failed` are lost after all (no OTLP, too large
    for Kafka, or not stored when the exporter was shut down); `refused` were not taken, because the queue was full or
    the exporter shut down.
    """

    accepted: int = 0
    exported: int = 0
    failed: int = 0
    refused: int = 0


class _Ignored:
    def inc(self, amount: float = 1) -> None:
        pass

    def observe(self, amount: float) -> None:
        pass

    def set(self, value: float) -> None:
        pass


_IGNORED = _Ignored()


class NoMetrics:
    """The publisher's metrics where there are none: the registry and its options belong to the service."""

    received_bytes_total = spans_accepted_total = spans_rejected_total = _IGNORED
    records_total = written_bytes_total = records_failed_total = _IGNORED
    ack_seconds = topic_partitions = _IGNORED

    def watch_buffered(self, read: Callable[[], float]) -> None:
        """Nobody asks."""

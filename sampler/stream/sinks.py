"""What a pipeline writes to, and what counts along."""

from __future__ import annotations

from typing import Protocol

from sampler.engine.decision_record import DecisionRecord
from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement, Recording
from sampler.otlp.services import ServiceCounter


class OutputSink(Protocol):
    """Where outputs go."""

    @property
    def unacknowledged_bytes(self) -> int: ...
    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None: ...


class ByService(Protocol):
    """Counts by service what is read and what is written."""

    @property
    def received(self) -> ServiceCounter: ...
    @property
    def sampled(self) -> ServiceCounter: ...


class RecordSink(Protocol):
    """Where decisions are recorded."""

    def put(self, partition: int, record: DecisionRecord) -> Recording: ...
    def forget(self, partition: int, keys: list[bytes]) -> None: ...
    def recovered(self, partition: int) -> list[DecisionRecord]: ...

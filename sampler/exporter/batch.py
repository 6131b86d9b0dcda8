"""Records on their way to a backend, put together into requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sampler.agent.repartition_offsets import Partition, Run


class Record(NamedTuple):
    """What is sent of one Kafka record: all of it, or what a route lets through."""

    topic: str
    partition: int
    offset: int
    value: bytes
    spans: int


@dataclass(slots=True, eq=False)
class Batch:
    """Records that are sent together: their values one after the other are one ExportTraceServiceRequest.

    `ends` says for each partition which offset comes after the last record read; `oldest_ms` is the timestamp of the
    first. With `fault` it is one record that is not OTLP, and says why.
    """

    oldest_ms: int
    opened_s: float
    records: list[Record] = field(default_factory=list)
    size_bytes: int = 0
    spans: int = 0
    ends: dict[Partition, int] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    fault: str = ""

    def add(self, record: Record) -> None:
        """One record more."""
        self.records.append(record)
        self.size_bytes += len(record.value)
        self.spans += record.spans


def body_of(records: Sequence[Record]) -> bytes:
    """The request of these records; nothing is decoded, since protobuf messages one after the other are one message."""
    return records[0].value if len(records) == 1 else b"".join([record.value for record in records])

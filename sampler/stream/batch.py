"""What one fetch brought for one partition: the value of one event in Faust's stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampler.engine.gathering import Record


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """Records of one partition in offset order, or none: then it only says what time it is there.

    `epoch` names the uninterrupted run of fetches that this one belongs to, `epoch_offset` is where that run began, and
    `start_offset` is where this fetch began: a batch that does not begin where the one before ended shows that
    something between was thrown away. `generation` is that of the group when the partition was assigned. `idle_ms` is
    the stream time of an idle partition, None where records may be on their way. `header` names the header that was
    read of every record, and `tenants` has its values by offset, for the records that have it. `replaced`: before this
    run the topic had other records at these offsets.
    """

    partition: int
    epoch: int
    generation: int
    epoch_offset: int
    start_offset: int
    next_offset: int
    records: list[Record] = field(default_factory=list)
    idle_ms: int | None = None
    header: str = ""
    replaced: bool = False
    tenants: Mapping[int, str] = field(default_factory=dict)

"""The decisions of one partition that late spans and replays are held against."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from policies.verdict import Verdict
from sampler.engine.decision_record import ID_BYTES, DecisionRecord, Owner


@dataclass(frozen=True, slots=True)
class _Segment:
    key: bytes
    next_offset: int
    stream_time_ms: int
    ids: bytes


class DecisionMemory:
    """Verdicts by trace id, forgotten by age in stream time.

    A trace is known by the process's hash of its id: at 20 million remembered decisions a false answer is expected once
    in 900,000 million look-ups.
    """

    def __init__(self) -> None:
        self._verdicts: dict[int, Verdict] = {}
        self._segments: deque[_Segment] = deque()
        self._interned: dict[Verdict, Verdict] = {}

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, trace_id: bytes) -> Verdict | None:
        """The verdict on a trace, or None if it is not remembered."""
        return self._verdicts.get(hash(trace_id))

    def add(self, trace_id: bytes, verdict: Verdict) -> None:
        """Remember a decision; it is forgotten with the segment that is closed next."""
        self._verdicts.setdefault(hash(trace_id), verdict)

    def close_segment(self, record: DecisionRecord) -> None:
        """The decisions added since the last call are those of this record."""
        self._segments.append(_Segment(record.key, record.next_offset, record.stream_time_ms, record.ids))

    def restore(self, record: DecisionRecord) -> None:
        """Remember a recovered record; the first decision on a trace stands."""
        verdicts = [self._interned.setdefault(verdict, verdict) for verdict in record.verdicts]
        ids, remembered = record.ids, self._verdicts
        for i, index in enumerate(record.verdict_of):
            remembered.setdefault(hash(ids[i * ID_BYTES : (i + 1) * ID_BYTES]), verdicts[index])
        self.close_segment(record)

    def expire(self, before_ms: int, committed_offset: int) -> list[bytes]:
        """Forget segments older than `before_ms` that no replay can need, and return their keys in the table.

        A segment whose next offset is above the committed watermark stays: after a crash its spans come again.
        """
        keys = []
        segments, remembered = self._segments, self._verdicts
        while segments and segments[0].stream_time_ms < before_ms and segments[0].next_offset <= committed_offset:
            segment = segments.popleft()
            keys.append(segment.key)
            for i in range(0, len(segment.ids), ID_BYTES):
                remembered.pop(hash(segment.ids[i : i + ID_BYTES]), None)
        if keys and not remembered:
            self._interned.clear()
        return keys


def trustworthy(records: Iterable[DecisionRecord]) -> tuple[list[DecisionRecord], list[DecisionRecord]]:
    """(records that may be believed, the others), each oldest first.

    A worker that lost its partition without noticing may still write after the new owner has begun; what an earlier
    owner's record says about offsets beyond a later owner's base is not believed.
    """
    ordered = sorted(records, key=lambda r: (r.owner, r.sequence, r.part))
    base_of: dict[Owner, int] = {}
    for record in ordered:
        base_of.setdefault(record.owner, record.base_offset)
    limit_of: dict[Owner, float] = {}
    limit = math.inf
    for owner in sorted(base_of, reverse=True):
        limit_of[owner] = limit
        limit = min(limit, base_of[owner])
    believed: list[DecisionRecord] = []
    others: list[DecisionRecord] = []
    for record in ordered:
        (believed if record.next_offset <= limit_of[record.owner] else others).append(record)
    return believed, others

"""The decisions of one partition that late spans and replays are held against."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from sampler.engine.decision_record import ID_BYTES, SECOND_LOOK, DecisionRecord, Owner
from sampler.engine.remembered import MOST, Remembered, make_remembered

PAGES = 8
"""About how many pages the remembered time is spread over, where traces are too few to fill them."""
RESTORED_PAGE_MS = 60_000
"""Least stream time on a page of recovered decisions, of which nobody knows yet how long they are wanted."""


@dataclass(frozen=True, slots=True)
class _Segment:
    key: bytes
    next_offset: int
    stream_time_ms: int
    last_page: int


class DecisionMemory:
    """Verdicts by trace id, forgotten by age in stream time.

    What one record of the decision table says is a segment. Segments expire one by one, and with the last segment of a
    page of `Remembered` its traces are forgotten: later than they might be by at most an eighth of the remembered time.
    `most` traces go on a page. In the compiled form 20 million decisions take less than 16 bytes each.
    """

    def __init__(self, most: int = MOST) -> None:
        self._pages: Remembered = make_remembered(most)
        self._segments: deque[_Segment] = deque()
        self._closed = 0
        self._page = 0
        self._page_began_ms: float = math.inf
        self._newest_ms = 0
        # Asked once for every new trace: without a frame of Python between.
        self.get = self._pages.get
        """The verdict on a trace, or None if it is not remembered."""
        self.add = self._pages.add
        """Remember decisions, until the segment that is closed next has expired; made before or not."""
        self.replace = self._pages.replace
        """Remember another decision on a trace than the one made before."""

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def size_bytes(self) -> int:
        """Memory of the tables, without verdicts and segments; 0 where it is not known."""
        return self._pages.size_bytes

    def close_segment(self, record: DecisionRecord) -> None:
        """The decisions added since the last call are those of this record."""
        if self._pages.page != self._page:
            self._page, self._page_began_ms = self._pages.page, record.stream_time_ms
        self._page_began_ms = min(self._page_began_ms, record.stream_time_ms)
        self._newest_ms = record.stream_time_ms
        self._closed = self._pages.added
        self._segments.append(_Segment(record.key, record.next_offset, record.stream_time_ms, self._page))

    def restore(self, record: DecisionRecord) -> None:
        """Remember a recovered record; the first decision on a trace stands, unless a second look has changed it."""
        oldest_ms = self._segments[0].stream_time_ms if self._segments else self._newest_ms
        self._turn_after(max(RESTORED_PAGE_MS, (self._newest_ms - oldest_ms) / PAGES))
        ids, verdicts = record.ids, record.verdicts
        self._pages.restore(
            [ids[i : i + ID_BYTES] for i in range(0, len(ids), ID_BYTES)], [verdicts[i] for i in record.verdict_of]
        )
        if any(verdict.reason in SECOND_LOOK for verdict in verdicts):
            for trace_id, verdict in record:
                if verdict.reason in SECOND_LOOK:
                    self._pages.replace(trace_id, verdict)
        self.close_segment(record)

    def expire(self, before_ms: int, committed_offset: int) -> list[bytes]:
        """Let segments go that are older than `before_ms` and that no replay can need, and return their table keys.

        A segment whose next offset is above the committed watermark stays: after a crash its spans come again.
        """
        gone: list[_Segment] = []
        segments, pages = self._segments, self._pages
        while segments and segments[0].stream_time_ms < before_ms and segments[0].next_offset <= committed_offset:
            gone.append(segments.popleft())
        if gone:
            # What was decided after a segment may begin on that segment's last page.
            wanted = segments or pages.added > self._closed
            pages.forget_before(gone[-1].last_page if wanted else pages.page + 1)
        if segments:
            oldest_ms = min(before_ms, segments[0].stream_time_ms)
            self._turn_after((self._newest_ms - oldest_ms) / PAGES)
        return [segment.key for segment in gone]

    def _turn_after(self, page_ms: float) -> None:
        if self._newest_ms - self._page_began_ms >= page_ms:
            self._pages.turn()
            self._page_began_ms = math.inf


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


def owner_after(records: Iterable[DecisionRecord], generation: int) -> Owner:
    """Who begins, in this generation of the group, on a partition with these records.

    In one generation a partition has one owner: where that begins again it stays the same one, so that a worker which
    begins again and again, and has lost the partition meanwhile, never comes to stand above the next owner.
    """
    newest = max((record.owner for record in records), default=None)
    if newest is not None and newest.generation == generation:
        return newest
    return Owner(1 if newest is None else newest.term + 1, generation)

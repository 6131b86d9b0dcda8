"""The undecided traces of one partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from sampler.engine.chunk_store import CHUNK_OVERHEAD_BYTES, ENTRY_OVERHEAD_BYTES, ChunkStore
from sampler.engine.entry import SavedTrace, TraceEntry, discard_from, forget_payload

MOST_GONE = 10_000
"""Entries decided behind an older, undecided one at which the arrivals are cleaned of them."""


class TraceTable:
    """Traces by id, in order of arrival. Every entry leaves by `discard`, once.

    `get` is the entry of an undecided trace, None for any other id. `store`, `entries` and `arrivals` (in order of
    arrival, decided ones among them) are open to the gatherer alone.
    """

    def __init__(self, store: ChunkStore) -> None:
        self.store = store
        self.entries: dict[bytes, TraceEntry] = {}
        self.arrivals: deque[TraceEntry] = deque()
        self.get = self.entries.get

    def __len__(self) -> int:
        return len(self.entries)

    def begin(self, trace_id: bytes, chunk: bytes, summary: Any, offset: int, timestamp_ms: int) -> TraceEntry:
        """Begin a new trace with its first chunk. Offsets of new traces must not fall."""
        entry = TraceEntry(trace_id, summary, offset, timestamp_ms)
        self.entries[trace_id] = entry
        self.arrivals.append(entry)
        self.keep(entry, chunk, ENTRY_OVERHEAD_BYTES)
        return entry

    def restore(self, saved: SavedTrace) -> TraceEntry:
        """Put a trace of a checkpoint back, after all that arrived before it."""
        entry = TraceEntry(saved.trace_id, saved.summary, saved.first_offset, saved.arrived_ms)
        entry.foreign = saved.foreign
        self.entries[saved.trace_id] = entry
        self.arrivals.append(entry)
        for position, chunk in enumerate(saved.chunks):
            self.keep(entry, chunk, 0 if position else ENTRY_OVERHEAD_BYTES)
        return entry

    def extend(self, entry: TraceEntry, chunk: bytes, summary: Any) -> None:
        """Add a chunk to its trace."""
        entry.summary.merge(summary)
        self.keep(entry, chunk, 0)

    def read(self, entry: TraceEntry) -> list[bytes]:
        """The chunks of an entry in order of arrival; it stays, and the list is not to be changed."""
        return self.store.get(entry.chunks) if entry.spilled else entry.chunks  # type: ignore[return-value]  # bytes

    def discard(self, entries: list[TraceEntry]) -> None:
        """Remove traces without reading their payload; KeyError where one is gone already."""
        discard_from(self.entries, entries, self.store)
        # The entries themselves stay in the arrivals, and at their deadlines, until the head of those passes them.
        if len(self.arrivals) > 2 * len(self.entries) + MOST_GONE:
            self.arrivals = deque(self.by_age())

    def forget_payload(self, entry: TraceEntry) -> None:
        """Give up the payload of a trace, as of one that stays undecided for a moment but is too large to be kept."""
        forget_payload(entry, self.store)

    @property
    def span_count(self) -> int:
        """Spans of all undecided traces; counted anew at each call."""
        return sum(entry.summary.span_count for entry in self.entries.values())

    def oldest(self) -> TraceEntry | None:
        """The trace that arrived first and is still undecided."""
        arrivals = self.arrivals
        while arrivals and arrivals[0].gone:
            arrivals.popleft()
        return arrivals[0] if arrivals else None

    def by_age(self) -> Iterator[TraceEntry]:
        """Undecided traces, the oldest first."""
        return (entry for entry in self.arrivals if not entry.gone)

    def clear(self) -> None:
        """Drop everything, as when the partition is lost."""
        self.discard(list(self.entries.values()))
        self.arrivals.clear()

    def keep(self, entry: TraceEntry, chunk: bytes, overhead_bytes: int) -> None:
        """Put a chunk where there is room, and count what it costs."""
        store = self.store
        cost = overhead_bytes + len(chunk) + CHUNK_OVERHEAD_BYTES
        if store.memory_bytes + cost > store.memory_limit_bytes:
            entry.chunks.append(store.spill(chunk))
            entry.spilled = True
            cost = overhead_bytes + CHUNK_OVERHEAD_BYTES
        else:
            entry.chunks.append(chunk)
        entry.memory_bytes += cost
        store.memory_bytes += cost

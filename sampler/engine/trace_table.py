"""The undecided traces of one partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from sampler.engine.chunk_store import ChunkRef, ChunkStore

ENTRY_OVERHEAD_BYTES = 700
"""Measured resident cost of an entry with its summary, id, list and places in the indexes."""


class TraceEntry:
    """One undecided trace: its summary, references to its chunks, and where and when it began."""

    __slots__ = ("arrived_ms", "chunks", "due_ms", "first_offset", "gone", "summary", "too_large", "trace_id")

    def __init__(self, trace_id: bytes, summary: Any, first_offset: int, arrived_ms: int) -> None:
        self.trace_id = trace_id
        self.summary = summary
        self.chunks: list[ChunkRef] = []
        self.first_offset = first_offset
        self.arrived_ms = arrived_ms
        self.due_ms = 0
        self.gone = False
        self.too_large = False


class TraceTable:
    """Traces by id, in order of arrival. Every entry leaves by `take` or `discard`, once."""

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._entries: dict[bytes, TraceEntry] = {}
        self._arrivals: deque[TraceEntry] = deque()
        self.span_count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, trace_id: bytes) -> TraceEntry | None:
        """The entry of an undecided trace."""
        return self._entries.get(trace_id)

    def append(self, trace_id: bytes, chunk: bytes, summary: Any, offset: int, timestamp_ms: int) -> TraceEntry:
        """Add a chunk to its trace, which begins here if it is new. Offsets of new traces must not fall."""
        entry = self._entries.get(trace_id)
        if entry is None:
            entry = TraceEntry(trace_id, summary, offset, timestamp_ms)
            self._entries[trace_id] = entry
            self._arrivals.append(entry)
            self._store.charge(ENTRY_OVERHEAD_BYTES)
        else:
            entry.summary.merge(summary)
        self.span_count += summary.span_count
        entry.chunks.append(self._store.put(chunk))
        return entry

    def read(self, entry: TraceEntry) -> list[bytes]:
        """The chunks of an entry in order of arrival; it stays."""
        return self._store.get(entry.chunks)

    def take(self, trace_id: bytes) -> list[bytes]:
        """Remove a trace and return its chunks in order of arrival; an unknown id raises KeyError."""
        entry = self._entries[trace_id]
        chunks = self._store.get(entry.chunks)
        self.discard(trace_id)
        return chunks

    def discard(self, trace_id: bytes) -> None:
        """Remove a trace without reading its payload; an unknown id raises KeyError."""
        entry = self._entries.pop(trace_id)
        entry.gone = True
        self.span_count -= entry.summary.span_count
        self.forget_payload(entry)
        self._store.charge(-ENTRY_OVERHEAD_BYTES)

    def forget_payload(self, entry: TraceEntry) -> None:
        """Give up the payload of a trace that stays undecided, as of one that is too large to be kept."""
        self._store.release(entry.chunks)
        entry.chunks.clear()

    def oldest(self) -> TraceEntry | None:
        """The trace that arrived first and is still undecided."""
        arrivals = self._arrivals
        while arrivals and arrivals[0].gone:
            arrivals.popleft()
        return arrivals[0] if arrivals else None

    def by_age(self) -> Iterator[TraceEntry]:
        """Undecided traces, the oldest first."""
        return (entry for entry in self._arrivals if not entry.gone)

    def clear(self) -> None:
        """Drop everything, as when the partition is lost."""
        for trace_id in list(self._entries):
            self.discard(trace_id)
        self._arrivals.clear()

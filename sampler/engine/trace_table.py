"""The undecided traces of one partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from sampler.engine.chunk_store import CHUNK_OVERHEAD_BYTES, ChunkRef, ChunkStore

ENTRY_OVERHEAD_BYTES = 700
"""What an entry costs in memory with its summary, id, list and places in the indexes."""


NO_CHUNKS: list[ChunkRef] = []
"""The chunks of an entry whose payload was given up; nothing is ever added to it."""


MOST_GONE = 10_000
"""Entries decided behind an older, undecided one at which the arrivals are cleaned of them."""


class TraceEntry:
    """One undecided trace: its summary, references to its chunks, and where and when it began.

    `foreign`: its id hashes to another partition than the one it came from.
    """

    __slots__ = (
        "arrived_ms",
        "chunks",
        "due_ms",
        "first_offset",
        "foreign",
        "gone",
        "memory_bytes",
        "spilled",
        "summary",
        "too_large",
        "trace_id",
    )

    def __init__(self, trace_id: bytes, summary: Any, first_offset: int, arrived_ms: int) -> None:
        self.trace_id = trace_id
        self.summary = summary
        self.chunks: list[ChunkRef] = []
        self.first_offset = first_offset
        self.arrived_ms = arrived_ms
        self.due_ms = 0
        self.memory_bytes = 0
        self.spilled = self.gone = self.too_large = self.foreign = False


class TraceTable:
    """Traces by id, in order of arrival. Every entry leaves by `take` or `discard`, once.

    `get` is the entry of an undecided trace, None for any other id.
    """

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._entries: dict[bytes, TraceEntry] = {}
        self._arrivals: deque[TraceEntry] = deque()
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, trace_id: bytes, chunk: bytes, summary: Any, offset: int, timestamp_ms: int) -> TraceEntry:
        """Begin a new trace with its first chunk. Offsets of new traces must not fall."""
        entry = TraceEntry(trace_id, summary, offset, timestamp_ms)
        self._entries[trace_id] = entry
        self._arrivals.append(entry)
        self._keep(entry, chunk, ENTRY_OVERHEAD_BYTES)
        return entry

    def extend(self, entry: TraceEntry, chunk: bytes, summary: Any) -> None:
        """Add a chunk to its trace."""
        entry.summary.merge(summary)
        self._keep(entry, chunk, 0)

    def read(self, entry: TraceEntry) -> list[bytes]:
        """The chunks of an entry in order of arrival; it stays, and the list is not to be changed."""
        return self._store.get(entry.chunks) if entry.spilled else entry.chunks  # type: ignore[return-value]  # bytes

    def take(self, entry: TraceEntry) -> list[bytes]:
        """Remove a trace and return its chunks in order of arrival."""
        chunks = self.read(entry)
        self.discard(entry)
        return chunks

    def discard(self, entry: TraceEntry) -> None:
        """Remove a trace without reading its payload; KeyError where it is gone already."""
        del self._entries[entry.trace_id]
        self.forget_payload(entry)
        # The entry itself stays in the arrivals, and at its deadline, until their head passes it.
        entry.gone, entry.summary = True, None
        if len(self._arrivals) > 2 * len(self._entries) + MOST_GONE:
            self._arrivals = deque(self.by_age())

    def forget_payload(self, entry: TraceEntry) -> None:
        """Give up the payload of a trace, as of one that stays undecided for a moment but is too large to be kept."""
        self._store.memory_bytes -= entry.memory_bytes
        entry.memory_bytes = 0
        if entry.spilled:
            self._store.release(entry.chunks)
            entry.spilled = False
        entry.chunks = NO_CHUNKS

    @property
    def span_count(self) -> int:
        """Spans of all undecided traces; counted anew at each call."""
        return sum(entry.summary.span_count for entry in self._entries.values())

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
        for entry in list(self._entries.values()):
            self.discard(entry)
        self._arrivals.clear()

    def _keep(self, entry: TraceEntry, chunk: bytes, overhead_bytes: int) -> None:
        store = self._store
        cost = overhead_bytes + len(chunk) + CHUNK_OVERHEAD_BYTES
        if store.memory_bytes + cost > store.memory_limit_bytes:
            entry.chunks.append(store.spill(chunk))
            entry.spilled = True
            cost = overhead_bytes + CHUNK_OVERHEAD_BYTES
        else:
            entry.chunks.append(chunk)
        entry.memory_bytes += cost
        store.memory_bytes += cost

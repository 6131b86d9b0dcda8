"""One undecided trace, as a compiled object where that is there: a worker holds millions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sampler.engine import native
from sampler.engine.chunk_store import NO_CHUNKS, ChunkRef, ChunkStore
from sampler.otlp import Summary


@dataclass(frozen=True, slots=True)
class SavedTrace:
    """An undecided trace on its way from a checkpoint into a table."""

    trace_id: bytes
    summary: Summary
    first_offset: int
    arrived_ms: int
    due_ms: int
    foreign: bool
    chunks: list[bytes]


class PlainTraceEntry:
    """One undecided trace: its summary, references to its chunks, and where and when it began.

    `foreign`: its id hashes to another partition than the one it came from. `gone`: it has left the table.
    `too_large`: its payload was given up, and it will not be sampled.
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


def forget_payload(entry: PlainTraceEntry, store: ChunkStore) -> None:
    """Give up the chunks of an entry."""
    store.memory_bytes -= entry.memory_bytes
    entry.memory_bytes = 0
    if entry.spilled:
        store.release(entry.chunks)
        entry.spilled = False
    entry.chunks = NO_CHUNKS


def plain_discard_from(entries: dict[bytes, PlainTraceEntry], gone: list[PlainTraceEntry], store: ChunkStore) -> None:
    """Take entries out of the index by id, and give up all they hold; KeyError where one is not in it."""
    for entry in gone:
        del entries[entry.trace_id]
        forget_payload(entry, store)
        entry.gone, entry.summary = True, None


if TYPE_CHECKING or native.compiled is None:
    TraceEntry = PlainTraceEntry
    discard_from = plain_discard_from
else:
    TraceEntry = native.compiled.TraceEntry
    discard_from = native.compiled.discard_from

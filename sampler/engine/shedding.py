"""Chunks that lie in memory go to the spill, when the process has to become smaller."""

from __future__ import annotations

from sampler.engine.chunk_store import CHUNK_OVERHEAD_BYTES
from sampler.engine.trace_table import TraceTable

WORTH_BYTES = 256
"""A trace with fewer bytes of chunks in memory stays: writing it costs more than it frees."""


def shed(table: TraceTable, wanted_bytes: int) -> int:
    """Spill chunks of the newest traces, which would stay longest, until `wanted_bytes` are on their way out of memory.

    Returns how many bytes these are; they are gone with the next `flush` of the store.
    """
    store, freed = table.store, 0
    for entry in reversed(table.arrivals):
        if freed >= wanted_bytes or not store.spills:
            break
        chunks = entry.chunks
        if entry.gone or entry.memory_bytes - len(chunks) * CHUNK_OVERHEAD_BYTES < WORTH_BYTES:
            continue
        size = 0
        for index, chunk in enumerate(chunks):
            if isinstance(chunk, bytes):
                size += len(chunk)
                chunks[index] = store.spill(chunk)
        if size:
            entry.spilled = True
            entry.memory_bytes -= size
            store.memory_bytes -= size
            freed += size
    return freed

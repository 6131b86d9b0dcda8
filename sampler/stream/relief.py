"""Hard limits of the trace table, and what is done at them: the oldest traces are decided early, on what has come.

Waiting there would end nothing: only a decision frees the table, and stream time stands still while nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sampler.engine.chunk_store import ChunkStore
from sampler.engine.partition import PartitionEngine
from sampler.engine.shedding import shed

RELIEF_SHARE = 100
"""At a hard limit one in this many of the undecided traces is decided early, so that it is not hit at every batch."""
TROUBLE_ALLOWANCE_BYTES = 64 * 1024 * 1024
"""How much more may lie in memory while the disk takes nothing, where the memory limit is reached already."""


@dataclass(slots=True)
class PipelineLimits:
    """Hard limits of the trace table over all partitions; 0 is no limit.

    `memory_limit_bytes` counts only where nothing can be spilled: without a disk, or while the disk takes nothing.
    """

    max_traces: int = 0
    disk_limit_bytes: int = 0
    memory_limit_bytes: int = 0


class Relief:
    """Keeps the tables of all partitions together below the hard limits."""

    def __init__(
        self, limits: PipelineLimits, store: ChunkStore, engines: Callable[[], Sequence[PartitionEngine]]
    ) -> None:
        self._limits = limits
        self._store = store
        self._engines = engines

    def next_to_decide(self) -> tuple[PartitionEngine, int] | None:
        """Whose oldest traces are to be decided early, and how many of them; None below the limits."""
        return self.oldest() if self._over_limit() else None

    def oldest(self) -> tuple[PartitionEngine, int] | None:
        """The partition with the oldest traces, and how many of them make a step; None where there are none."""
        engines = [engine for engine in self._engines() if len(engine.table)]
        if not engines:
            return None
        total = sum(len(engine.table) for engine in engines)
        oldest = min(engines, key=_oldest_arrival)
        most = self._limits.max_traces
        excess = min(total - most, len(oldest.table)) if most else 0
        return oldest, max(1, total // RELIEF_SHARE, excess)

    def shed(self, limit_bytes: int, at_most_bytes: int) -> int:
        """Spill what lies in memory beyond `limit_bytes`, at most so much in one step; returns how much it was.

        Entries stay in memory whatever the limit: without them nothing could be found again.
        """
        store, freed = self._store, 0
        wanted = min(store.memory_bytes - limit_bytes, at_most_bytes)
        for engine in self._engines():
            if freed >= wanted or not store.spills:
                break
            freed += shed(engine.table, wanted - freed)
        store.flush()
        return freed

    def _over_limit(self) -> bool:
        limits, store = self._limits, self._store
        if limits.disk_limit_bytes and store.disk_bytes > limits.disk_limit_bytes:
            return True
        if limits.memory_limit_bytes and not store.spills and self._memory_is_full():
            return True
        return bool(limits.max_traces) and sum(len(e.table) for e in self._engines()) > limits.max_traces

    def _memory_is_full(self) -> bool:
        store, limit_bytes = self._store, self._limits.memory_limit_bytes
        if store.trouble:
            # Entries of spilled traces may have filled the memory before: they are not to be decided for that.
            limit_bytes = max(limit_bytes, store.before_trouble_bytes + TROUBLE_ALLOWANCE_BYTES)
        return store.memory_bytes + store.unwritten_bytes > limit_bytes


def _oldest_arrival(engine: PartitionEngine) -> float:
    oldest = engine.table.oldest()
    return oldest.arrived_ms if oldest is not None else float("inf")

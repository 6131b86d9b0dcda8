"""Which traces are due at which tick."""

from __future__ import annotations

import heapq

from sampler.engine.entry import TraceEntry
from sampler.engine.settings import TICK_MS

NEVER_MS = 1 << 62
"""Later than any tick."""


class Deadlines:
    """Entries by the tick they are due at. A deadline may be brought forward, never put off."""

    def __init__(self) -> None:
        self._due: dict[int, list[TraceEntry]] = {}
        self._ticks: list[int] = []
        self.next_ms = NEVER_MS
        """The earliest tick at which something may be due."""

    def set(self, entry: TraceEntry, due_ms: int) -> None:
        """Make an entry due at the first tick at or after `due_ms`, unless it is due earlier already."""
        tick = self.tick_of(due_ms)
        if entry.due_ms and entry.due_ms <= tick:
            return
        # The place at the later tick stays behind; `take` passes over it because the entry's own deadline is earlier.
        entry.due_ms = tick
        self.entries_at(tick).append(entry)

    @staticmethod
    def tick_of(due_ms: int) -> int:
        """The first tick at or after a time."""
        return -(-due_ms // TICK_MS) * TICK_MS

    def entries_at(self, tick_ms: int) -> list[TraceEntry]:
        """The entries due at a tick, to be added to until the next `take`; each says the same in its `due_ms`."""
        entries = self._due.get(tick_ms)
        if entries is None:
            entries = self._due[tick_ms] = []
            heapq.heappush(self._ticks, tick_ms)
            self.next_ms = self._ticks[0]
        return entries

    def take(self, now_ms: int) -> tuple[int, list[TraceEntry]] | None:
        """The earliest tick at or before `now_ms` with its entries, in order of arrival; None if there is none.

        Entries decided in the meantime and those brought forward are left out, so the list may be empty.
        """
        if self.next_ms > now_ms:
            return None
        tick = heapq.heappop(self._ticks)
        self.next_ms = self._ticks[0] if self._ticks else NEVER_MS
        return tick, [entry for entry in self._due.pop(tick) if not entry.gone and entry.due_ms == tick]

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._ticks.clear()
        self.next_ms = NEVER_MS

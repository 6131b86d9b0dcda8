"""Which traces are due at which tick."""

from __future__ import annotations

import heapq
import math

from sampler.engine.settings import TICK_MS
from sampler.engine.trace_table import TraceEntry


class Deadlines:
    """Entries by the tick they are due at. A deadline may be brought forward, never put off."""

    def __init__(self) -> None:
        self._due: dict[int, list[TraceEntry]] = {}
        self._ticks: list[int] = []
        self.next_ms: float = math.inf
        """The earliest tick at which something may be due."""

    def set(self, entry: TraceEntry, due_ms: int) -> None:
        """Make an entry due at the first tick at or after `due_ms`, unless it is due earlier already."""
        tick = -(-due_ms // TICK_MS) * TICK_MS
        if entry.due_ms and entry.due_ms <= tick:
            return
        # The place at the later tick stays behind; `take` passes over it because the entry's own deadline is earlier.
        entry.due_ms = tick
        entries = self._due.get(tick)
        if entries is None:
            self._due[tick] = [entry]
            heapq.heappush(self._ticks, tick)
            self.next_ms = self._ticks[0]
        else:
            entries.append(entry)

    def take(self, now_ms: int) -> tuple[int, list[TraceEntry]] | None:
        """The earliest tick at or before `now_ms` with its entries, in order of arrival; None if there is none.

        Entries decided in the meantime and those brought forward are left out, so the list may be empty.
        """
        if self.next_ms > now_ms:
            return None
        tick = heapq.heappop(self._ticks)
        self.next_ms = self._ticks[0] if self._ticks else math.inf
        return tick, [entry for entry in self._due.pop(tick) if not entry.gone and entry.due_ms == tick]

    def clear(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._ticks.clear()
        self.next_ms = math.inf

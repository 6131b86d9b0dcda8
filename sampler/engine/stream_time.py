"""The clock of one partition: what time it is for the traces in it."""

from __future__ import annotations

from sampler.engine.settings import TICK_MS


class StreamTime:
    """The highest record timestamp seen, in milliseconds, never ahead of the wall clock and never going back.

    A backlog is therefore decided as if it had been read live. `now_ms` is -1 before the first record.
    """

    __slots__ = ("now_ms", "skew_ms")

    def __init__(self) -> None:
        self.now_ms = -1
        self.skew_ms = 0

    def observe(self, timestamp_ms: int, wall_ms: int) -> None:
        """A record with this timestamp was read. One from the future counts as written now; the skew is kept."""
        if timestamp_ms > wall_ms:
            self.skew_ms = max(self.skew_ms, timestamp_ms - wall_ms)
            timestamp_ms = wall_ms
        self.now_ms = max(self.now_ms, timestamp_ms)

    def take_skew_ms(self) -> int:
        """How far ahead of the wall clock the furthest record since the last call was."""
        skew_ms, self.skew_ms = self.skew_ms, 0
        return skew_ms


def tick_at_or_before(time_ms: int) -> int:
    """The last grid line at or before a time."""
    return time_ms // TICK_MS * TICK_MS

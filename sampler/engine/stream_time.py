"""The clock of one partition: what time it is for the traces in it."""

from __future__ import annotations

from sampler.engine.settings import TICK_MS


class StreamTime:
    """The highest record timestamp seen, in milliseconds, never ahead of the wall clock and never going back.

    A backlog is therefore decided as if it had been read live. `now_ms` is -1 before the first record; `wall_ms` is the
    wall clock at the last record, -1 where that is not known.
    """

    __slots__ = ("now_ms", "skew_ms", "wall_ms")

    def __init__(self) -> None:
        self.now_ms = self.wall_ms = -1
        self.skew_ms = 0

    def observe(self, timestamp_ms: int, wall_ms: int) -> None:
        """A record with this timestamp was read. The skew of one from the future is kept.

        Its timestamp says nothing, so it moves stream time by as much as the wall clock went on since the record
        before: live that is when it was written, and in a backlog it does not make all that is pending due at once.
        """
        if timestamp_ms > wall_ms:
            self.skew_ms = max(self.skew_ms, timestamp_ms - wall_ms)
            passed_ms = max(0, wall_ms - self.wall_ms) if self.wall_ms >= 0 else 0
            timestamp_ms = min(wall_ms, self.now_ms + passed_ms) if self.now_ms >= 0 else wall_ms
        self.now_ms = max(self.now_ms, timestamp_ms)
        self.wall_ms = wall_ms

    def take_skew_ms(self) -> int:
        """How far ahead of the wall clock the furthest record since the last call was."""
        skew_ms, self.skew_ms = self.skew_ms, 0
        return skew_ms


def tick_at_or_before(time_ms: int) -> int:
    """The last grid line at or before a time."""
    return time_ms // TICK_MS * TICK_MS

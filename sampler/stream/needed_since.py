"""Since when the records lie in the topic that are still needed, by partition."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """A partition as it stands. `oldest_ms`: arrival of its oldest undecided trace, None where there is none."""

    watermark: int
    next_offset: int
    oldest_ms: int | None
    read_ms: int
    lag: int


class NeededSince:
    """Follows partitions from look to look. Times are milliseconds since 1970."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[int, int]] = {}

    def look(self, standings: dict[int, Standing], now_ms: int) -> int | None:
        """The timestamp of the oldest record that is still needed, None where none is.

        A watermark that has not moved since the last look needs what it needed then: outputs that the broker does not
        take leave the table at once, but their spans have to be read again after a crash.
        """
        self._since = {
            partition: (standing.watermark, since_ms)
            for partition, standing in standings.items()
            if (since_ms := self._since_of(partition, standing, now_ms)) is not None
        }
        return min((since_ms for _, since_ms in self._since.values()), default=None)

    def _since_of(self, partition: int, at: Standing, now_ms: int) -> int | None:
        if at.watermark >= at.next_offset and not at.lag:
            return None
        found = [] if at.oldest_ms is None else [at.oldest_ms]
        if at.lag and at.read_ms >= 0:
            found.append(at.read_ms)  # what is not read yet came after that
        before = self._since.get(partition)
        if before is not None and before[0] == at.watermark:
            found.append(before[1])
        return min(now_ms, *found) if found else now_ms

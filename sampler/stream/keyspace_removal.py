"""Tombstones for counts that nobody writes any more: those of policies that were changed or taken out."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sampler.stream.keyspace_codec import CountsPart, Removed

UNUSED_MS = 3_600_000
"""Counts of a policy that does not run here are removed when no worker has written any for so long."""
EVERY_S = 60.0
MAX_KEYS = 200_000
"""Keys of the topic that are remembered; the rest stays where it is until some of these are gone."""


class Removal:
    """Knows which keys the topic holds, by policy and source partition."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._again_s = 0.0
        self._keys: dict[tuple[str, int], dict[bytes, int]] = {}
        self._known = 0

    def saw(self, key: bytes, record: CountsPart, timestamp_ms: int) -> None:
        """The topic has this record, written at `timestamp_ms`."""
        keys = self._keys.setdefault((record.report.policy, record.partition), {})
        if key in keys or self._known < MAX_KEYS:
            self._known += key not in keys
            keys[key] = timestamp_ms

    def gone(self, key: bytes, record: Removed) -> None:
        """A tombstone has come."""
        place = (record.policy, record.partition)
        keys = self._keys.get(place, {})
        self._known -= keys.pop(key, None) is not None
        if not keys:
            self._keys.pop(place, None)

    def due(self, now_s: float, running: Collection[str], partitions: Collection[int]) -> list[tuple[bytes, int]]:
        """Keys to be removed now, each with its source partition, one of those that are at work here.

        `running` are the policies that still count. A key comes again until its tombstone has been seen.
        """
        if now_s < self._again_s:
            return []
        self._again_s = now_s + EVERY_S
        oldest_ms = self._wall_ms() - UNUSED_MS
        return [
            (key, partition)
            for (policy, partition), keys in self._keys.items()
            if policy not in running and partition in partitions and max(keys.values(), default=0) < oldest_ms
            for key in keys
        ]

"""Which offsets of the source may be committed: those before the oldest record whose spans are not stored yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Partition = tuple[str, int]
"""Topic and partition."""


class Run:
    """Records of one partition that came one after the other; `waiting` is in how many requests they still are."""

    __slots__ = ("next_offset", "partition", "waiting")

    def __init__(self, partition: Partition, next_offset: int) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.waiting = 1


class Offsets:
    """The watermark of every partition that is read. Runs of a partition begin in the order of their offsets."""

    def __init__(self) -> None:
        self._runs: dict[Partition, deque[Run]] = {}
        self._ready: dict[Partition, int] = {}
        self._taken: dict[Partition, int] = {}

    def begin(self, partition: Partition, next_offset: int) -> Run:
        """Records before `next_offset` have been read."""
        run = Run(partition, next_offset)
        self._runs.setdefault(partition, deque()).append(run)
        return run

    def finish(self, run: Run) -> None:
        """One of the requests that the run's records are in is stored."""
        run.waiting -= 1
        runs = self._runs.get(run.partition)
        while runs and not runs[0].waiting:
            self._ready[run.partition] = runs.popleft().next_offset

    def unfinished(self, partitions: Iterable[Partition]) -> bool:
        """Whether anything read from these partitions is not stored yet."""
        return any(self._runs.get(partition) for partition in partitions)

    def take_ready(self, partitions: Iterable[Partition] | None = None) -> dict[Partition, int]:
        """Offsets that may be committed and have not been taken yet; of these partitions, or of all."""
        chosen = list(self._ready) if partitions is None else [one for one in partitions if one in self._ready]
        taken = {partition: self._ready.pop(partition) for partition in chosen}
        self._taken.update(taken)
        return taken

    def put_back(self, offsets: dict[Partition, int]) -> None:
        """A commit failed: what it held may be committed still, unless something newer is ready or was taken since."""
        for partition, offset in offsets.items():
            if offset >= self._taken.get(partition, 0):
                self._ready.setdefault(partition, offset)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Others read these partitions now; what is finished of them later no longer counts."""
        for partition in partitions:
            self._runs.pop(partition, None)
            self._ready.pop(partition, None)
            self._taken.pop(partition, None)

"""Where the wire bytes of undecided traces lie: in memory up to a limit, beyond it in a spill.

A chunk is known by its reference: the bytes themselves while it lies in memory, an integer once it is spilled. One
store serves all partitions of a worker, so the limit is that of the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

CHUNK_OVERHEAD_BYTES = 48
"""What CPython adds to a chunk: the bytes header and its slot in the trace's list; about the same for a reference."""

ChunkRef: TypeAlias = bytes | int


class Spill(Protocol):
    """Chunks outside memory."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the chunks that are kept, dropped ones left out."""
        ...

    def put(self, chunk: bytes) -> int:
        """Keep a chunk and return its reference; it is written with the next `flush` at the latest."""
        ...

    def get(self, references: Sequence[int]) -> list[bytes]:
        """The chunks of these references, in that order."""
        ...

    def release(self, reference: int) -> None:
        """Forget one chunk; its space comes back when everything written around the same time is forgotten."""
        ...

    def flush(self) -> None:
        """Write what was put since the last call, in one batch."""
        ...

    def close(self) -> None:
        """Close and delete the files; nothing may be read afterwards."""
        ...


class ChunkStore:
    """The bytes in memory of all partitions against `memory_limit_bytes`, and the spill beyond it.

    `memory_bytes` is counted by the trace tables, entries included. Without a spill all stays in memory.
    """

    def __init__(self, memory_limit_bytes: int = 0, spill: Spill | None = None) -> None:
        self._spill = spill
        self.memory_limit_bytes: float = math.inf if spill is None else memory_limit_bytes
        self.memory_bytes = 0

    @property
    def disk_bytes(self) -> int:
        """Bytes of undecided chunks outside memory."""
        return self._spill.size_bytes if self._spill is not None else 0

    def spill(self, chunk: bytes) -> int:
        """Keep a chunk outside memory and return its reference."""
        assert self._spill is not None
        return self._spill.put(chunk)

    def get(self, refs: Sequence[ChunkRef]) -> list[bytes]:
        """The chunks behind these references, in order."""
        assert self._spill is not None
        spilled = iter(self._spill.get([ref for ref in refs if isinstance(ref, int)]))
        return [next(spilled) if isinstance(ref, int) else ref for ref in refs]

    def release(self, refs: Iterable[ChunkRef]) -> None:
        """Forget the spilled ones of these chunks, without reading them."""
        assert self._spill is not None
        release = self._spill.release
        for ref in refs:
            if isinstance(ref, int):
                release(ref)

    def flush(self) -> None:
        """Bring what was spilled since the last call to disk; called once a fetched batch."""
        if self._spill is not None:
            self._spill.flush()

    def close(self) -> None:
        """Delete what is on disk."""
        if self._spill is not None:
            self._spill.close()

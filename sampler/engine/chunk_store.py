"""Where the wire bytes of undecided traces lie: in memory up to a limit, beyond it in a spill.

A chunk is known by its reference: the bytes themselves while it lies in memory, an integer once it is spilled. One
store serves all partitions of a worker, so the limit is that of the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

CHUNK_OVERHEAD_BYTES = 48
"""What CPython adds to a chunk: the bytes header and its slot in the trace's list."""

ChunkRef: TypeAlias = bytes | int


class Spill(Protocol):
    """Chunks outside memory."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the chunks that are kept, dropped ones left out."""
        ...

    def put(self, chunk: bytes) -> int:
        """Keep a chunk and return its number; it is written with the next `flush` at the latest."""
        ...

    def get(self, numbers: Sequence[int]) -> list[bytes]:
        """The chunks of these numbers, in that order."""
        ...

    def release(self, number: int) -> None:
        """Forget one chunk; its space comes back when everything written around the same time is forgotten."""
        ...

    def flush(self) -> None:
        """Write what was put since the last call, in one batch."""
        ...

    def close(self) -> None:
        """Close and delete the files; nothing may be read afterwards."""
        ...


class ChunkStore:
    """Chunks in memory up to `memory_limit_bytes`, then in `spill`; without a spill all stay in memory."""

    def __init__(self, memory_limit_bytes: int | None = None, spill: Spill | None = None) -> None:
        self._limit = memory_limit_bytes
        self._spill = spill
        self.memory_bytes = 0

    @property
    def disk_bytes(self) -> int:
        """Bytes of undecided chunks outside memory."""
        return self._spill.size_bytes if self._spill is not None else 0

    def charge(self, size_bytes: int) -> None:
        """Count what a trace costs besides its chunks (negative when it is gone), so that summaries count too."""
        self.memory_bytes += size_bytes

    def put(self, chunk: bytes) -> ChunkRef:
        """Keep a chunk and return its reference."""
        cost = len(chunk) + CHUNK_OVERHEAD_BYTES
        if self._spill is not None and self._limit is not None and self.memory_bytes + cost > self._limit:
            return self._spill.put(chunk)
        self.memory_bytes += cost
        return chunk

    def get(self, refs: Sequence[ChunkRef]) -> list[bytes]:
        """The chunks behind these references, in order."""
        numbers = [ref for ref in refs if isinstance(ref, int)]
        if not numbers:
            return list(refs)  # type: ignore[arg-type]  # no integer is left: all are bytes
        assert self._spill is not None
        spilled = iter(self._spill.get(numbers))
        return [next(spilled) if isinstance(ref, int) else ref for ref in refs]

    def release(self, refs: Iterable[ChunkRef]) -> None:
        """Forget these chunks, without reading them."""
        for ref in refs:
            if isinstance(ref, int):
                assert self._spill is not None
                self._spill.release(ref)
            else:
                self.memory_bytes -= len(ref) + CHUNK_OVERHEAD_BYTES

    def flush(self) -> None:
        """Bring what was spilled since the last call to disk; called once a fetched batch."""
        if self._spill is not None:
            self._spill.flush()

    def close(self) -> None:
        """Delete what is on disk."""
        if self._spill is not None:
            self._spill.close()

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

ENTRY_OVERHEAD_BYTES = 700
"""What an entry costs in memory with its summary, id, list and places in the indexes."""

ChunkRef: TypeAlias = bytes | int

NO_CHUNKS: list[ChunkRef] = []
"""The chunks of an entry whose payload was given up; nothing is ever added to it."""


class SpillError(Exception):
    """The spill takes nothing at this moment; the message says why. What it was given it keeps in memory."""


class Spill(Protocol):
    """Chunks outside memory."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the chunks that are kept, dropped ones left out."""
        ...

    @property
    def unwritten_bytes(self) -> int:
        """Bytes of the chunks that were put and are still in memory."""
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
        """Write what was put since the last call, in one batch; SpillError where that cannot be done now."""
        ...

    def close(self) -> None:
        """Close and delete the files; nothing may be read afterwards."""
        ...


class ChunkStore:
    """The bytes in memory of all partitions against `memory_limit_bytes`, and the spill beyond it.

    `memory_bytes` is counted by the trace tables, entries included. Without a spill all stays in memory, and so does
    what comes while the spill takes nothing: `trouble` then says why, and is empty otherwise.
    """

    def __init__(self, memory_limit_bytes: int = 0, spill: Spill | None = None) -> None:
        self._spill = spill
        self._wanted_limit_bytes = memory_limit_bytes
        self.memory_limit_bytes: float = math.inf if spill is None else memory_limit_bytes
        self.memory_bytes = 0
        self.trouble = ""
        self.before_trouble_bytes = 0
        """What was in memory when the spill last began to take nothing."""

    @property
    def disk_bytes(self) -> int:
        """Bytes of undecided chunks outside memory."""
        return self._spill.size_bytes - self._spill.unwritten_bytes if self._spill is not None else 0

    @property
    def unwritten_bytes(self) -> int:
        """Bytes on their way out of memory; more than one batch only while the spill takes nothing."""
        return self._spill.unwritten_bytes if self._spill is not None else 0

    @property
    def spills(self) -> bool:
        """Whether more than the memory limit goes elsewhere at this moment."""
        return self._spill is not None and not self.trouble

    def limit_memory(self, limit_bytes: int) -> None:
        """Spill beyond another limit from now on; what is in memory already stays there."""
        self._wanted_limit_bytes = limit_bytes
        if self.spills:
            self.memory_limit_bytes = limit_bytes

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
        if self._spill is not None and not self.trouble:
            self._write(self._spill)

    def try_again(self) -> None:
        """Ask a spill that took nothing once more; for now and then, because each attempt costs time."""
        if self._spill is not None and self.trouble:
            self._write(self._spill)

    def _write(self, spill: Spill) -> None:
        try:
            spill.flush()
        except SpillError as error:
            if not self.trouble:
                self.before_trouble_bytes = self.memory_bytes
            self.trouble = str(error)
            self.memory_limit_bytes = math.inf
        else:
            self.trouble = ""
            self.memory_limit_bytes = self._wanted_limit_bytes

    def close(self) -> None:
        """Delete what is on disk."""
        if self._spill is not None:
            self._spill.close()

"""The undecided traces of one partition as they lie on disk between a clean stop and the next start.

Little-endian: magic `TSCK`, version (u8 = 1), length of the head (u32), the head: JSON, then each trace: id (16 bytes),
packed summary (82 bytes), first offset, arrival in ms, deadline in ms (i64 each), foreign (u8), number of chunks (u32),
size of each (u32), the chunks; and last the CRC-32 of everything before it (u32). Traces are in order of arrival.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from sampler.engine.entry import SavedTrace
from sampler.engine.trace_table import TraceTable
from sampler.otlp import unpack_summary

MAGIC = b"TSCK"
VERSION = 1
_START = struct.Struct("<4sBI")
_TRACE = struct.Struct("<16s82sqqqBI")
_CRC = struct.Struct("<I")
_PIECE_BYTES = 1 << 20


class CheckpointError(ValueError):
    """The file is damaged, cut short, or of a version this program does not know."""


@dataclass(frozen=True, slots=True)
class CheckpointHead:
    """Where a partition's work stood, and what must not have changed since for it to be gone on with.

    `last_record` is (term, generation, sequence) of the newest decision record, None where there is none: if another
    has come since, somebody else has decided traces of the partition.
    """

    partition: int
    watermark: int
    next_offset: int
    now_ms: int
    policies: str
    partitions: int
    last_record: tuple[int, int, int] | None
    traces: int
    admitted: Mapping[str, int] = field(default_factory=dict)
    """Of traces that were let in while others were refused: the threshold, by trace id in hex."""


class _Summed:
    """Writes, and sums up what it wrote."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc = 0

    def write(self, data: bytes) -> None:
        self.crc = zlib.crc32(data, self.crc)
        self._file.write(data)


def write_checkpoint(file: BinaryIO, head: CheckpointHead, table: TraceTable) -> Iterator[int]:
    """Write the head and every trace of the table; yields the bytes written after each trace, so that it can be ended.

    The file is complete when the iterator is.
    """
    out = _Summed(file)
    encoded = json.dumps(asdict(head)).encode()
    out.write(_START.pack(MAGIC, VERSION, len(encoded)) + encoded)
    for entry in table.by_age():
        chunks = table.read(entry)
        sizes = [len(chunk) for chunk in chunks]
        out.write(
            _TRACE.pack(
                entry.trace_id, entry.summary.pack(), entry.first_offset, entry.arrived_ms, entry.due_ms,
                entry.foreign, len(chunks),
            )
            + struct.pack(f"<{len(sizes)}I", *sizes)
        )  # fmt: skip
        for chunk in chunks:
            out.write(chunk)
        yield _TRACE.size + sum(sizes)
    file.write(_CRC.pack(out.crc))


class CheckpointReader:
    """Reads a whole file back; CheckpointError where it is no complete checkpoint, found out before the first trace."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._check_sum()
        magic, version, size = _START.unpack(self._take(_START.size))
        if magic != MAGIC or version != VERSION:
            raise CheckpointError(f"not a checkpoint of version {VERSION}")
        try:
            fields = json.loads(self._take(size))
            last = fields.pop("last_record")
            self.head = CheckpointHead(**fields, last_record=None if last is None else tuple(last))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise CheckpointError(f"a head that cannot be read: {error}") from error

    def traces(self) -> Iterator[SavedTrace]:
        """Every trace, in order of arrival, one at a time: a partition may hold more than fits in memory."""
        for _ in range(self.head.traces):
            yield self._trace()

    def _trace(self) -> SavedTrace:
        trace_id, packed, first, arrived, due, foreign, count = _TRACE.unpack(self._take(_TRACE.size))
        sizes = struct.unpack(f"<{count}I", self._take(4 * count))
        chunks = [self._take(size) for size in sizes]
        try:
            summary = unpack_summary(packed)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        return SavedTrace(trace_id, summary, first, arrived, due, bool(foreign), chunks)

    def _check_sum(self) -> None:
        """Read the file to its end once, and go back to its beginning."""
        crc, last = 0, b""
        while piece := self._file.read(_PIECE_BYTES):
            data = last + piece
            crc, last = zlib.crc32(data[: -_CRC.size], crc), data[-_CRC.size :]
        if last != _CRC.pack(crc):
            raise CheckpointError("its check sum is wrong: it is damaged or cut short")
        self._file.seek(0)

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise CheckpointError("it is cut short")
        return data

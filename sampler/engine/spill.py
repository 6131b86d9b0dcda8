"""Chunks in RocksDB, beyond the memory limit.

Chunks are numbered in order of arrival and written under that number (8 bytes, big-endian), so every write is an
append and nothing is ever sorted anew. They lie in buckets, one database each; a bucket is closed for writing when it
has reached its size, and dropped whole, files and all, when the last of its chunks is released: a delete per trace
would leave tombstones that halve the speed of everything after them. The source topic is the log of these bytes, so
there is no write-ahead log, and whatever an earlier process left behind is deleted at start.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

DEFAULT_BUCKET_BYTES = 128 * 1024 * 1024
WRITE_BUFFER_BYTES = 16 * 1024 * 1024
BLOCK_CACHE_BYTES = 8 * 1024 * 1024
SIZE_BITS = 32
"""A reference is the chunk's number with its size in the low bits: a table of sizes would cost more memory."""


@dataclass(slots=True)
class _Bucket:
    path: Path
    db: Rdict
    first: int
    written_bytes: int = 0
    live_chunks: int = 0
    open_for_writing: bool = True


def _options(cache: Cache) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    # Numbers only grow: files never overlap, so compaction could only copy what a dropped bucket throws away anyway.
    options.set_disable_auto_compactions(True)
    options.set_level_zero_slowdown_writes_trigger(1 << 20)
    options.set_level_zero_stop_writes_trigger(1 << 20)
    options.set_compression_type(DBCompressionType.none())
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    options.set_block_based_table_factory(table)
    return options


class RocksSpill:
    """A spill in buckets below `path`; the folder belongs to this object alone and is emptied first."""

    def __init__(self, path: Path, *, bucket_bytes: int = DEFAULT_BUCKET_BYTES) -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        self._path = path
        self._bucket_bytes = bucket_bytes
        self._cache = Cache(BLOCK_CACHE_BYTES)
        self._write = WriteOptions()
        cast(Any, self._write).disable_wal = True  # an attribute, though its stub says method
        self._buckets: list[_Bucket] = []
        self._batch: WriteBatch | None = None
        self._next = 0
        self.size_bytes = 0

    def put(self, chunk: bytes) -> int:
        """Add a chunk, below 4 GiB, to the open bucket's batch and return its reference."""
        bucket = self._buckets[-1] if self._buckets else None
        if bucket is None or not bucket.open_for_writing:
            bucket = self._open_bucket()
        if self._batch is None:
            self._batch = WriteBatch(raw_mode=True)
        number = self._next
        self._next += 1
        self._batch.put(number.to_bytes(8, "big"), chunk)
        size = len(chunk)
        bucket.written_bytes += size
        bucket.live_chunks += 1
        self.size_bytes += size
        return number << SIZE_BITS | size

    def get(self, numbers: Sequence[int]) -> list[bytes]:
        """Read chunks; a reference whose bucket is gone raises KeyError."""
        self.flush()
        chunks: list[bytes] = []
        for bucket, group in groupby(numbers, self._bucket_of):
            keys = [(number >> SIZE_BITS).to_bytes(8, "big") for number in group]
            found = bucket.db.get(cast(Any, keys))  # its signature asks for a list of any key type
            for key, chunk in zip(keys, found or (), strict=True):
                if chunk is None:
                    raise KeyError(int.from_bytes(key, "big"))
                chunks.append(chunk)
        return chunks

    def release(self, number: int) -> None:
        """Forget a chunk; with the last of a bucket its files go."""
        bucket = self._bucket_of(number)
        size = number & (1 << SIZE_BITS) - 1
        bucket.live_chunks -= 1
        self.size_bytes -= size
        if not bucket.live_chunks and not bucket.open_for_writing:
            self._buckets.remove(bucket)
            self._drop(bucket)

    def flush(self) -> None:
        """Write the batch; a bucket that has reached its size is closed for writing."""
        if self._batch is None:
            return
        bucket = self._buckets[-1]
        bucket.db.write(self._batch, self._write)
        self._batch = None
        if bucket.written_bytes >= self._bucket_bytes:
            bucket.open_for_writing = False
            if not bucket.live_chunks:
                self._buckets.remove(bucket)
                self._drop(bucket)

    def close(self) -> None:
        """Drop every bucket and the folder."""
        self._batch = None
        for bucket in self._buckets:
            self._drop(bucket)
        self._buckets.clear()
        shutil.rmtree(self._path, ignore_errors=True)

    def _open_bucket(self) -> _Bucket:
        path = self._path / f"{self._next:020d}"
        db = Rdict(str(path), options=_options(self._cache), access_type=AccessType.read_write())
        bucket = _Bucket(path=path, db=db, first=self._next)
        self._buckets.append(bucket)
        return bucket

    def _bucket_of(self, number: int) -> _Bucket:
        for bucket in reversed(self._buckets):
            if bucket.first <= number >> SIZE_BITS:
                return bucket
        raise KeyError(number)

    @staticmethod
    def _drop(bucket: _Bucket) -> None:
        # An open database keeps its files: close first, whatever garbage collection does later.
        bucket.db.close()
        shutil.rmtree(bucket.path, ignore_errors=True)

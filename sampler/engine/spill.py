"""Chunks in RocksDB, beyond the memory limit.

Chunks are numbered in order of arrival and written under that number (8 bytes, big-endian), so every write is an
append and nothing is ever sorted anew. They lie in buckets, one database each; a bucket is closed for writing when it
has reached its size, and dropped whole, files and all, when the last of its chunks is released: a delete per trace
would leave tombstones that halve the speed of everything after them. The source topic is the log of these bytes, so
there is no write-ahead log, and whatever an earlier process left behind is deleted at start.

A chunk stays in memory until RocksDB has taken it. A database whose write has failed is never written to again: it
refuses everything from then on, but what it took before can still be read, from its buffers where they could not be
brought to disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from rocksdict import Cache, Rdict, WriteBatch

from sampler.engine.buckets import BLOCK_CACHE_BYTES, drop_bucket, open_bucket, without_log
from sampler.engine.chunk_store import SpillError

DEFAULT_BUCKET_BYTES = 128 * 1024 * 1024
WRITE_BUFFER_BYTES = 16 * 1024 * 1024
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


class RocksSpill:
    """A spill in buckets below `path`; the folder belongs to this object alone and is emptied first.

    It writes only while the disk has `reserve_bytes` left: RocksDB writes behind its buffers, and would notice a full
    disk only after it has taken more than fits, and others need the disk too.
    """

    def __init__(self, path: Path, *, bucket_bytes: int = DEFAULT_BUCKET_BYTES, reserve_bytes: int = 0) -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        self._path = path
        self._bucket_bytes = bucket_bytes
        self._reserve_bytes = reserve_bytes
        self._cache = Cache(BLOCK_CACHE_BYTES)
        self._write = without_log()
        self._buckets: list[_Bucket] = []
        self._unwritten: dict[int, bytes] = {}
        self._next = 0
        self.size_bytes = 0
        self.unwritten_bytes = 0

    def databases(self) -> list[Rdict]:
        """The open databases, to be looked at."""
        return [bucket.db for bucket in self._buckets]

    def put(self, chunk: bytes) -> int:
        """Take a chunk, below 4 GiB, for the next batch and return its reference."""
        number, size = self._next, len(chunk)
        self._next += 1
        self._unwritten[number] = chunk
        self.unwritten_bytes += size
        self.size_bytes += size
        return number << SIZE_BITS | size

    def get(self, numbers: Sequence[int]) -> list[bytes]:
        """Read chunks; a reference whose bucket is gone raises KeyError."""
        chunks: list[bytes] = []
        for bucket, group in groupby(numbers, self._bucket_of):
            if bucket is None:
                chunks += [self._unwritten[number >> SIZE_BITS] for number in group]
                continue
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
        self.size_bytes -= size
        if bucket is None:
            del self._unwritten[number >> SIZE_BITS]
            self.unwritten_bytes -= size
            return
        bucket.live_chunks -= 1
        if not bucket.live_chunks and not bucket.open_for_writing:
            self._buckets.remove(bucket)
            self._drop(bucket)

    def flush(self) -> None:
        """Write the batch; a bucket that has reached its size is closed for writing.

        SpillError where the disk is full or fails: then the batch is kept in memory for the next call.
        """
        if not self._unwritten:
            return
        self._check_room()
        bucket = self._writable()
        batch = WriteBatch(raw_mode=True)
        for number, chunk in self._unwritten.items():
            batch.put(number.to_bytes(8, "big"), chunk)
        try:
            bucket.db.write(batch, self._write)
        except Exception as error:  # RocksDB's errors have no type of their own
            self._close_for_writing(bucket)
            raise SpillError(f"spans cannot be written to {self._path}: {error}") from error
        bucket.written_bytes += self.unwritten_bytes
        bucket.live_chunks += len(self._unwritten)
        self._unwritten.clear()
        self.unwritten_bytes = 0
        if bucket.written_bytes >= self._bucket_bytes:
            self._close_for_writing(bucket)

    def close(self) -> None:
        """Drop every bucket and the folder."""
        self._unwritten.clear()
        self.size_bytes = self.unwritten_bytes = 0
        for bucket in self._buckets:
            self._drop(bucket)
        self._buckets.clear()
        shutil.rmtree(self._path, ignore_errors=True)

    def _check_room(self) -> None:
        if not self._reserve_bytes:
            return
        disk = os.statvfs(self._path)
        free = disk.f_bavail * disk.f_frsize
        if free < self._reserve_bytes + self.unwritten_bytes:
            raise SpillError(f"the disk of {self._path} is full: {free >> 20} MiB free")

    def _writable(self) -> _Bucket:
        """The bucket that is written to, a new one where there is none."""
        bucket = self._buckets[-1] if self._buckets else None
        if bucket is not None and bucket.open_for_writing:
            return bucket
        first = next(iter(self._unwritten))
        path = self._path / f"{first:020d}"
        # A bucket that failed before it had anything may have begun with the same number.
        shutil.rmtree(path, ignore_errors=True)
        try:
            path.parent.mkdir(exist_ok=True)
            db = open_bucket(path, self._cache, WRITE_BUFFER_BYTES, bloom_filter=False)
        except Exception as error:  # as above
            shutil.rmtree(path, ignore_errors=True)
            raise SpillError(f"spans cannot be written to {self._path}: {error}") from error
        bucket = _Bucket(path=path, db=db, first=first)
        self._buckets.append(bucket)
        return bucket

    def _close_for_writing(self, bucket: _Bucket) -> None:
        bucket.open_for_writing = False
        if not bucket.live_chunks:
            self._buckets.remove(bucket)
            self._drop(bucket)

    def _bucket_of(self, number: int) -> _Bucket | None:
        """The bucket that a chunk was written to; None where it was not written yet."""
        if number >> SIZE_BITS in self._unwritten:
            return None
        for bucket in reversed(self._buckets):
            if bucket.first <= number >> SIZE_BITS:
                return bucket
        raise KeyError(number)

    @staticmethod
    def _drop(bucket: _Bucket) -> None:
        drop_bucket(bucket.db, bucket.path)

"""Keys and values on disk for a while: found by key, forgotten by age, or the oldest first when there are too many.

They lie in buckets, one RocksDB database each, written one after the other and dropped whole, files and all. Of a key
that was put several times the newest value counts. There is no write-ahead log: what an earlier process left behind is
deleted at start. A disk that is full or fails costs what is kept here, and nothing else.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

from rocksdict import Cache, Rdict, WriteBatch

from sampler.engine.buckets import BLOCK_CACHE_BYTES, drop_bucket, open_bucket, without_log

logger = logging.getLogger(__name__)

BUCKETS = 8
"""Into so many buckets the time that is kept is cut, and the bytes."""
MOST_BUCKETS = 24
"""More are never open, however far apart the times of the owners are."""
WRITE_BUFFER_BYTES = 8 * 1024 * 1024
OWNER_BYTES = 4
REST_PUTS = 10_000
"""After a failure so many puts are refused, so that a full disk is not tried at every one."""


@dataclass(slots=True, eq=False)
class _Bucket:
    """`first_ms` and `newest_ms`: times of what an owner has put there."""

    path: Path
    db: Rdict
    size_bytes: int = 0
    items: int = 0
    first_ms: dict[int, int] = field(default_factory=dict)
    newest_ms: dict[int, int] = field(default_factory=dict)
    dropped: bool = False


class Retention:
    """One store for all partitions of a worker, which are its owners, each with keys and a time of its own.

    The folder belongs to this object alone. `limit_bytes` counts keys and values. `keep_ms` says for how long owners
    want things kept, and may be changed. `forgotten` counts the items lost before their time.
    """

    def __init__(self, path: Path, limit_bytes: int, *, keep_ms: int = 0, reserve_bytes: int = 0) -> None:
        """Nothing is written while the disk has less than `reserve_bytes` left."""
        shutil.rmtree(path, ignore_errors=True)
        self._path = path
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self.keep_ms = keep_ms
        self.forgotten = 0
        self.size_bytes = 0
        self._cache = Cache(BLOCK_CACHE_BYTES)
        self._write = without_log()
        self._buckets: list[_Bucket] = []
        self._batch: WriteBatch | None = None
        self._before_ms: dict[int, int] = {}
        self._rest_puts = 0
        self._owners, self._numbers = count(), count()

    @property
    def items(self) -> int:
        """Items kept, replaced ones and those about to be forgotten among them."""
        return sum(bucket.items for bucket in self._buckets)

    def databases(self) -> list[Rdict]:
        """The open databases, to be looked at."""
        return [bucket.db for bucket in self._buckets]

    def new_owner(self) -> int:
        """A number under which somebody may put things, never given before."""
        return next(self._owners)

    def put(self, owner: int, key: bytes, value: bytes, at_ms: int, *, items: int = 0) -> bool:
        """Keep a value of the time `at_ms`, counted as so many items; False where it is too large or the disk fails."""
        if self._rest_puts:
            self._rest_puts -= 1
            return False
        size = OWNER_BYTES + len(key) + len(value)
        bucket = self._bucket_for(owner, at_ms) if size <= self._limit_bytes // BUCKETS else None
        if bucket is None:
            return False
        if self._batch is None:
            self._batch = WriteBatch(raw_mode=True)
        self._batch.put(_prefixed(owner, key), value)
        bucket.newest_ms[owner] = max(at_ms, bucket.newest_ms.get(owner, at_ms))
        bucket.size_bytes += size
        bucket.items += items
        self.size_bytes += size
        return True

    def get(self, owner: int, key: bytes) -> bytes | None:
        """The newest value of a key, None where there is none, or none any more."""
        self.flush()
        full = _prefixed(owner, key)
        try:
            for bucket in reversed(self._buckets):
                value = bucket.db.get(full)
                if value is not None:
                    return cast(bytes, value)
        except Exception as error:  # RocksDB's errors have no type of their own
            self._lose(error)
        return None

    def scan(self, owner: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every key that begins so, with its value; the newest of several values first, the others later.

        Things may be put and forgotten meanwhile: new ones may be left out.
        """
        self.flush()
        full = _prefixed(owner, prefix)
        for bucket in reversed(list(self._buckets)):
            if bucket.dropped:
                continue
            with suppress(Exception):  # what cannot be read is not there
                for key, value in bucket.db.items(from_key=full):
                    if bucket.dropped or not cast(bytes, key).startswith(full):
                        break
                    yield cast(bytes, key)[OWNER_BYTES:], cast(bytes, value)

    def flush(self) -> None:
        """Write what was put since the last call, in one batch."""
        if self._batch is None:
            return
        batch, self._batch = self._batch, None
        try:
            if self._reserve_bytes and shutil.disk_usage(self._path).free < self._reserve_bytes:
                raise OSError(f"less than {self._reserve_bytes >> 20} MiB are left on the disk of {self._path}")
            self._buckets[-1].db.write(batch, self._write)
        except Exception as error:  # as above
            self._lose(error)

    def expire(self, owner: int, before_ms: int) -> None:
        """Nothing of this owner from before that time is wanted any more."""
        self._before_ms[owner] = before_ms
        self._drop_unwanted()

    def forget(self, owner: int) -> None:
        """Nothing of this owner is wanted any more; its number is used up."""
        self._before_ms.pop(owner, None)
        for bucket in self._buckets:
            bucket.newest_ms.pop(owner, None)
        self._drop_unwanted()

    def close(self) -> None:
        """Drop everything, with the folder."""
        while self._buckets:
            self._drop(self._buckets[0])
        shutil.rmtree(self._path, ignore_errors=True)

    def _bucket_for(self, owner: int, at_ms: int) -> _Bucket | None:
        if self._buckets:
            bucket = self._buckets[-1]
            age_ms = at_ms - bucket.first_ms.setdefault(owner, at_ms)
            if bucket.size_bytes < self._limit_bytes // BUCKETS and age_ms <= self.keep_ms // BUCKETS:
                return bucket
            self.flush()
            self._finish_newest()
        # The bucket to come may grow to its part of the limit.
        while self._buckets and (
            self.size_bytes > self._limit_bytes - self._limit_bytes // BUCKETS or len(self._buckets) >= MOST_BUCKETS
        ):
            self.forgotten += self._buckets[0].items
            self._drop(self._buckets[0])
        try:
            path = self._path / f"{next(self._numbers):010d}"
            path.mkdir(parents=True)
            db = open_bucket(path, self._cache, WRITE_BUFFER_BYTES, bloom_filter=True)
        except Exception as error:  # as above
            self._lose(error)
            return None
        bucket = _Bucket(path, db, first_ms={owner: at_ms})
        self._buckets.append(bucket)
        return bucket

    def _finish_newest(self) -> None:
        """Nothing more is written to the newest bucket: its write buffers are not needed any more."""
        if self._buckets:
            with suppress(Exception):  # what was taken can still be read from the buffers
                self._buckets[-1].db.flush(wait=False)

    def _drop_unwanted(self) -> None:
        before = self._before_ms
        for bucket in list(self._buckets):
            if all(newest < before.get(owner, newest) for owner, newest in bucket.newest_ms.items()):
                self._drop(bucket)

    def _lose(self, error: Exception) -> None:
        logger.warning("dropped traces that were kept for a second look are lost, the disk refuses them: %s", error)
        self.forgotten += self.items
        self._rest_puts = REST_PUTS
        while self._buckets:
            self._drop(self._buckets[0])

    def _drop(self, bucket: _Bucket) -> None:
        if bucket is self._buckets[-1]:
            self._batch = None
        self._buckets.remove(bucket)
        self.size_bytes -= bucket.size_bytes
        bucket.dropped = True
        drop_bucket(bucket.db, bucket.path)


def _prefixed(owner: int, key: bytes) -> bytes:
    return owner.to_bytes(OWNER_BYTES, "big") + key

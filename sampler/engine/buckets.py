"""How the databases are set up that are written in one go, live for minutes and are dropped whole, files and all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from rocksdict import AccessType, BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteOptions

BLOCK_CACHE_BYTES = 8 * 1024 * 1024


def open_bucket(path: Path, cache: Cache, write_buffer_bytes: int, *, bloom_filter: bool) -> Rdict:
    """A new database; `bloom_filter` where most look-ups are for keys that are not there. Raises RocksDB's errors."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_max_write_buffer_number(2)
    # Compaction could only copy what a dropped bucket throws away anyway.
    options.set_disable_auto_compactions(True)
    options.set_level_zero_slowdown_writes_trigger(1 << 20)
    options.set_level_zero_stop_writes_trigger(1 << 20)
    options.set_compression_type(DBCompressionType.none())
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    if bloom_filter:
        table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return Rdict(str(path), options=options, access_type=AccessType.read_write())


def drop_bucket(db: Rdict, path: Path) -> None:
    """Give up a database, whatever state it is in, and delete its files."""
    # An open database keeps its files: close first, whatever garbage collection does later. Closing brings buffers to
    # disk, which a full one refuses; nobody needs them any more.
    with suppress(Exception):
        db.close()
    shutil.rmtree(path, ignore_errors=True)


def without_log() -> WriteOptions:
    """For writes that Kafka can bring again: there is no write-ahead log."""
    options = WriteOptions()
    cast(Any, options).disable_wal = True  # an attribute, though its stub says method
    return options

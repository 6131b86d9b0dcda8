"""The decision table: a Faust Table with a changelog topic and a RocksDB store, written per source partition."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import faust
from faust.stores import STORES, rocksdb
from faust.streams import _current_event
from faust.types import TP
from faust.types.tuples import FutureMessage

from sampler.engine.decision_record import DecisionRecord, RecordError, decode

logger = logging.getLogger(__name__)

TABLE_NAME = "decisions"
STORE_SCHEME = "tail-rocksdb"
STORE_OPTIONS = {
    "driver": "rocksdict",
    # Faust's defaults are up to 192 MiB of write buffers a partition and a cache of 2 GiB; we read only at start.
    "write_buffer_size": 2 * 1024 * 1024,
    "max_write_buffer_number": 2,
    "block_cache_size": 1024 * 1024,
    "max_open_files": 64,
}


class DecisionStore(rocksdb.Store):
    """Faust's RocksDB store, which closes its databases and can be read by partition."""

    def records(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of one partition, without Faust's own bookkeeping."""
        for key, value in self._db_for_partition(partition).items():
            if key != self.offset_key:
                yield key, value

    def revoke_partitions(self, table: Any, tps: set[TP]) -> None:
        """Close the databases of lost partitions: dropping the reference leaves their lock to the garbage collector."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics:
                db = self._dbs.pop(tp.partition, None)
                if db is not None:
                    db.close()

    async def stop(self) -> None:
        """Close every database."""
        for db in self._dbs.values():
            db.close()
        self._dbs.clear()


def register() -> str:
    """Make the store known to Faust and return its URL, for the app's `store` setting.

    A table's own `store` is ignored where the URL has nothing behind its scheme.
    """
    STORES.aliases[STORE_SCHEME] = f"{__name__}:{DecisionStore.__name__}"
    return f"{STORE_SCHEME}://"


class _PartitionEvent:
    """Stands for the event being processed, from which a Faust Table takes the partition it writes to."""

    def __init__(self, topic: str, partition: int) -> None:
        self.message = SimpleNamespace(topic=topic, partition=partition)


class _Table(faust.Table[bytes, bytes]):
    """A table that remembers its last changelog message, so that one can wait for it to reach the brokers."""

    last_sent: FutureMessage

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:
        """Send a change to the changelog topic."""
        self.last_sent = super().send_changelog(*args, **kwargs)
        return self.last_sent


class DecisionTable:
    """Decision records by source partition. `on_failure` is called when one cannot be brought to the brokers."""

    def __init__(
        self,
        app: faust.App,
        *,
        span_topic: str,
        changelog_topic: str,
        partitions: int,
        on_failure: Callable[[str], None],
    ) -> None:
        self._span_topic = span_topic
        self._on_failure = on_failure
        self.table = _Table(
            app,
            name=TABLE_NAME,
            partitions=partitions,
            options=dict(STORE_OPTIONS),
            key_type=bytes,
            value_type=bytes,
            beacon=app.tables.beacon,
            # The serializers have to be named: those of a topic default to JSON whatever its types are, and recovery
            # would then fail record by record.
            changelog_topic=app.topic(
                changelog_topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
                partitions=partitions, acks=False, internal=True, maxsize=131_072, allow_empty=True, compacting=True,
                deleting=False,
            ),
        )  # fmt: skip
        app.tables.add(cast(Any, self.table))

    def put(self, partition: int, record: DecisionRecord) -> FutureMessage:
        """Write a record; what is returned is done when the brokers have it.

        Faust's own flush before a commit gives up after a tenth of a second without progress, and takes a failed
        changelog message for a warning.
        """
        with self._writing_to(partition):
            self.table[record.key] = record.encode()
        sent = self.table.last_sent
        sent.add_done_callback(self._check)
        return sent

    def _check(self, sent: asyncio.Future[Any]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None:
            self._on_failure(f"a decision record could not be written to the changelog: {error}")

    def forget(self, partition: int, keys: Sequence[bytes]) -> None:
        """Delete records, with tombstones in the changelog."""
        with self._writing_to(partition):
            for key in keys:
                self.table.pop(key, None)

    def recovered(self, partition: int) -> list[DecisionRecord]:
        """Every readable record of a partition; damaged ones are named in the log and left out."""
        records = []
        for key, value in cast(DecisionStore, self.table.data).records(partition):
            try:
                records.append(decode(key, value))
            except RecordError as error:
                logger.error("decision table, partition %d, key %s: %s", partition, key.hex(), error)
        return records

    @contextmanager
    def _writing_to(self, partition: int) -> Iterator[None]:
        event = _PartitionEvent(self._span_topic, partition)
        token = _current_event.set(weakref.ref(cast(Any, event)))
        try:
            yield
        finally:
            _current_event.reset(token)

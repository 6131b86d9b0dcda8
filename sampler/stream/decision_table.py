"""The decision table: a Faust Table with a changelog topic and a RocksDB store, written per source partition."""

from __future__ import annotations

import asyncio
import logging
import shutil
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import faust
from faust.stores import STORES, rocksdb
from faust.streams import _current_event, current_event
from faust.types import TP
from faust.types.tuples import FutureMessage
from rocksdict import Rdict

from sampler.clock import monotonic_s
from sampler.engine.decision_record import DecisionRecord, RecordError, decode
from sampler.log_fields import where
from sampler.stream.changelog import read_changelog
from sampler.stream.faust_log import FAUST_LOG

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
HEAD_START_S = 20.0
"""How long a rebalance may wait for it: the group must not be kept from its next one for long."""
RECOVERY_BUFFER_RECORDS = 64
"""Records read back or copied that wait to be written together: each may be half a MiB, and Faust's default is 1000."""

LOCKED = ("lock hold by", "While lock file")
"""In RocksDB's words: another process, or this one, has the database open."""


class DecisionStore(rocksdb.Store):
    """Faust's RocksDB store, which closes its databases, can be read by partition, and makes damaged ones anew."""

    logger = FAUST_LOG

    def records(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of one partition, without Faust's own bookkeeping."""
        for key, value in _pairs(self._db_for_partition(partition)):
            if key != self.offset_key:
                yield key, value

    def _open_for_partition(self, partition: int) -> Any:
        """Open a partition's database and read it once; a damaged one is deleted, and the changelog fills it again."""
        opened: list[Any] = []
        try:
            opened.append(super()._open_for_partition(partition))
            for _ in _pairs(opened[0]):
                pass
        except Exception as error:
            if any(text in str(error) for text in LOCKED):
                raise
            path = self.partition_path(partition)
            logger.error("%s is damaged and made anew from the changelog: %s", path, error)
            for db in opened:
                db.close()
            shutil.rmtree(path, ignore_errors=True)
            return super()._open_for_partition(partition)
        return opened[0]

    async def assign_partitions(self, table: Any, tps: set[TP], generation_id: int = 0) -> None:
        """Open the databases of partitions that are ours now, and give their recovery a head start."""
        await super().assign_partitions(table, tps, generation_id)
        standbys = self.app.assignor.assigned_standbys()
        topics = table.changelog_topic.topics
        ours = [tp.partition for tp in tps if tp.topic in topics and tp not in standbys and tp.partition in self._dbs]
        conf = cast(Any, self.app).changelog_conf
        if ours and conf is not None:
            start_s = monotonic_s()
            read = await asyncio.get_running_loop().run_in_executor(
                None,
                partial(
                    read_changelog, conf, table.changelog_topic_name, {p: self._dbs[p] for p in ours}, self.offset_key,
                    timeout_s=HEAD_START_S, monotonic_s=monotonic_s,
                ),
            )  # fmt: skip
            table.records_read_ahead += read
            logger.info(
                "read %d records of %s for %d partitions in %.2f s",
                read, table.changelog_topic_name, len(ours), monotonic_s() - start_s,
                extra=where(table.changelog_topic_name),
            )  # fmt: skip

    def _del(self, key: bytes) -> None:
        # Faust would look for the key in the partition that it was last written to, and in all if it does not know; but
        # keys of different partitions are equal.
        event = current_event()
        assert event is not None  # the changelog message of the deletion was sent to its partition
        self._db_for_partition(event.message.partition).delete(key)

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


def _pairs(db: Any) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a database; an exception where it cannot be read to its end.

    The iterator of rocksdict itself ends at damage as if there were no more.
    """
    at = db.iter()
    try:
        at.seek_to_first()
        while at.valid():
            yield at.key(), at.value()
            at.next()
        at.status()
    finally:
        # An iterator keeps the database open and locked for as long as anything refers to it, a traceback included.
        del at


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

    logger = FAUST_LOG
    last_sent: FutureMessage
    records_read_ahead = 0
    """Records that the store has read back before Faust's recovery."""

    def send_changelog(self, *args: Any, **kwargs: Any) -> FutureMessage:
        """Send a change to the changelog topic."""
        self.last_sent = super().send_changelog(*args, **kwargs)
        return self.last_sent

    def _on_changelog_sent(self, fut: FutureMessage) -> None:
        """Note up to where the database has all of the changelog, from where the next recovery goes on.

        What arrives there from us late, when the partition had another owner, comes behind records of that owner which
        are not in our database: the note stays before them.
        """
        sent, store = fut.result(), cast(DecisionStore, self.data)
        if sent.topic_partition.partition in store._dbs:
            noted = store.persisted_offset(sent.topic_partition)
            if sent.offset == (0 if noted is None else noted + 1):
                store.set_persisted_offset(sent.topic_partition, sent.offset)


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
            recovery_buffer_size=RECOVERY_BUFFER_RECORDS,
            # The serializers have to be named: those of a topic default to JSON whatever its types are, and recovery
            # would then fail record by record.
            changelog_topic=app.topic(
                changelog_topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
                partitions=partitions, acks=False, internal=True, maxsize=131_072, allow_empty=True, compacting=True,
                deleting=False,
            ),
        )  # fmt: skip
        app.tables.add(cast(Any, self.table))

    def databases(self) -> list[Rdict]:
        """The open databases, to be looked at."""
        return list(cast(DecisionStore, self.table.data)._dbs.values())

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
                del self.table[key]

    def recovered(self, partition: int) -> list[DecisionRecord]:
        """Every readable record of a partition; damaged ones are named in the log and left out."""
        records = []
        for key, value in cast(DecisionStore, self.table.data).records(partition):
            try:
                records.append(decode(key, value))
            except RecordError as error:
                about = where(self.table.changelog_topic_name, partition)
                logger.error("decision table, partition %d, key %s: %s", partition, key.hex(), error, extra=about)
        return records

    @contextmanager
    def _writing_to(self, partition: int) -> Iterator[None]:
        event = _PartitionEvent(self._span_topic, partition)
        token = _current_event.set(weakref.ref(cast(Any, event)))
        try:
            yield
        finally:
            _current_event.reset(token)

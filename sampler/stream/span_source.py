"""The data plane: spans fetched in batches by librdkafka, for partitions that Faust's group was given.

All methods but `rewind`, `read_header`, `views` and the properties belong to one thread, the one that fetches.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from sampler.engine.gathering import Record
from sampler.engine.settings import TICK_MS
from sampler.engine.tenant_runs import NO_TENANTS
from sampler.log_fields import where
from sampler.stream.batch import SpanBatch
from sampler.stream.fetches_answered import FetchesAnswered

logger = logging.getLogger(__name__)

FETCH_BYTES = 8 * 1024 * 1024
"""About how much one fetch may bring: more would hold the event loop, and with it the group's heartbeat, too long."""
MAX_RECORDS = 10_000
STATISTICS_INTERVAL_MS = 500
FRESH_S = 2.0
"""A partition counts as idle only if its end was known within this time."""
HEARD_S = 10.0
"""A broker that has answered within this time can be reached."""


class SourceView(NamedTuple):
    """Where a partition is read next, where it ends, and whether its broker was heard of lately, so that this holds."""

    position: int
    end: int
    heard: bool


class _Position:
    """One assigned partition: where the next record is expected, and what was last heard of it."""

    __slots__ = (
        "began_s",
        "begun",
        "broker",
        "emitted_s",
        "end_offset",
        "epoch",
        "gap_at",
        "high",
        "high_known_s",
        "last_ms",
        "last_s",
        "next_offset",
        "replaced",
        "start",
    )

    def __init__(self, epoch: int, offset: int, last_ms: int = -1, last_s: float = 0.0) -> None:
        self.epoch = epoch
        self.start = self.next_offset = self.end_offset = offset
        self.began_s = 0.0
        self.broker = -1
        self.begun = self.replaced = False
        self.last_ms = last_ms
        self.last_s = last_s
        self.high = -1
        self.high_known_s = 0.0
        self.emitted_s = 0.0
        self.gap_at = -1


class SpanSource:
    """Batches of records of one topic. `monotonic_s` is the clock; `initial` says where a new group begins."""

    def __init__(self, conf: Mapping[str, Any], topic: str, *, initial: str, monotonic_s: Callable[[], float]) -> None:
        self._topic = topic
        self._initial = initial
        self._clock = monotonic_s
        self._positions: dict[int, _Position] = {}
        self._paused: set[int] = set()
        self._rewinds: dict[int, tuple[int, int]] = {}
        self._generation = 0
        self._average_bytes = 4096.0
        self._fetches = FetchesAnswered()
        self._header = ""
        self.epoch = 0
        self.gaps = 0
        self.fetches = 0
        """How many fetches have come back."""
        self.fetch_share = 1.0
        """The share of the usual size that a fetch may have; may be set from any thread."""
        self.brokers_up = 0
        self.throttle_ms = 0.0
        """Longest delay by a quota, of the brokers, when last heard of."""
        self._consumer = Consumer(
            {
                # Local queues refill at once when they were full: the default waits a second.
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 32 * 1024,
                "queued.min.messages": 20_000,
                **conf,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # An offset that is not there may be older than the log or be of a log that was there before.
                "auto.offset.reset": "error",
                # Where a partition ends with a transaction's marker, only this tells that its end was reached.
                "enable.partition.eof": True,
                "statistics.interval.ms": STATISTICS_INTERVAL_MS,
                "stats_cb": self._on_statistics,
                "error_cb": self._on_error,
            }
        )

    def assign(self, committed: Mapping[int, int | None], generation: int) -> None:
        """Fetch these partitions and no others, each from its committed offset or, where it has none, from the start
        the configuration names. Batches of any earlier assignment are void.
        """
        self.epoch += 1
        self._generation = generation
        self._rewinds.clear()
        self._paused.clear()
        starts = {
            partition: self._initial_offset(partition) if offset is None else offset
            for partition, offset in committed.items()
        }
        self._positions = {partition: _Position(self.epoch, offset) for partition, offset in starts.items()}
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in starts.items()])
        logger.info("fetching %d partitions of %s, generation %d", len(starts), self._topic, generation)

    def rewind(self, partition: int, offset: int, last_ms: int) -> None:
        """Read a partition from `offset` on, with the next fetch; callable from any thread.

        `last_ms` is the stream time before that offset, -1 where it is not known: should nothing more come, the time of
        an idle partition goes on from there.
        """
        self._rewinds[partition] = offset, last_ms

    def read_header(self, name: str) -> None:
        """Read this header of every record from the next fetch on, none where it is empty; callable from any thread."""
        self._header = name

    def fetch(self, active: Iterable[int], timeout_s: float) -> list[SpanBatch]:
        """What has come within `timeout_s` for the active partitions, one batch each; others are held back."""
        self._hold_back(set(active))
        while self._rewinds:
            partition, (offset, last_ms) = self._rewinds.popitem()
            self._begin_again(partition, offset, offset, last_ms)
        limit = min(MAX_RECORDS, max(1, int(FETCH_BYTES * self.fetch_share / self._average_bytes)))
        header = self._header
        messages = self._consumer.consume(limit, timeout_s)
        self.fetches += 1
        by_partition = self._sort(messages)
        tenants = header_values(messages, header) if header else {}
        now_s = self._clock()
        batches = []
        for partition, records in by_partition.items():
            batch = self._batch(partition, records, now_s)
            if batch is not None:
                named = tenants.get(partition, NO_TENANTS)
                batches.append(replace(batch, header=header, tenants=named) if header else batch)
        for partition, position in self._positions.items():
            if partition not in by_partition and partition not in self._paused:
                idle_ms = self._idle_ms(position, now_s)
                # The first batch of a run comes also without records: the partition is taken up, its offset committed.
                if position.emitted_s == 0.0 or (idle_ms is not None and now_s - position.emitted_s >= TICK_MS / 1000):
                    position.emitted_s = now_s
                    at = position.next_offset
                    batches.append(self._made(partition, position, at, [], idle_ms))
        return batches

    def high_watermark(self, partition: int) -> int:
        """The offset after the partition's last record, as last heard; the next offset where nothing was heard."""
        position = self._positions.get(partition)
        return -1 if position is None else max(position.high, position.next_offset)

    def lag(self) -> dict[int, int]:
        """Records not yet fetched, by partition."""
        return {p: max(0, pos.high - pos.next_offset) for p, pos in self._positions.items()}

    @property
    def average_record_bytes(self) -> float:
        """Size of a record lately, as fetched; callable from any thread."""
        return self._average_bytes

    def views(self, now_s: float) -> dict[int, SourceView]:
        """Every partition as it stands; callable from any thread."""
        return {
            number: SourceView(
                position.next_offset,
                position.next_offset if _at_end(position) else position.high,
                now_s - position.high_known_s <= HEARD_S,
            )
            for number, position in list(self._positions.items())
        }

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _sort(self, messages: list[Message]) -> dict[int, list[Record]]:
        by_partition: dict[int, list[Record]] = {}
        size = 0
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_event(message, error)
                continue
            value = message.value() or b""
            size += len(value)
            partition, offset = message.partition(), message.offset()
            assert partition is not None and offset is not None  # noqa: PT018  # only errors have none
            records = by_partition.get(partition)
            if records is None:
                records = by_partition[partition] = []
            records.append((offset, message.timestamp()[1], value))
        if messages:
            self._average_bytes = max(64.0, 0.5 * self._average_bytes + 0.5 * size / len(messages))
        return by_partition

    def _batch(self, partition: int, records: list[Record], now_s: float) -> SpanBatch | None:
        position = self._positions.get(partition)
        if position is None:
            return None
        if position.next_offset < 0:
            position.start = position.next_offset = records[0][0]
        start = position.next_offset
        if records[0][0] < start:
            records = [record for record in records if record[0] >= start]
            if not records:
                return None
        if records[0][0] > start and not position.begun:
            # At the beginning of a run records may be missing because the broker no longer has them, or because those
            # of an earlier assignment got through. Asked again from the same offset, the broker says which. Later on
            # they can only be transactions' markers and the like.
            if position.gap_at != start:
                position.gap_at = start
                self._begin_again(partition, start, position.start, position.last_ms)
                return None
            self.gaps += 1
            logger.warning(
                "%s[%d]: offsets %d to %d are gone (retention, or deleted)",
                self._topic, partition, start, records[0][0] - 1, extra=where(self._topic, partition, start),
            )  # fmt: skip
        last_offset = records[-1][0]
        position.begun = True
        position.next_offset = last_offset + 1
        newest_ms = max([timestamp_ms for _, timestamp_ms, _ in records])
        position.last_ms = max(position.last_ms, newest_ms)
        position.last_s = position.emitted_s = now_s
        return self._made(partition, position, start, records, None)

    def _made(
        self, partition: int, position: _Position, start: int, records: list[Record], idle_ms: int | None
    ) -> SpanBatch:
        return SpanBatch(
            partition, position.epoch, self._generation, position.start, start, position.next_offset, records, idle_ms,
            replaced=position.replaced,
        )  # fmt: skip

    def _idle_ms(self, position: _Position, now_s: float) -> int | None:
        """Stream time of a partition that had nothing more to read when its broker was last heard of."""
        if position.last_ms < 0 or not _at_end(position) or now_s - position.high_known_s > FRESH_S:
            return None
        return position.last_ms + max(0, int((position.high_known_s - position.last_s) * 1000))

    def _hold_back(self, active: set[int]) -> None:
        # Pausing keeps the position; assigning anew would deliver from the old one again.
        pause = self._positions.keys() - active - self._paused
        resume = self._paused & active
        if pause:
            self._consumer.pause([TopicPartition(self._topic, p) for p in pause])
        if resume:
            self._consumer.resume([TopicPartition(self._topic, p) for p in resume])
        self._paused = (self._paused | pause) - resume

    def _begin_again(self, partition: int, offset: int, start: int, last_ms: int) -> None:
        """Begin a new run of a partition at `offset`; it counts as begun at `start`, from where on it is complete."""
        old = self._positions.get(partition)
        if old is None:
            return
        self.epoch += 1
        position = _Position(self.epoch, offset, last_ms, self._clock())
        position.start, position.gap_at = start, old.gap_at
        self._positions[partition] = position
        self._fetch_from(partition, offset)

    def _fetch_from(self, partition: int, offset: int) -> None:
        self._paused.discard(partition)
        self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])

    def _lost_place(self, partition: int, position: _Position) -> None:
        """The broker has no record at the position: go on where the log begins now, or begin a new log."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=2)
        except KafkaException:
            low, high = position.next_offset, position.next_offset
        if position.next_offset < 0 or low <= position.next_offset <= high:
            self._fetch_from(partition, position.next_offset)
        elif position.next_offset < low:
            position.gap_at = position.next_offset
            self._fetch_from(partition, low)
        else:
            logger.error(
                "%s[%d]: offset %d was to be read, and it ends at %d: the topic was deleted and created again, or cut "
                "short. It is read anew from offset %d", self._topic, partition, position.next_offset, high, low,
                extra=where(self._topic, partition, position.next_offset),
            )  # fmt: skip
            self._begin_again(partition, low, low, -1)
            self._positions[partition].replaced = True

    def _initial_offset(self, partition: int) -> int:
        at = TopicPartition(self._topic, partition)
        try:
            low, high = self._consumer.get_watermark_offsets(at, timeout=10)
        except KafkaException:
            about = where(self._topic, partition)
            logger.warning("%s[%d]: the broker did not say where it begins", self._topic, partition, extra=about)
            return int(OFFSET_BEGINNING if self._initial == "earliest" else OFFSET_END)
        return int(low if self._initial == "earliest" else high)

    def _on_statistics(self, text: str) -> None:
        statistics = json.loads(text)
        topic = statistics.get("topics", {}).get(self._topic)
        brokers = [broker for broker in statistics["brokers"].values() if broker["nodeid"] >= 0]
        self.brokers_up = sum(broker["state"] == "UP" for broker in brokers)
        self.throttle_ms = max((broker["throttle"]["max"] for broker in brokers), default=0.0)
        if topic is None:
            return
        # Of the same monotonic clock as ours: the statistics may have waited in the queue for long.
        made_s = statistics["ts"] / 1e6
        known_s = self._fetches.look(list(statistics["brokers"].values()), made_s)
        for number, partition in topic["partitions"].items():
            position = self._positions.get(int(number))
            if position is None or partition["hi_offset"] < 0:
                continue
            position.high = partition["hi_offset"]
            if partition["broker"] != position.broker:
                # What another broker has answered says nothing of this one.
                position.broker, position.began_s = partition["broker"], made_s
            asked_s = known_s.get(position.broker)
            if asked_s is not None and asked_s >= position.began_s and partition["fetch_state"] == "active":
                position.high_known_s = asked_s

    def _on_event(self, message: Message, error: KafkaError) -> None:
        partition, offset = message.partition(), message.offset()
        position = None if partition is None else self._positions.get(partition)
        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None and position is not None:
            self._lost_place(partition, position)
        elif error.code() != KafkaError._PARTITION_EOF:
            self._on_error(error)
        elif position is not None and offset is not None:
            position.end_offset = offset

    @staticmethod
    def _on_error(error: KafkaError) -> None:
        logger.warning("span fetcher: %s", error.str())


def _at_end(position: _Position) -> bool:
    return position.high == max(position.next_offset, position.end_offset)


def header_values(messages: Iterable[Message], name: str) -> dict[int, dict[int, str]]:
    """The values of a header by partition and offset, for the records that have it; of several the last counts."""
    found: dict[int, dict[int, str]] = {}
    for message in messages:
        partition, offset = message.partition(), message.offset()
        headers = cast("list[tuple[str, str | bytes | None]] | None", message.headers())
        if not headers or partition is None or offset is None:
            continue
        values = [value for key, value in headers if key == name and value is not None]
        if values:
            value = values[-1]
            text = value if isinstance(value, str) else value.decode("utf-8", "replace")
            found.setdefault(partition, {})[offset] = text
    return found

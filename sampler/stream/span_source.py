"""The data plane: spans fetched in batches by librdkafka, for partitions that Faust's group was given.

All methods but `rewind` and the properties belong to one thread, the one that fetches.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from sampler.engine.partition import Record
from sampler.engine.settings import TICK_MS
from sampler.stream.batch import SpanBatch

logger = logging.getLogger(__name__)

FETCH_BYTES = 8 * 1024 * 1024
"""About how much one fetch may bring: more would hold the event loop, and with it the group's heartbeat, too long."""
MAX_RECORDS = 10_000
STATISTICS_INTERVAL_MS = 500
FRESH_S = 1.0
"""A partition counts as idle only if the broker has answered within this time."""


class _Position:
    """One assigned partition: where the next record is expected, and what was last heard of it."""

    __slots__ = (
        "emitted_s",
        "end_offset",
        "epoch",
        "gap_at",
        "high",
        "high_known_s",
        "last_ms",
        "last_s",
        "next_offset",
        "start",
    )

    def __init__(self, epoch: int, offset: int) -> None:
        self.epoch = epoch
        self.start = self.next_offset = self.end_offset = offset
        self.last_ms = -1
        self.last_s = 0.0
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
        self._rewinds: dict[int, int] = {}
        self._generation = 0
        self._average_bytes = 4096.0
        self.epoch = 0
        self.gaps = 0
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
                "auto.offset.reset": "earliest",
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

    def rewind(self, partition: int, offset: int) -> None:
        """Read a partition again from `offset`, with the next fetch; callable from any thread."""
        self._rewinds[partition] = offset

    def fetch(self, active: Iterable[int], timeout_s: float) -> list[SpanBatch]:
        """What has come within `timeout_s` for the active partitions, one batch each; others are held back."""
        self._hold_back(set(active))
        while self._rewinds:
            partition, offset = self._rewinds.popitem()
            self._begin_again(partition, offset, offset)
        limit = min(MAX_RECORDS, max(1, int(FETCH_BYTES / self._average_bytes)))
        by_partition = self._sort(self._consumer.consume(limit, timeout_s))
        now_s = self._clock()
        batches = []
        for partition, records in by_partition.items():
            batch = self._batch(partition, records, now_s)
            if batch is not None:
                batches.append(batch)
        for partition, position in self._positions.items():
            if partition not in by_partition and partition not in self._paused:
                idle_ms = self._idle_ms(position, now_s)
                # The first batch of a run comes also without records: the partition is taken up, its offset committed.
                if position.emitted_s == 0.0 or (idle_ms is not None and now_s - position.emitted_s >= TICK_MS / 1000):
                    position.emitted_s = now_s
                    at = position.next_offset
                    batches.append(
                        SpanBatch(partition, position.epoch, self._generation, position.start, at, at, idle_ms=idle_ms)
                    )
        return batches

    def high_watermark(self, partition: int) -> int:
        """The offset after the partition's last record, as last heard; the next offset where nothing was heard."""
        position = self._positions.get(partition)
        return -1 if position is None else max(position.high, position.next_offset)

    def lag(self) -> dict[int, int]:
        """Records not yet fetched, by partition."""
        return {p: max(0, pos.high - pos.next_offset) for p, pos in self._positions.items()}

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
        if records[0][0] > start and position.last_ms < 0:
            # At the beginning of a run records may be missing because the broker no longer has them, or because those
            # of an earlier assignment got through. Asked again from the same offset, the broker says which. Later on
            # they can only be transactions' markers and the like.
            if position.gap_at != start:
                position.gap_at = start
                self._begin_again(partition, start, position.start)
                return None
            self.gaps += 1
            logger.warning(
                "%s[%d]: offsets %d to %d are gone (retention, or deleted)",
                self._topic, partition, start, records[0][0] - 1,
            )  # fmt: skip
        last_offset = records[-1][0]
        position.next_offset = last_offset + 1
        newest_ms = max([timestamp_ms for _, timestamp_ms, _ in records])
        position.last_ms = max(position.last_ms, newest_ms)
        position.last_s = position.emitted_s = now_s
        return SpanBatch(partition, position.epoch, self._generation, position.start, start, last_offset + 1, records)

    def _idle_ms(self, position: _Position, now_s: float) -> int | None:
        """Stream time of a partition that had nothing more to read when its broker was last heard of."""
        at_end = position.high == max(position.next_offset, position.end_offset)
        if position.last_ms < 0 or not at_end or now_s - position.high_known_s > FRESH_S:
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

    def _begin_again(self, partition: int, offset: int, start: int) -> None:
        """Begin a new run of a partition at `offset`; it counts as begun at `start`, from where on it is complete."""
        old = self._positions.get(partition)
        if old is None:
            return
        self.epoch += 1
        position = _Position(self.epoch, offset)
        position.start, position.gap_at = start, old.gap_at
        self._positions[partition] = position
        self._paused.discard(partition)
        self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, offset)])

    def _initial_offset(self, partition: int) -> int:
        at = TopicPartition(self._topic, partition)
        try:
            low, high = self._consumer.get_watermark_offsets(at, timeout=10)
        except KafkaException:
            logger.warning("%s[%d]: the broker did not say where it begins", self._topic, partition)
            return int(OFFSET_BEGINNING if self._initial == "earliest" else OFFSET_END)
        return int(low if self._initial == "earliest" else high)

    def _on_statistics(self, text: str) -> None:
        statistics = json.loads(text)
        topic = statistics.get("topics", {}).get(self._topic)
        if topic is None:
            return
        idle_s = {
            broker["nodeid"]: broker["rxidle"] / 1e6
            for broker in statistics["brokers"].values()
            if broker["state"] == "UP" and broker["rxidle"] >= 0
        }
        # Of the same monotonic clock as ours: the statistics may have waited in the queue for long.
        made_s = statistics["ts"] / 1e6
        for number, partition in topic["partitions"].items():
            position = self._positions.get(int(number))
            heard_s = idle_s.get(partition["broker"])
            if position is not None and heard_s is not None and partition["hi_offset"] >= 0:
                position.high = partition["hi_offset"]
                position.high_known_s = made_s - heard_s

    def _on_event(self, message: Message, error: KafkaError) -> None:
        partition, offset = message.partition(), message.offset()
        position = None if partition is None else self._positions.get(partition)
        if error.code() != KafkaError._PARTITION_EOF:
            self._on_error(error)
        elif position is not None and offset is not None:
            position.end_offset = offset

    @staticmethod
    def _on_error(error: KafkaError) -> None:
        logger.warning("span fetcher: %s", error.str())

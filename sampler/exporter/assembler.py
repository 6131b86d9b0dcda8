"""Puts records together into batches, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from confluent_kafka import Message

from sampler.agent.repartition_offsets import Partition
from sampler.exporter.batch import Batch, Record
from sampler.exporter.selection import Selection
from sampler.metrics.exporter import BackendMetrics
from sampler.otlp import ScanError
from sampler.otlp.counting import count_spans

UNKNOWN = -1


class Assembler:
    """The open batch of a backend, and the position in every partition that is read.

    `limit_bytes` gives the size of a batch at this moment. Of the topics in `filtered` the tenants' traces are taken
    alone; without a `selection` records are taken as they are. All methods are called from one thread.
    """

    def __init__(
        self,
        metrics: BackendMetrics,
        limit_bytes: Callable[[], int],
        limit_spans: int,
        flush_interval_s: float,
        selection: Selection | None = None,
        filtered: frozenset[str] = frozenset(),
        *,
        filter_all: bool = False,
    ) -> None:
        """With `filter_all` the selection has a say in every topic, else only in those of `filtered`."""
        self._metrics = metrics
        self._limit_bytes = limit_bytes
        self._limit_spans = limit_spans
        self._flush_interval_s = flush_interval_s
        self._selection = selection
        self._filtered = filtered
        self._filter_all = filter_all
        self._batch: Batch | None = None
        self._mean_bytes = limit_bytes() / 16  # records may be large: the first fetch is small
        self.positions: dict[Partition, int] = {}
        """The offset to read next in every partition that is ours; UNKNOWN before anything was read."""

    @property
    def waiting_records(self) -> int:
        """Records in the open batch."""
        return len(self._batch.records) if self._batch else 0

    def records_wanted(self) -> int:
        """How many records make up about two batches."""
        return int(2 * self._limit_bytes() / self._mean_bytes)

    def begin(self, positions: Mapping[Partition, int]) -> None:
        """These partitions are ours from now on; positions below 0 are unknown."""
        self.positions.update({place: max(UNKNOWN, offset) for place, offset in positions.items()})

    def forget(self, places: Iterable[Partition]) -> None:
        """These partitions are not ours any more; what comes of them is passed over."""
        for place in places:
            self.positions.pop(place, None)
            if self._batch is not None:
                self._batch.ends.pop(place, None)

    def take(self, messages: Sequence[Message], now_s: float) -> Iterator[Batch]:
        """Take records in; yields the batches that are full."""
        positions, as_they_are = self.positions, self._selection is None
        size = 0
        for message in messages:
            topic, number, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None and number is not None and offset is not None  # noqa: PT018  # errors are sorted out
            place = (topic, number)
            position = positions.get(place)
            if position is None or offset < position:
                continue  # of a partition that has just gone, or read twice
            if offset > position != UNKNOWN:
                self._metrics.expired_records.inc(offset - position)
            positions[place] = offset + 1
            value = message.value() or b""
            assert isinstance(value, bytes)
            size += len(value)
            try:
                part, spans = (value, count_spans(value)) if as_they_are else self._part(topic, value)
            except ScanError as error:
                # Batches begin in the order of offsets: what came before is sent first.
                if (batch := self.close()) is not None:
                    yield batch
                yield _bad(Record(topic, number, offset, value, 0), message, now_s, str(error))
                continue
            yield from self._add(Record(topic, number, offset, part, spans), place, message, now_s)
        if messages:
            self._mean_bytes += 0.2 * (size / len(messages) + 1 - self._mean_bytes)

    def due(self, now_s: float) -> Batch | None:
        """The open batch, where it has waited long enough."""
        batch = self._batch
        if batch is None or now_s - batch.opened_s < self._flush_interval_s:
            return None
        return self.close()

    def close(self) -> Batch | None:
        """The open batch, whatever is in it."""
        batch, self._batch = self._batch, None
        return batch

    def _add(self, record: Record, place: Partition, message: Message, now_s: float) -> Iterator[Batch]:
        batch = self._batch
        if batch is not None and batch.records and record.spans:
            too_large = batch.size_bytes + len(record.value) > self._limit_bytes()
            if too_large or batch.spans + record.spans > self._limit_spans:
                yield batch
                batch = None
        if batch is None:
            batch = self._batch = Batch(_timestamp_ms(message), now_s)
        batch.ends[place] = record.offset + 1
        if record.spans:
            batch.add(record)
        else:
            self._metrics.skipped_records.inc()
        if batch.size_bytes >= self._limit_bytes() or batch.spans >= self._limit_spans:
            self._batch = None
            yield batch

    def _part(self, topic: str, value: bytes) -> tuple[bytes, int]:
        by_tenant = topic in self._filtered
        if self._selection is None or not (by_tenant or self._filter_all):
            return value, count_spans(value)
        return self._selection.part(value, by_tenant=by_tenant)


def _bad(record: Record, message: Message, now_s: float, error: str) -> Batch:
    """A batch of its own for a record that is not OTLP."""
    batch = Batch(_timestamp_ms(message), now_s, fault=error)
    batch.add(record)
    batch.ends[record.topic, record.partition] = record.offset + 1
    return batch


def _timestamp_ms(message: Message) -> int:
    return int(message.timestamp()[1])

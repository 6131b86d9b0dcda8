"""Requests in, acknowledged Kafka records out: the way of spans into the span topic.

A request is cut into one part per partition; parts of many requests are packed into a record per partition, which
leaves when it is full or at the next tick. A request is answered when every record that holds a part of it is
acknowledged. What is not acknowledged is bounded in bytes; beyond the bound requests are refused, never queued.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sampler.agent.borders import cut
from sampler.agent.producer import Record, RecordProducer, TopicState
from sampler.agent.settings import PublisherSettings
from sampler.log_fields import where
from sampler.otlp import Hasher, SplitResult

log = logging.getLogger(__name__)

RETRY_AFTER_FULL_S = 1.0
RETRY_AFTER_OUTAGE_S = 5.0


class Splitter(Protocol):
    """The part of the scanner that the publisher needs; `split` raises ScanError on what is not OTLP."""

    def split(self, request: bytes, partitions: int, hasher: Hasher) -> SplitResult: ...


class Tally(Protocol):
    """A number that grows."""

    def inc(self, amount: float = 1) -> object: ...


class PublisherMetrics(Protocol):
    """What the publisher counts: `AgentMetrics`, or something simpler in other people's programs."""

    @property
    def received_bytes_total(self) -> Tally: ...
    @property
    def spans_accepted_total(self) -> Tally: ...
    @property
    def spans_rejected_total(self) -> Tally: ...
    @property
    def records_total(self) -> Tally: ...
    @property
    def written_bytes_total(self) -> Tally: ...
    @property
    def records_failed_total(self) -> Tally: ...
    @property
    def ack_seconds(self) -> Distribution: ...
    @property
    def topic_partitions(self) -> Level: ...
    def watch_buffered(self, read: Callable[[], float]) -> None: ...


class Distribution(Protocol):
    """A distribution of values."""

    def observe(self, amount: float) -> object: ...


class Level(Protocol):
    """A number that goes up and down."""

    def set(self, value: float) -> object: ...


class Receipt(NamedTuple):
    """A request that is stored: spans acknowledged, spans refused for good, and why (empty when none)."""

    spans: int
    rejected: int
    message: str


class PublishError(Exception):
    """Nothing of the request is known to be stored; the sender may send it again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BufferFullError(PublishError):
    """Too many bytes wait for acknowledgement."""


class KafkaUnavailableError(PublishError):
    """Kafka cannot be reached, has no such topic, or did not acknowledge in time."""


class RequestTooLargeError(Exception):
    """The request, cut by trace, is larger than the whole buffer; sending it again cannot help."""


class _Ticket:
    """A request in flight: how many records still hold a part of it, and what became of them."""

    __slots__ = ("error", "future", "receipt", "waiting")

    def __init__(self, receipt: Receipt, future: asyncio.Future[Receipt]) -> None:
        self.receipt = receipt
        self.future = future
        self.waiting = 0
        self.error: str | None = None


class Publisher:
    """Publishes export requests; lives on one event loop, on which all its methods are called.

    `on_state(problem)` is told whenever Kafka or the topic become usable (None) or not (the reason). `transform` is
    applied to every request before anything else sees it; it raises ScanError on what is not OTLP.
    """

    def __init__(
        self,
        settings: PublisherSettings,
        scanner: Splitter,
        metrics: PublisherMetrics,
        on_state: Callable[[str | None], None] = lambda problem: None,
        transform: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._settings = settings
        self._transform = transform
        self._split = scanner.split
        self._metrics = metrics
        self._on_state = on_state
        self._open: dict[int, Record] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._tick_s = settings.flush_interval_ms / 1000
        # A part longer than this leaves as a record of its own; the bound keeps packed records below the largest.
        self._record_size = min(settings.record_size_bytes, settings.largest_record_bytes)
        self._buffered = 0
        self._closing = False
        self._partitions = 0
        self._last_partitions = 0
        self._problem: str | None = "the agent has not heard from Kafka yet"
        self._usable = asyncio.Event()
        metrics.watch_buffered(lambda: self._buffered)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for acknowledgement."""
        return self._buffered

    async def start(self) -> None:
        """Connect; returns at once, whether Kafka answers or not."""
        self._loop = loop = asyncio.get_running_loop()

        def settled(records: list[Record]) -> None:
            loop.call_soon_threadsafe(self._settle, records)

        def topic(state: TopicState) -> None:
            loop.call_soon_threadsafe(self._set_topic, state)

        self._producer = RecordProducer(self._settings, settled, topic)
        self._producer.start()

    async def wait_usable(self, timeout_s: float) -> bool:
        """Whether the topic is known and writable within `timeout_s` seconds."""
        try:
            await asyncio.wait_for(self._usable.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def publish(self, request: bytes) -> Receipt:
        """Store the spans of a serialized ExportTraceServiceRequest; returns after Kafka's acknowledgement.

        Raises PublishError (send again later), RequestTooLargeError, or the scanner's ScanError (never send again).
        """
        ticket = self._submit(request)
        del request  # it may wait long; its parts are in records now
        return await ticket.future

    def _submit(self, request: bytes) -> _Ticket:
        size = len(request)
        self._metrics.received_bytes_total.inc(size)
        if not size:
            return self._answered(_Ticket(Receipt(0, 0, ""), self._loop.create_future()))
        if self._problem is not None:
            raise KafkaUnavailableError(self._problem, RETRY_AFTER_OUTAGE_S)
        self._check_room(size)
        if self._transform is not None:
            request = self._transform(request)
        parts, spans, rejected = self._split(request, self._partitions, self._settings.hasher)
        total = sum([len(part) for _, part, _ in parts])
        if total > self._settings.max_buffer_bytes:
            raise RequestTooLargeError(
                f"the request holds {total} bytes once each trace carries its resource, more than the agent's buffer "
                f"of {self._settings.max_buffer_bytes} (agent.max_buffer); send fewer spans in a request"
            )
        self._check_room(total)
        ticket = _Ticket(Receipt(spans, rejected, ""), self._loop.create_future())
        lost = self._append(parts, ticket)
        if lost or rejected:
            ticket.receipt = Receipt(spans - lost, rejected + lost, self._why(rejected, lost))
        return ticket if ticket.waiting else self._answered(ticket)

    async def close(self, timeout_s: float) -> int:
        """Send what is open, wait at most `timeout_s` for acknowledgements; returns the number of records given up."""
        left = await asyncio.to_thread(self.end(), timeout_s)
        await asyncio.sleep(0)  # the last report was put on this loop before the thread ended
        return left

    def end(self) -> Callable[[float], int]:
        """Send what is open and take nothing more.

        What is returned does the rest of `close`, in whatever thread it is called.
        """
        self._closing = True
        self._problem = "the agent is stopping"
        self._flush()
        return self._producer.close

    def _check_room(self, size: int) -> None:
        limit = self._settings.max_buffer_bytes
        if self._buffered + size > limit:
            raise BufferFullError(
                f"the agent's buffer is full: {self._buffered} of {limit} bytes wait for Kafka's acknowledgement",
                RETRY_AFTER_FULL_S,
            )

    def _why(self, rejected: int, lost: int) -> str:
        reasons = []
        if rejected:
            reasons.append(
                f"{rejected} spans have an invalid trace id (16 bytes, not all zero) or span id (8 bytes, not all zero)"
            )
        if lost:
            reasons.append(
                f"{lost} spans are larger than Kafka's largest message here, {self._settings.max_message_bytes} bytes "
                "(kafka.max_message_bytes, and max.message.bytes of the topic)"
            )
        return "; ".join(reasons)

    def _append(self, parts: Sequence[tuple[int, bytes, int]], ticket: _Ticket) -> int:
        """Put a request's parts into records; returns the spans that fit into none."""
        lost = 0
        limit = self._record_size
        for partition, part, _ in parts:
            size = len(part)
            if size > self._settings.largest_record_bytes:
                pieces, too_large = cut(part, self._settings.largest_record_bytes)
                lost += too_large
                for piece in pieces:
                    self._send(self._add(Record(partition), piece, ticket))
                continue
            record = self._open.get(partition)
            if record is not None and record.size + size > limit:
                self._send(self._open.pop(partition))
                record = None
            if record is None:
                record = self._open[partition] = Record(partition)
            self._add(record, part, ticket)
            if record.size >= limit:
                self._send(self._open.pop(partition))
        if self._open and self._tick is None:
            self._tick = self._loop.call_later(self._tick_s, self._flush)
        return lost

    def _add(self, record: Record, part: bytes, ticket: _Ticket) -> Record:
        size = len(part)
        record.parts.append(part)
        record.size += size
        record.owners.append(ticket)
        ticket.waiting += 1
        self._buffered += size
        return record

    def _flush(self) -> None:
        """The tick, one for all partitions: whatever is open leaves."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        records, self._open = self._open, {}
        for record in records.values():
            self._send(record)

    def _send(self, record: Record) -> None:
        refused = self._producer.send(record)
        if refused is not None:
            record.error = refused
            # Later, so that a request's parts are all in records before its ticket counts down.
            self._loop.call_soon(self._settle, [record])

    def _settle(self, records: list[Record]) -> None:
        """Kafka acknowledged or failed these records."""
        metrics = self._metrics
        failed: list[Record] = []
        for record in records:
            self._buffered -= record.size
            error = record.error
            if error is None:
                metrics.records_total.inc()
                metrics.written_bytes_total.inc(record.size)
                metrics.ack_seconds.observe(record.acknowledged_at_s - record.sent_at_s)
            else:
                failed.append(record)
            for ticket in record.owners:
                ticket.waiting -= 1
                if error is not None:
                    ticket.error = error
                if not ticket.waiting:
                    self._answer(ticket)
        if failed:
            metrics.records_failed_total.inc(len(failed))
            log.warning(
                "Kafka did not acknowledge %d records; one of the reasons: %s",
                len(failed), failed[0].error, extra=where(self._settings.topic, failed[0].partition),
            )  # fmt: skip

    def _answer(self, ticket: _Ticket) -> None:
        if ticket.error is None:
            self._answered(ticket)
        elif not ticket.future.done():
            ticket.future.set_exception(
                KafkaUnavailableError(f"Kafka did not acknowledge the spans: {ticket.error}", RETRY_AFTER_FULL_S)
            )

    def _answered(self, ticket: _Ticket) -> _Ticket:
        receipt = ticket.receipt
        self._metrics.spans_accepted_total.inc(receipt.spans)
        if receipt.rejected:
            self._metrics.spans_rejected_total.inc(receipt.rejected)
        if not ticket.future.done():  # else the sender has gone
            ticket.future.set_result(receipt)
        return ticket

    def _set_topic(self, state: TopicState) -> None:
        if self._closing:
            return
        if state.problem is None and state.partitions != self._last_partitions:
            if self._last_partitions:
                log.error(
                    "topic %s went from %d to %d partitions: a trace whose spans came before and after lies in two "
                    "partitions and is decided in two halves, until decision_wait after now",
                    self._settings.topic, self._last_partitions, state.partitions, extra=where(self._settings.topic),
                )  # fmt: skip
            self._last_partitions = state.partitions
            self._metrics.topic_partitions.set(state.partitions)
        self._partitions = state.partitions
        if state.problem != self._problem:
            if state.problem is not None:
                log.error("%s", state.problem)
            else:
                log.info("publishing to topic %s, %d partitions", self._settings.topic, state.partitions)
            self._problem = state.problem
            self._on_state(state.problem)
        if state.problem is None:
            self._usable.set()
        else:
            self._usable.clear()
